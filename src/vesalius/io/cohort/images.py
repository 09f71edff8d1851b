"""The image of one case."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vesalius.core import Axis, AxisKind, Frame, Spacing, Volume
from vesalius.core.cohort import SPLITS, Cohort
from vesalius.core.errors import ReadError
from vesalius.io.cohort.archive import member_shapes, read_member


def load_case(cohort: Cohort, row: int, column: str = "path") -> Volume:
    """Return the image of a case: a file of any format that `scan` reads, or one image of an array file.

    Raises:
        LabelError: the case has no file.
        ReadError: the file is missing or cannot be read.
    """
    path, item = cohort.file(row, column)
    if not path.exists():
        raise ReadError(f"there is no file {path}", fix="paths are relative to the table")
    if item is not None:
        return _from_array(_member(path, item, path.stat().st_mtime_ns), path)
    from vesalius.io.load import load
    from vesalius.io.scan import scan

    with scan(path) as found:
        if found.failed:
            raise found.failed[0].error
        series = [one for study in found.studies for one in study.series]
        if len(series) != 1:
            raise ReadError(f"{path} holds {len(series)} series", expected="one image per case")
        return load(series[0])


def _member(path: Path, item: int, stamp: int) -> NDArray[np.generic]:
    images = _stacked(path, stamp)
    if item >= len(images):
        raise ReadError(f"{path} holds {len(images)} images", found=f"#{item}")
    image: NDArray[np.generic] = images[item]
    return image


@lru_cache(maxsize=2)
def _stacked(path: Path, stamp: int) -> NDArray[np.generic]:
    # `stamp` makes a changed file a new entry
    names = [f"{split}_images" for split in SPLITS if f"{split}_images" in member_shapes(path)]
    if not names:
        raise ReadError(f"{path} holds no images", expected="arrays train_images, val_images or test_images")
    return np.concatenate([read_member(path, name) for name in names])


def _from_array(array: NDArray[np.generic], path: Path) -> Volume:
    colour = array.ndim == 3 and array.shape[-1] in (3, 4)
    if colour:
        axis = Axis(AxisKind.RGB, ("red", "green", "blue"))
        return Volume(array[None, ..., :3], np.eye(4), frame=Frame.IMAGE, spacing=Spacing.UNKNOWN, axis=axis)
    if array.ndim == 2:
        return Volume(array[None], np.eye(4), frame=Frame.IMAGE, spacing=Spacing.UNKNOWN)
    if array.ndim == 3:
        return Volume(array, np.eye(4), frame=Frame.IMAGE, spacing=Spacing.UNKNOWN)
    raise ReadError(f"{path} holds arrays of {array.ndim} dimensions a case", expected="2, 3, or colour")
