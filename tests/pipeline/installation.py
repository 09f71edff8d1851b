"""The trivial application, installed as a third party would install it: a module and an entry point."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from vesalius.core import registry

METADATA = "Metadata-Version: 2.1\nName: trivial\nVersion: 1.0\n"
ENTRY_POINTS = "[vesalius.applications]\ntrivial = trivial:application\n"


def install(folder: Path) -> dict[str, str]:
    """Return an environment in which the trivial application is installed and nothing of the user's is read."""
    info = folder / "site" / "trivial-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(METADATA)
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    home = folder / "home"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VESALIUS_")}
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join([str(folder / "site"), str(Path(__file__).parent)]),
        "VESALIUS_HOME": str(home),
        "NO_COLOR": "1",
    }


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Return an environment for subprocesses."""
    return install(tmp_path_factory.mktemp("installation"))


@pytest.fixture
def installed(environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install the trivial application in this process; workers inherit the path."""
    monkeypatch.setattr(sys, "path", [*environment["PYTHONPATH"].split(os.pathsep), *sys.path])
    registry._entries.cache_clear()
    yield
    registry._entries.cache_clear()


def head(path: Path, shape: tuple[int, int, int] = (24, 28, 26), level: float = 100.0) -> Path:
    """Write a NIfTI of a bright ball in the dark, 4 mm, and return its path."""
    import nibabel

    axes = [np.linspace(-1, 1, n) for n in shape]
    radius = np.sqrt(sum(grid**2 for grid in np.meshgrid(*axes, indexing="ij")))
    noise = np.random.default_rng(int(level)).normal(0, 1, shape)
    array = np.where(radius < 0.8, level, 0.0) + noise
    image = nibabel.Nifti1Image(array.astype(np.float32), np.diag([4.0, 4.0, 4.0, 1.0]))
    image.header.set_xyzt_units("mm")
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(image, path)
    return path
