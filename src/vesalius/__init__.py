"""Vesalius: AI for medical imaging, offline and light, with geometry that is never guessed."""

__version__ = "0.1.0"
