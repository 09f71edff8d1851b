"""The one way from a descriptor to voxels, for every format."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vesalius.core import Identity, Series, Study, Volume
from vesalius.core.errors import UnsupportedError, UsageError

if TYPE_CHECKING:
    from pydicom import Dataset

_CHUNK = 1 << 20


def load(series: Series) -> Volume:
    """Return the volume of a series.

    Raises:
        IrregularGeometryError: the slices do not form a grid; names them.
        LimitError: sizes that the file declares do not fit its length.
        ReadError: a file cannot be read as what it claims to be.
        UnsupportedError: a kind of image that Vesalius does not read.
    """
    return _reader(series.format)(series)


def load_slices(series: Series) -> tuple[Volume, ...]:
    """Return every slice as a volume one slice thick with its own affine, in stack order.

    This is what an irregular stack offers; `imaging.spatial.regrid` makes one grid of them.
    """
    if series.format == "dicom":
        from vesalius.io.dicom import read

        return read.load_slices(series)
    volume = load(series)
    count = volume.shape[0]
    return tuple(volume.crop((i, 0, 0), (i + 1, *volume.shape[1:])) for i in range(count))


def source_headers(series: Series) -> list[Dataset]:
    """Return the headers of the stored objects without pixels, in stack order, each object once.

    Raises:
        UsageError: the series is not DICOM.
    """
    if series.format != "dicom":
        raise UsageError("only a DICOM series has DICOM headers", found=f"format {series.format!r}")
    from vesalius.io.dicom import read

    return read.source_headers(series)


def identity(study: Study) -> Identity:
    """Return who the patient is, read again from the headers; empty for formats that do not tell."""
    series = next((s for s in study.series if s.format == "dicom"), None)
    if series is None:
        return Identity()
    from vesalius.io.dicom import read

    return read.identity(series)


def input_hash(series: Series) -> str:
    """Return the SHA-256 over the bytes of the stored files in stack order, each file once, hexadecimal."""
    digest = hashlib.sha256()
    for path in dict.fromkeys(instance.path for instance in series.instances):
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    return digest.hexdigest()


def _reader(name: str) -> Callable[[Series], Volume]:
    module: Any
    if name == "dicom":
        from vesalius.io.dicom import read as module
    elif name == "nifti":
        from vesalius.io import nifti

        module = nifti
    elif name == "nrrd":
        from vesalius.io import nrrd

        module = nrrd
    elif name == "mha":
        from vesalius.io import metaimage

        module = metaimage
    elif name == "raster":
        from vesalius.io import raster

        module = raster
    else:
        raise UnsupportedError("no reader for this format", found=repr(name))
    reader: Callable[[Series], Volume] = module.load if name == "dicom" else module.read
    return reader
