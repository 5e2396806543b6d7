"""The version of the package, and of everything it serves."""

__all__ = ["__version__"]

__version__ = "0.1.0"
