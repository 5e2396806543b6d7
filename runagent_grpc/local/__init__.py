"""This computer: the registry of local agents, the servers that live, the user's settings."""
