"""A whole server: configuration, assembly, signals, reload."""
