"""One folder per class, or one folder per split with the classes inside."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vesalius.core.cohort import Cohort
from vesalius.core.errors import NothingFoundError

IMAGES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".dcm", ".nii", ".nii.gz", ".nrrd", ".mha", ".npy")
SPLIT_NAMES = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


class Reader:
    """Reads classes from the names of folders."""

    def takes(self, path: Path) -> bool:
        """Return whether there are at least two sub-folders with images, or splits that hold such."""
        if not path.is_dir():
            return False
        folders = _folders(path)
        splits = [one for one in folders if one.name.lower() in SPLIT_NAMES]
        places = splits if splits else [path]
        return any(sum(1 for one in _folders(place) if any(_images(one))) >= 2 for place in places)

    def read(self, path: Path) -> Cohort:
        """Return one case per image; the class is the folder's name."""
        splits = {one: SPLIT_NAMES[one.name.lower()] for one in _folders(path) if one.name.lower() in SPLIT_NAMES}
        rows = [
            (image.relative_to(path).as_posix(), folder.name, split)
            for place, split in (splits or {path: ""}).items()
            for folder in _folders(place)
            for image in _images(folder)
        ]
        if not rows:
            raise NothingFoundError(f"{path} holds no image in a class folder", expected=", ".join(IMAGES))
        paths, labels, names = (np.array(column) for column in zip(*rows, strict=True))
        cohort = Cohort({"path": paths, "label": labels}, path, "folders")
        return cohort.with_columns(split=names) if splits else cohort


def _folders(path: Path) -> list[Path]:
    return sorted(one for one in path.iterdir() if one.is_dir() and not one.name.startswith("."))


def _images(folder: Path) -> list[Path]:
    inside = (one for one in folder.rglob("*") if one.is_file() and not one.name.startswith("."))
    return sorted(one for one in inside if one.name.lower().endswith(IMAGES))
