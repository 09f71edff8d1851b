"""Fixtures of the gate's tests: the small package lies beside the tests of packages."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))
