"""A head painted from the atlas, where its face is, and DICOM slices of it."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from deid_objects import MR, image, stored
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from scipy.ndimage import distance_transform_edt

from vesalius.core.volume import Volume
from vesalius.privacy.deface import Face
from vesalius.segment.tissue.atlas import load_atlas

BRIGHTNESS = (264, 280, 400, 360, 100, 180, 100, 300, 8)
"""Of the atlas's classes: cortex to air."""


def head() -> Volume:
    """Return the most likely head of the atlas, T1-weighted, 2 mm, with a little noise."""
    atlas = load_atlas()
    classes = np.where(atlas.known, atlas.probabilities.argmax(axis=0), 8)
    array = np.array(BRIGHTNESS, np.float32)[classes]
    array += np.random.default_rng(0).normal(0, 4, array.shape).astype(np.float32)
    return Volume(np.clip(np.round(array), 0, 4095).astype(np.int16), atlas.affine, modality="MR")


def face(background: float = 0.0) -> Face:
    """Return where the face of that head is, without looking for it."""
    atlas = load_atlas()
    away = distance_transform_edt(~((atlas.brain > 0.05) & atlas.known), sampling=atlas.spacing_mm)
    packed = zlib.compress(np.minimum(2 * away, 255).astype(np.uint8).tobytes())
    moved = {"nose": 50.0, "left_eye": 20.0, "right_eye": 20.0}
    return Face(np.eye(4), background, 0.8, 1.0, moved, packed, np.asarray(atlas.affine), atlas.shape)


def slice_of(volume: Volume, index: int, **values: Any) -> Dataset:
    """Return an axial slice of a volume as an MR object of an invented patient."""
    origin = volume.affine[:3, :3] @ (index, 0, 0) + volume.affine[:3, 3]
    told: dict[str, Any] = {
        **{"SOPClassUID": MR, "Modality": "MR", "BodyPartExamined": "HEAD", "SeriesDescription": "T1"},
        **{"Rows": volume.shape[1], "Columns": volume.shape[2], "PixelSpacing": [2, 2], "SliceThickness": "2"},
        **{"ImagePositionPatient": [float(part) for part in origin], "RescaleIntercept": "0"},
        "SOPInstanceUID": f"1.2.3.4.{values.get('SeriesInstanceUID', '1.2.3.2')[-1]}.{index}",
        "PixelData": volume.array[index].astype("<u2").tobytes(),
    }
    return image(index, **{**told, **values})


def series(volume: Volume, folder: Path, indices: range, **values: Any) -> list[Path]:
    """Write slices and return their paths."""
    return [stored(slice_of(volume, i, **values), folder / f"{i:03d}.dcm", ExplicitVRLittleEndian) for i in indices]


def pixels(data: Dataset) -> NDArray[Any]:
    """Return the pixels of a native or compressed object."""
    array: NDArray[Any] = data.pixel_array
    return array
