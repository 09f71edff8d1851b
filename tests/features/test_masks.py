"""Masks from files: labels, names, grids, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vesalius import io
from vesalius.core import Code, Mask, Segment, Volume
from vesalius.core.errors import GeometryError, ImageContentError, LabelError, UsageError
from vesalius.features.masks import chosen, on_grid, read_mask_file
from vesalius.io.labels import labels_json
from vesalius.phantoms import grid_affine


def boxes(shape: tuple[int, int, int] = (10, 20, 24)) -> Mask:
    """Return two boxes, labels 3 and 300."""
    array = np.zeros(shape, np.uint16)
    array[2:5, 3:9, 4:10] = 3
    array[6:8, 10:15, 12:20] = 300
    known = {k: Segment(n, Code(n, "99EXAMPLE", n), (1, 2, 3)) for k, n in ((3, "left"), (300, "right"))}
    return Mask(array, grid_affine(shape, spacing_mm=(2.0, 1.0, 1.0)), segments=known)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_names_come_from_the_table_beside_the_file(tmp_path: Path, suffix: str) -> None:
    mask = boxes()
    io.save(mask, tmp_path / f"m{suffix}")
    plain = read_mask_file(tmp_path / f"m{suffix}").masks[0]
    assert [segment.name for segment in plain.segments.values()] == ["label 3", "label 300"]
    (tmp_path / "m.labels.json").write_bytes(labels_json(mask))
    named = read_mask_file(tmp_path / f"m{suffix}").masks[0]
    assert named.segments == mask.segments
    assert np.array_equal(named.array, mask.array)


def test_a_part_of_a_grid_is_placed_also_when_turned() -> None:
    mask = boxes()
    part = mask.crop((1, 2, 3), (9, 16, 22))
    for given in (part, part.flip(0), part.transpose((2, 0, 1))):
        assert np.array_equal(on_grid(given, mask).array, mask.array)
    small = mask.crop((0, 0, 0), (7, 20, 24))
    with pytest.raises(GeometryError, match="beyond the image"):
        on_grid(part, small)
    shifted = mask.affine.copy()
    shifted[:3, 3] += 0.3
    moved = Mask(mask.array, shifted, segments=dict(mask.segments))
    with pytest.raises(GeometryError, match="--fit-mask"):
        on_grid(moved, mask)
    assert on_grid(moved, mask, fit=True).same_grid(mask)


def test_segments_by_name_or_number() -> None:
    mask = boxes()
    assert [label for _, label in chosen([mask])] == [3, 300]
    assert [label for _, label in chosen([mask], ["right", "3"])] == [300, 3]
    with pytest.raises(LabelError, match="left"):
        chosen([mask], ["middle"])
    with pytest.raises(ImageContentError, match="empty"):
        chosen([mask.with_array(mask.array * 0, "emptied")])


def test_segmentations_of_others(data_root: Path) -> None:
    folder = data_root / "dicom_highdicom"
    with io.scan(folder / "ct_image.dcm") as found:
        volume = io.load(found.studies[0].series[0])
    apart = read_mask_file(folder / "seg_image_ct_binary_overlap.dcm")
    assert len(apart.masks) == 2
    with pytest.raises(UsageError, match="one segmentation"):
        read_mask_file(folder)
    one = read_mask_file(folder / "seg_image_ct_binary_single_frame.dcm")
    assert one.masks[0].array.any()
    assert volume.shape[0] == 1


@pytest.mark.parametrize(
    ("array", "error"),
    [
        (np.full((4, 5, 6), -1, np.int16), ImageContentError),
        (np.full((4, 5, 6), 0.5, np.float32), ImageContentError),
        (np.full((4, 5, 6), np.nan, np.float32), ImageContentError),
        (np.full((4, 5, 6), 70000, np.int32), ImageContentError),
    ],
)
def test_what_is_no_mask_is_refused(tmp_path: Path, array: np.ndarray, error: type[Exception]) -> None:
    io.save(Volume(array, grid_affine(array.shape, spacing_mm=(1.0, 1.0, 1.0))), tmp_path / "m.nii.gz")
    with pytest.raises(error, match="whole numbers"):
        read_mask_file(tmp_path / "m.nii.gz")
    with pytest.raises(UsageError, match="no such file"):
        read_mask_file(tmp_path / "none.nii.gz")


def test_a_picture_has_a_label_per_colour_or_grey_value(tmp_path: Path) -> None:
    from PIL import Image

    colours = np.zeros((20, 30, 3), np.uint8)
    colours[2:5, 3:9], colours[10:15, 3:9] = (255, 0, 0), (0, 255, 0)
    Image.fromarray(colours).save(tmp_path / "m.png")
    mask = read_mask_file(tmp_path / "m.png").masks[0]
    assert {segment.name: segment.colour for segment in mask.segments.values()} == {
        "#00ff00": (0, 255, 0),
        "#ff0000": (255, 0, 0),
    }
    assert np.array_equal(mask.binary("#ff0000")[0], colours[..., 0] > 0)
    grey = np.repeat(np.where(colours.any(axis=2)[..., None], 255, 0), 3, axis=2).astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "g.png")
    assert np.array_equal(read_mask_file(tmp_path / "g.png").masks[0].array[0], grey[..., 0])
    Image.fromarray(np.arange(600).reshape(20, 30).astype(np.uint8)).save(tmp_path / "s.png")
    with pytest.raises(ImageContentError, match="soft edges"):
        read_mask_file(tmp_path / "s.png")


def test_an_image_given_for_its_mask_is_refused(tmp_path: Path) -> None:
    import nibabel

    values = np.arange(12**3, dtype=np.int16).reshape(12, 12, 12)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "image.nii.gz")
    with pytest.raises(ImageContentError, match=r"no mask.*1727 values.*at most 500"):
        read_mask_file(tmp_path / "image.nii.gz")
