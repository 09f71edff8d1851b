"""The names at the root: few, stable, and loaded only when used."""

from __future__ import annotations

import subprocess
import sys

import vesalius

NAMES = (
    "Axis",
    "Case",
    "Code",
    "Finding",
    "Frame",
    "Identity",
    "Mask",
    "Measurement",
    "Report",
    "Result",
    "Segment",
    "Series",
    "Spacing",
    "Study",
    "VesaliusError",
    "Volume",
    "__version__",
    "analyze",
    "describe",
    "load",
    "render",
    "resample",
    "resample_like",
    "save",
    "scan",
)


def test_the_public_surface_is_fixed() -> None:
    assert sorted(vesalius.__all__) == sorted(NAMES)
    assert set(NAMES) <= set(dir(vesalius))


def test_every_public_name_loads() -> None:
    for name in NAMES:
        assert getattr(vesalius, name) is not None


def test_importing_the_package_loads_no_numpy() -> None:
    code = "import sys, vesalius; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
