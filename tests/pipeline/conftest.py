"""Fixtures of the pipeline's tests."""

from installation import environment, installed

__all__ = ["environment", "installed"]
