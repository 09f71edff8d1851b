"""Fixtures of the command line's tests: the trivial application lies beside the pipeline's tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "pipeline"))

from installation import environment, installed

__all__ = ["environment", "installed"]
