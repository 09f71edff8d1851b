"""Collimation and markers: phantoms with a known answer, and real radiographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from filter_phantoms import flat
from scipy import ndimage

from vesalius.core import Volume
from vesalius.core.errors import GeometryError, ImageContentError, UsageError
from vesalius.imaging import radiograph

LETTER = np.kron(
    np.array([[1, 1, 1, 0], [1, 0, 0, 1], [1, 1, 1, 0], [1, 0, 1, 0], [1, 0, 0, 1]], np.uint8),
    np.ones((5, 5), np.uint8),
)


def chest(seed: int = 0) -> np.ndarray:
    """Return a smooth picture like a chest, 40 to 200, with grain."""
    rows, columns = np.mgrid[:400, :480] / 400
    lungs = np.exp(-((columns - 0.35) ** 2 + (rows - 0.5) ** 2) / 0.03) + np.exp(
        -((columns - 0.85) ** 2 + (rows - 0.5) ** 2) / 0.03
    )
    return 180 - 130 * lungs.clip(0, 1) + np.random.default_rng(seed).normal(0, 3, rows.shape)


@pytest.mark.parametrize("shutter", [0, 255])
def test_shutters_are_cut_to_the_pixel(shutter: int) -> None:
    picture = np.full((500, 600), shutter, float)
    picture += np.random.default_rng(1).normal(0, 1, picture.shape)
    picture[60:460, 90:570] = chest()
    volume = flat(picture.clip(0, 255).astype(np.uint8), 0.2)
    result = radiograph.crop_collimation(volume)
    assert radiograph.exposed_field(volume) == ((0, 60, 90), (1, 460, 570))
    assert result.shape == (1, 400, 480)
    assert np.allclose(result.index_to_world((0, 0, 0)), volume.index_to_world((0, 60, 90)))


def test_a_letter_on_the_shutter_does_not_stop_the_cut() -> None:
    picture = np.zeros((500, 600))
    picture[60:460, 90:570] = chest()
    picture[20:45, 300:320] = 250 * LETTER
    assert radiograph.exposed_field(flat(picture.clip(0, 255).astype(np.uint8)))[0] == (0, 60, 90)


def test_an_open_field_is_kept_whole() -> None:
    volume = flat(chest().astype(np.uint8))
    assert radiograph.crop_collimation(volume).shape == volume.shape


@pytest.mark.parametrize("place", [(30, 30), (200, 130), (350, 400)])
def test_a_letter_is_found_and_filled(place: tuple[int, int]) -> None:
    truth = chest()
    picture = truth.copy()
    where = np.zeros(picture.shape, bool)
    where[place[0] : place[0] + 25, place[1] : place[1] + 20] = LETTER > 0
    picture[where] = 250
    volume = flat(picture.clip(0, 255).astype(np.uint8), None)
    mask = radiograph.marker_mask(volume)
    found = mask.array[0] > 0
    assert found[where].mean() > 0.97
    assert (found & ~ndimage.binary_dilation(where, iterations=5)).sum() == 0
    assert mask.label_of("marker") == 1
    filled = radiograph.remove_markers(volume)
    assert np.abs(filled.array[0][where].astype(float) - truth[where]).mean() < 15
    assert np.array_equal(filled.array[0][~found], volume.array[0][~found])
    assert filled.array.dtype == np.uint8


def test_a_large_picture_keeps_its_place() -> None:
    large = np.kron(chest(), np.ones((4, 4)))
    large[200:300, 200:280] = np.where(np.kron(LETTER, np.ones((4, 4))) > 0, 250, large[200:300, 200:280])
    found = radiograph.marker_mask(flat(large.astype(np.uint8))).array[0] > 0
    rows, columns = np.argwhere(found).mean(axis=0)
    assert (rows, columns) == pytest.approx((250, 236), abs=8)


def test_a_picture_without_markers_is_left_alone() -> None:
    volume = flat(chest().astype(np.uint8))
    assert not radiograph.marker_mask(volume).array.any()
    assert np.array_equal(radiograph.remove_markers(volume).array, volume.array)


def test_mammogram_labels_are_found_and_lesions_are_not(data_root: Path) -> None:
    """Bright labels beside the breast go; no annotated lesion centre is taken for a marker."""
    from vesalius.io import raster

    folder = data_root / "mias_mammo"
    lines = [line.split(",") for line in (folder / "labels.csv").read_text().splitlines()]
    columns = {name: index for index, name in enumerate(lines[0])}
    hit = seen = 0
    for line in [one for one in lines[1:] if one[columns["label"]] != "normal"][:30]:
        place = [line[columns[name]] for name in ("y", "x") if name in columns]
        if len(place) < 2 or not all(place):
            continue
        seen += 1
        found = radiograph.marker_mask(raster.read(folder / line[columns["file"]])).array[0]
        row, column = (min(max(int(float(p)), 0), 511) for p in place)
        hit += int(found[row, column])
    assert hit <= 0.04 * max(seen, 1)
    labelled = radiograph.marker_mask(raster.read(next(folder.rglob("mdb292.png")))).array[0]
    assert labelled[:100, 256:].sum() > 500


def test_chest_letters_are_found(data_root: Path) -> None:
    from vesalius.io import raster

    paths = sorted((data_root / "cxr_pneumonia_kermany").rglob("IM-*.jp*g"))[:3]
    found = 0
    for path in paths:
        volume = raster.read(path)
        mask = radiograph.marker_mask(volume if volume.axis is None else volume.element(0)).array[0]
        found += bool(mask.any())
        assert mask.mean() < 0.02
    assert found >= len(paths) - 1


def test_bad_input_is_refused_with_the_fix() -> None:
    deep = Volume(np.zeros((3, 9, 9), np.uint8), np.eye(4))
    with pytest.raises(GeometryError, match=r"volume.crop"):
        radiograph.crop_collimation(deep)
    with pytest.raises(ImageContentError, match="constant"):
        radiograph.marker_mask(flat(np.ones((50, 50), np.uint8)))
    with pytest.raises(ImageContentError, match="NaN"):
        radiograph.crop_collimation(flat(np.full((50, 50), np.nan, np.float32)))
    with pytest.raises(UsageError, match="contrast"):
        radiograph.marker_mask(flat(chest()), contrast=2)
    with pytest.raises(UsageError, match="tolerance"):
        radiograph.exposed_field(flat(chest()), tolerance=0.9)
