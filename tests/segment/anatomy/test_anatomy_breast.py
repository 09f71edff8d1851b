"""Breast and pectoral muscle on drawn films and on real mammograms."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vesalius.core import Frame, Spacing, Volume
from vesalius.core.errors import GeometryError, ImageContentError, UnknownNameError, UsageError
from vesalius.io import raster
from vesalius.segment.anatomy.breast import breast


def film(*, muscle: bool = True, right: bool = False) -> tuple[Volume, np.ndarray, np.ndarray]:
    """Return a drawn film with a label and a tape, where the tissue and where the muscle is."""
    rows, columns = np.mgrid[:400, :300].astype(float)
    tissue = (((rows - 210) / 180) ** 2 + (columns / 200) ** 2 < 1) | ((rows < 200) & (columns < 130))
    depth = np.clip(1 - np.hypot((rows - 210) / 190, columns / 210), 0, 1)
    grey = np.where(tissue, 60 + 90 * depth, 4.0)
    corner = columns / 110 + rows / 220 < 1
    if muscle:
        grey[corner] = 205
    grey[20:60, 230:270], grey[30:40, 240:260] = 250, 40
    grey[:, 296:] = 255
    grey += np.random.default_rng(0).normal(0, 3, grey.shape)
    array = np.clip(grey, 0, 255).astype(np.uint8)
    volume = Volume(array[np.newaxis], np.eye(4), Frame.IMAGE, Spacing.UNKNOWN, modality="MG")
    if right:
        return volume.with_array(volume.array[..., ::-1].copy(), "mirror"), tissue[:, ::-1], corner[:, ::-1]
    return volume, tissue, corner


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * (one & other).sum() / max(1, one.sum() + other.sum()))


@pytest.mark.parametrize("right", [False, True])
def test_breast_muscle_side_and_label(right: bool) -> None:
    volume, tissue, corner = film(right=right)
    mask = breast(volume)
    assert dice(mask.array[0] > 0, tissue) > 0.97
    assert dice(mask.binary("pectoral_muscle")[0], corner) > 0.9
    assert mask.history[-1].parameters["chest_wall"] == ("right" if right else "left")
    assert mask.segments[1].code.meaning == ("Right breast" if right else "Left breast")
    label = np.zeros_like(tissue)
    label[20:60, 230:270] = True
    assert not mask.array[0][label[:, ::-1] if right else label].any()


def test_no_muscle_is_made_up() -> None:
    volume, tissue, _ = film(muscle=False)
    mask = breast(volume)
    assert mask.binary("pectoral_muscle").sum() < 0.02 * tissue.sum()
    assert not breast(film()[0], pectoral=False).binary("pectoral_muscle").any()


def test_larger_pictures_give_the_same() -> None:
    volume, tissue, _ = film()
    large = Volume(volume.array.repeat(5, axis=1).repeat(5, axis=2), np.eye(4), Frame.IMAGE, Spacing.UNKNOWN)
    assert dice(breast(large).array[0] > 0, tissue.repeat(5, axis=0).repeat(5, axis=1)) > 0.97


def test_refusals() -> None:
    volume = film()[0]
    with pytest.raises(UsageError, match="mammograms"):
        breast(replace(volume, modality="CT"))
    with pytest.raises(UnknownNameError):
        breast(volume, chest_wall="top")
    with pytest.raises(GeometryError, match="too small"):
        breast(volume.crop((0, 0, 0), (1, 40, 40)))
    with pytest.raises(GeometryError, match="flat"):
        breast(Volume(np.zeros((3, 80, 80), np.uint8), np.eye(4)))
    with pytest.raises(ImageContentError):
        breast(volume.with_array(np.full(volume.shape, 9, np.uint8), "even"))


def lesions(folder: Path) -> list[tuple[str, int, int]]:
    with open(folder / "labels.csv", newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["x_px"]]
    return [(row["file"], int(float(row["y_px"])), int(float(row["x_px"]))) for row in rows]


def test_real_mammograms(data_root: Path) -> None:
    folder = data_root / "mias_mammo"
    for name, row, column in lesions(folder)[:4]:
        assert breast(raster.read(folder / name)).array[0, row, column] == 1


@pytest.mark.slow
def test_every_lesion_on_tissue_lies_in_the_breast(data_root: Path) -> None:
    folder = data_root / "mias_mammo"
    answers = []
    for name, row, column in lesions(folder):
        volume = raster.read(folder / name)
        if volume.array[0, row - 2 : row + 3, column - 2 : column + 3].max() >= 10:
            answers.append(breast(volume).array[0, row, column] == 1)
    assert len(answers) >= 80
    assert np.mean(answers) >= 0.99
