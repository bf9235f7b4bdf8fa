"""The version of the shared distribution, as a literal: `importlib.metadata` would cost every process 10 ms at start."""

__version__ = "0.1.0"
