"""MedMNIST archives: `train_images`, `train_labels`, `val_...`, `test_...` in one .npz."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from vesalius.core.cohort import SPLITS, Cohort
from vesalius.core.errors import ReadError

LARGEST_BYTES = 8 * 2**30
"""No array of an archive may declare more than this."""


class Reader:
    """Reads MedMNIST archives; images stay in the file until a case is loaded."""

    def takes(self, path: Path) -> bool:
        """Return whether it is an .npz with images and labels of a split."""
        if not path.is_file() or path.suffix.lower() != ".npz":
            return False
        return any(_pair(path, split) is not None for split in SPLITS)

    def read(self, path: Path) -> Cohort:
        """Return one case per image; the number in `path` counts through train, val and test.

        Raises:
            ReadError: images and labels differ in number, or a label that is no single number.
        """
        labels: list[str] = []
        splits: list[str] = []
        for split in SPLITS:
            shapes = _pair(path, split)
            if shapes is None:
                continue
            values = read_member(path, f"{split}_labels")
            if values.shape[0] != shapes[0]:
                raise ReadError(
                    f"{path}: {split}_images and {split}_labels differ in number",
                    found=f"{shapes[0]} and {values.shape[0]}",
                )
            if values.reshape(len(values), -1).shape[1] != 1:
                raise ReadError(
                    f"{path}: {split}_labels holds several labels a case", expected="one class number per image"
                )
            labels += [f"{v:g}" for v in values.reshape(-1).astype(float)]
            splits += [split] * len(values)
        paths = [f"{path.name}#{number}" for number in range(len(labels))]
        columns = {"path": np.array(paths), "label": np.array(labels), "split": np.array(splits)}
        return Cohort(columns, path.parent, "medmnist")


def _pair(path: Path, split: str) -> tuple[int, int] | None:
    shapes = member_shapes(path)
    images, labels = shapes.get(f"{split}_images"), shapes.get(f"{split}_labels")
    return (images[0], labels[0]) if images and labels else None


def member_headers(path: Path) -> dict[str, tuple[tuple[int, ...], np.dtype[np.generic]]]:
    """Return name -> (shape, type) of the arrays of an .npz, from their headers; nothing is unpickled.

    Raises:
        ReadError: no zip, or a member that is no array.
    """
    found = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if not name.endswith(".npy"):
                    raise ValueError(name)
                with archive.open(name) as stream:
                    version = npy.read_magic(stream)
                    reader = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
                    shape, _, kind = reader(stream)
                    found[name.removesuffix(".npy")] = (shape, kind)
    except (OSError, ValueError, zipfile.BadZipFile, KeyError) as error:
        raise ReadError(f"{path} is no archive of arrays", found=type(error).__name__) from None
    return found


def member_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Return name -> shape of the arrays of an .npz; {} when it is none."""
    try:
        return {name: shape for name, (shape, _) in member_headers(path).items()}
    except ReadError:
        return {}


def read_member(path: Path, name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    """Return one array of an .npz; never unpickles.

    Raises:
        ReadError: no such array, larger than the limit, or damaged.
    """
    shape = member_shapes(path).get(name)
    if shape is None:
        raise ReadError(f"{path} holds no array {name!r}")
    if int(np.prod(shape, dtype=np.int64)) > LARGEST_BYTES:
        raise ReadError(f"{path}: array {name!r} is too large", found=str(shape), expected=f"<= {LARGEST_BYTES} values")
    try:
        with np.load(path, allow_pickle=False) as archive:
            array: np.ndarray[tuple[int, ...], np.dtype[np.generic]] = archive[name]
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise ReadError(f"{path}: array {name!r} cannot be read", found=type(error).__name__) from None
    return array
