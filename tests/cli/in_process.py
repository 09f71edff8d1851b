"""The program run in this process: most calls need no other one."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from calling import Called

Run = Callable[..., Called]


@pytest.fixture
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    """Return the environment of a user with a home of their own."""
    for name, value in (("VESALIUS_HOME", str(tmp_path / "home")), ("COLUMNS", "200"), ("NO_COLOR", "1")):
        monkeypatch.setenv(name, value)
    return dict(os.environ)


@pytest.fixture
def run(own_home: Mapping[str, str], capsys: pytest.CaptureFixture[str]) -> Run:
    """Return the program."""

    def program(*arguments: object) -> Called:
        from vesalius.cli import main

        capsys.readouterr()
        code = main([str(one) for one in arguments])
        shown = capsys.readouterr()
        assert "Traceback" not in shown.out + shown.err
        return Called(code, shown.out, shown.err)

    return program


def saved(path: Path, array: np.ndarray, spacing: tuple[float, float, float] = (2.0, 1.0, 1.0)) -> Path:
    """Write an array as an image file in patient coordinates."""
    from vesalius import io
    from vesalius.core import Volume
    from vesalius.phantoms import grid_affine

    io.save(Volume(array, grid_affine(array.shape, spacing_mm=spacing)), path)
    return path


def textured(path: Path, seed: int = 0) -> Path:
    """Write a picture with texture, 12 x 30 x 28."""
    from scipy import ndimage

    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(0, 100, (12, 30, 28)), 1.0)
    return saved(path, np.round(noise * 5 + 100).astype(np.int16))


def ball_mask(path: Path, *radii: float) -> Path:
    """Write balls side by side as labels 1, 2 ..."""
    z, y, x = np.mgrid[:12, :30, :28]
    array = np.zeros(z.shape, np.uint8)
    for label, radius in enumerate(radii, start=1):
        middle = 6 + 13 * (label - 1)
        near = (2 * (z - 6)) ** 2 + (y - middle - 2) ** 2 + (x - 14) ** 2 <= radius**2
        array[near] = label
    return saved(path, array)
