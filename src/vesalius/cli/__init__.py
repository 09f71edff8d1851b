"""One program: a command is parse, call, print. Importing this loads no NumPy."""

from vesalius.cli.program import main

__all__ = ["main"]
