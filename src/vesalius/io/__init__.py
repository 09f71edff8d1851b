"""Reading and writing images: DICOM, NIfTI, NRRD, MetaImage and pictures.

`scan` finds studies, `load` gives the volume of one series, `save` writes one image; `describe` is what
`vesalius info` prints. Nothing here resamples.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vesalius.io.describe import Description, Entry, describe
from vesalius.io.load import identity, input_hash, load, load_slices, source_headers
from vesalius.io.scan import Failure, Scan, scan

if TYPE_CHECKING:
    from vesalius.core import Mask, Volume

__all__ = [
    "Description",
    "Entry",
    "Failure",
    "Scan",
    "describe",
    "identity",
    "input_hash",
    "load",
    "load_slices",
    "save",
    "scan",
    "source_headers",
]


def save(image: Volume | Mask, path: Path | str) -> None:
    """Write one image in the format that the suffix names, beside the target and then renamed.

    Raises:
        UsageError: a suffix that no writer knows.
        OutputError: the folder cannot be written or the disk is full.
    """
    from vesalius.io import convert

    convert.save(image, path)
