"""Skull and intracranial space on an analytic head and on real slices."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vesalius.core import Frame, Spacing, Volume
from vesalius.core.errors import ImageContentError, UsageError
from vesalius.io import raster
from vesalius.segment.anatomy.head_ct import intracranial


def head(spacing: tuple[float, float, float] = (4.0, 2.0, 2.0), gap_mm: float = 8.0) -> tuple[Volume, np.ndarray]:
    """Return an ellipsoidal head in HU with a burr hole and a foramen, and where the inside of its skull is."""
    shape = tuple(int(extent / s) for extent, s in zip((200, 220, 180), spacing, strict=True))
    z, y, x = (np.arange(n) * s - n * s / 2 for n, s in zip(shape, spacing, strict=True))
    z, y, x = np.meshgrid(z + 10, y, x, indexing="ij")
    radius = np.sqrt((z / 80) ** 2 + (y / 88) ** 2 + (x / 68) ** 2)
    array = np.full(shape, -1000.0)
    array[(np.sqrt((z / 95) ** 2 + (y / 103) ** 2 + (x / 82) ** 2) < 1)] = 40
    array[(radius < 1.09)] = 900
    inside = radius < 1
    array[inside] = 35
    array[(np.hypot(y - 30, x) < 14) & (z < -60) & (radius < 1.09)] = 35
    array[(np.abs(z - 20) < gap_mm) & (np.abs(y) < gap_mm / 2) & (x > 0) & (radius >= 1) & (radius < 1.09)] = 40
    array += np.random.default_rng(0).normal(0, 8, shape)
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = *spacing, 1
    return Volume(np.rint(array).astype(np.int16), affine, modality="CT", unit="[hnsf'U]"), inside


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * (one & other).sum() / max(1, one.sum() + other.sum()))


def test_the_inside_of_an_ellipsoid() -> None:
    volume, inside = head()
    mask = intracranial(volume)
    assert dice(mask.binary("intracranial"), inside) > 0.97
    assert (mask.binary("intracranial") & (volume.array > 300)).sum() < 1e-3 * inside.sum()
    assert (volume.array[mask.binary("skull")] > 120).all()
    assert mask.same_grid(volume)
    assert {s.code.value for s in mask.segments.values()} == {"89546000", "1101003"}


def test_volume_does_not_depend_on_the_grid() -> None:
    volumes = [
        intracranial(head(spacing)[0]).volume_ml("intracranial") for spacing in ((4.0, 2.0, 2.0), (8.0, 1.5, 1.5))
    ]
    assert volumes[0] == pytest.approx(volumes[1], rel=0.03)
    assert volumes[0] == pytest.approx(4 / 3 * np.pi * 80 * 88 * 68 / 1000, rel=0.04)


@pytest.mark.parametrize("orientation", ["IPL", "LPS"])
def test_any_array_order(orientation: str) -> None:
    volume, inside = head()
    mask = intracranial(volume.reorient(orientation)).reorient("SPL")
    assert dice(mask.binary("intracranial"), inside) > 0.97


def test_a_windowed_slice_with_bright_blood_at_the_skull() -> None:
    volume, inside = head()
    index = volume.shape[0] // 2 + 4
    hu = volume.array[index].astype(float)
    rows, columns = np.mgrid[: hu.shape[0], : hu.shape[1]]
    blood = ((rows - hu.shape[0] / 2) ** 2 + (columns - 22) ** 2 < 8**2) & inside[index]
    hu[blood] = 85
    grey = np.clip(hu / 80 * 255, 0, 255).astype(np.uint8)[np.newaxis]
    shown = Volume(grey, np.eye(4)[[2, 1, 0, 3]], Frame.IMAGE, Spacing.UNKNOWN)
    found = intracranial(shown).array[0] == 2
    assert dice(found, inside[index]) > 0.95


def test_nothing_to_enclose_is_empty_and_bad_input_is_refused() -> None:
    volume, _ = head((8.0, 4.0, 4.0))
    soft = volume.with_array(np.minimum(volume.array, 60), "no bone")
    assert not intracranial(soft).array.any()
    with pytest.raises(UsageError, match="brain-mri"):
        intracranial(replace(volume, modality="MR"))
    with pytest.raises(UsageError, match="closing_mm"):
        intracranial(volume, closing_mm=100)
    with pytest.raises(ImageContentError, match="constant"):
        intracranial(volume.with_array(np.zeros(volume.shape, np.int16), "zero"))


def right(path: Path) -> bool:
    from skimage.morphology import convex_hull_image

    labels = intracranial(raster.read(path)).array[0]
    space, skull = labels == 2, labels == 1
    if not space.any() or not skull.any():
        return False
    return bool((space & ~convex_hull_image(skull)).sum() <= 0.01 * space.sum() and space.mean() > 0.1)


def test_real_slices(data_root: Path) -> None:
    folder = data_root / "head_ct_hemorrhage" / "head_ct"
    assert all(right(folder / name) for name in ("000.png", "013.png", "126.png"))


@pytest.mark.slow
def test_every_real_slice(data_root: Path) -> None:
    answers = [right(path) for path in sorted((data_root / "head_ct_hemorrhage" / "head_ct").iterdir())]
    assert np.mean(answers) >= 0.95
