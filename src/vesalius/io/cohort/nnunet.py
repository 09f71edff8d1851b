"""nnU-Net raw data: `dataset.json`, `imagesTr/<case>_0000.nii.gz`, `labelsTr/<case>.nii.gz`, `imagesTs`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from vesalius.core.cohort import Cohort
from vesalius.core.errors import NothingFoundError, ReadError


class Reader:
    """Reads nnU-Net raw data; of several channels the first is the path, the others are columns `channel_<n>`."""

    def takes(self, path: Path) -> bool:
        """Return whether there is a `dataset.json` beside `imagesTr`."""
        return (path / "dataset.json").is_file() and (path / "imagesTr").is_dir()

    def read(self, path: Path) -> Cohort:
        """Return one case per training or test image.

        Raises:
            ReadError: `dataset.json` cannot be read.
            NothingFoundError: there is no image.
        """
        ending = _ending(path / "dataset.json")
        rows = [
            {"path": one, "mask": mask, "split": split, **others}
            for folder, labels, split in (("imagesTr", "labelsTr", "train"), ("imagesTs", "labelsTs", "test"))
            for one, mask, others in _cases(path, folder, labels, ending)
        ]
        if not rows:
            raise NothingFoundError(f"{path}/imagesTr holds no image", expected=f"<case>_0000{ending}")
        names = list(dict.fromkeys(name for row in rows for name in row))
        return Cohort({name: np.array([row.get(name, "") for row in rows]) for name in names}, path, "nnunet")


def _ending(path: Path) -> str:
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
        return str(content.get("file_ending", ".nii.gz"))
    except (OSError, ValueError, AttributeError) as error:
        raise ReadError(
            f"{path} cannot be read", found=type(error).__name__, expected="nnU-Net's dataset.json"
        ) from None


def _cases(path: Path, folder: str, labels: str, ending: str) -> list[tuple[str, str, dict[str, str]]]:
    found = []
    for image in sorted((path / folder).glob(f"*_0000{ending}")) if (path / folder).is_dir() else ():
        case = image.name.removesuffix(f"_0000{ending}")
        mask = path / labels / f"{case}{ending}"
        others = sorted((path / folder).glob(f"{case}_[0-9][0-9][0-9][0-9]{ending}"))[1:]
        channels = {f"channel_{n}": one.relative_to(path).as_posix() for n, one in enumerate(others, start=1)}
        found.append(
            (
                image.relative_to(path).as_posix(),
                mask.relative_to(path).as_posix() if mask.is_file() else "",
                channels,
            )
        )
    return found
