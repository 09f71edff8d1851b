"""Fixtures of the pipeline's tests; the small package lies beside the tests of packages."""

import sys
from pathlib import Path

from installation import environment, installed

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))

__all__ = ["environment", "installed"]
