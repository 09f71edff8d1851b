"""Typed YAML and settings, resolved once at the edge: argument > environment > file > default."""

from vesalius.config.logs import configure_logging
from vesalius.config.settings import Settings, default_home, resolve
from vesalius.config.yaml import load_yaml

__all__ = ["Settings", "configure_logging", "default_home", "load_yaml", "resolve"]
