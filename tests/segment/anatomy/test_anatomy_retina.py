"""Field of view and vessels on drawn and real fundus photographs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vesalius.core import Axis, AxisKind, Frame, Spacing, Volume
from vesalius.core.errors import GeometryError, ImageContentError, UsageError
from vesalius.io import raster
from vesalius.segment.anatomy.retina import retina

RGB = Axis(AxisKind.RGB, ("r", "g", "b"))


def photograph(side: int = 300, vessels: bool = True) -> tuple[Volume, np.ndarray, np.ndarray]:
    """Return a lit disc with curved dark vessels and uneven light, where vessels are, and where the field is."""
    rows, columns = np.mgrid[:side, :side] / side - 0.5
    field = np.hypot(rows, columns) < 0.46
    lines = np.zeros(field.shape, bool)
    for shift, width in ((-0.25, 0.007), (-0.08, 0.005), (0.1, 0.006), (0.28, 0.007)):
        lines |= np.abs(rows - shift - 0.05 * np.sin(9 * columns)) < width
        lines |= np.abs(columns - shift - 0.04 * np.sin(7 * rows)) < width / 1.5
    light = 1 + 0.5 * columns
    grey = np.where(field, light * np.where(lines & vessels, 0.72, 1.0), 0)
    noise = np.random.default_rng(0).normal(0, 2, (side, side, 3))
    colours = np.stack([150 * grey, 90 * grey, 40 * grey], axis=-1) + noise
    array = np.clip(colours, 0, 255).astype(np.uint8)[np.newaxis]
    volume = Volume(array, np.eye(4), Frame.IMAGE, Spacing.UNKNOWN, modality="OP", axis=RGB)
    return volume, lines & field, field


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * (one & other).sum() / max(1, one.sum() + other.sum()))


@pytest.mark.parametrize("side", [300, 1100])
def test_vessels_and_field_at_any_size(side: int) -> None:
    volume, vessels, field = photograph(side)
    mask = retina(volume)
    assert dice(mask.binary("vessels")[0], vessels) > 0.8
    assert dice(mask.array[0] > 0, field) > 0.98
    assert mask.binary("vessels")[0][~field].sum() < 0.01 * vessels.sum()


def test_sensitivity_finds_more() -> None:
    volume = photograph()[0]
    found = [int(retina(volume, sensitivity=one).binary("vessels").sum()) for one in (0.0, 0.5, 1.0)]
    assert found[0] < found[1] < found[2]


def test_one_channel_is_enough() -> None:
    volume, vessels, _ = photograph()
    assert dice(retina(volume.element(1)).binary("vessels")[0], vessels) > 0.75


def test_refusals() -> None:
    volume = photograph()[0]
    with pytest.raises(UsageError, match="fundus"):
        retina(replace(volume, modality="CT"))
    with pytest.raises(UsageError, match="sensitivity"):
        retina(volume, sensitivity=2)
    with pytest.raises(GeometryError, match="too few pixels"):
        retina(photograph(110)[0])
    with pytest.raises(ImageContentError):
        retina(volume.with_array(np.zeros_like(volume.array), "dark"))


def scores(data_root: Path, count: int) -> list[float]:
    from PIL import Image

    folder, found = data_root / "drive_vessels" / "training", []
    for path in sorted((folder / "images").glob("*.tif"))[:count]:
        with Image.open(folder / "1st_manual" / f"{path.name[:2]}_manual1.gif") as image:
            truth = np.asarray(image) > 0
        with Image.open(folder / "mask" / f"{path.name[:2]}_training_mask.gif") as image:
            field = np.asarray(image) > 0
        found.append(dice(retina(raster.read(path)).binary("vessels")[0] & field, truth & field))
    return found


def test_a_real_photograph(data_root: Path) -> None:
    assert min(scores(data_root, 1)) > 0.73


@pytest.mark.slow
def test_drive(data_root: Path) -> None:
    assert np.mean(scores(data_root, 100)) >= 0.72
