"""NIfTI headers: what kind of file it is, where its voxels lie, and whether it can hold what it declares."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vesalius.core.errors import ReadError, UnsupportedError
from vesalius.io.inflate import Packing, Place, check_declared, truncated
from vesalius.io.single import check_sizes

_MAGIC = {(348, b"n+1\0"): True, (348, b"ni1\0"): False, (540, b"n+2\0"): True, (540, b"ni2\0"): False}


@dataclass(frozen=True, eq=False)
class Header:
    """A parsed header: nibabel's object, its files, and the voxels' place, type and sizes in file order."""

    fields: Any
    files: tuple[Path, ...]
    place: Place
    dtype: np.dtype[Any]
    sizes: tuple[int, ...]

    def code(self, name: str) -> int:
        """Return an integer header field."""
        return int(self.fields[name])


def parse(path: Path) -> Header:
    """Return the parsed header, its declared sizes checked against the file; call it inside `inflate.reading`.

    Raises:
        ReadError: no NIfTI file, truncated or damaged.
        UnsupportedError: Analyze 7.5, complex or other voxel types that are not read.
        LimitError: it would inflate beyond the limit.
    """
    import nibabel

    header_path = _header_path(path)
    block, packing = _first_bytes(header_path)
    size, magic = _kind(block, path)
    single = _MAGIC[size, magic]
    kind = nibabel.Nifti1Header if size == 348 else nibabel.Nifti2Header
    fields = kind(binaryblock=block[:size], check=False)
    data_path = header_path if single else _pair_path(header_path)
    packing = packing if single else _packing(data_path)
    dtype, sizes = _dtype(fields, path), _sizes(fields, path)
    offset = _offset(fields, size + 4 if single else 0, path)
    raw = packing is Packing.RAW
    place = Place(data_path, offset if raw else 0, packing, 0 if raw else offset)
    check_declared(place, check_sizes(sizes, path) * dtype.itemsize)
    return Header(fields, (header_path,) if single else (header_path, data_path), place, dtype, sizes)


def _header_path(path: Path) -> Path:
    name = path.name.lower()
    for image, header in ((".img.gz", ".hdr.gz"), (".img", ".hdr")):
        if name.endswith(image):
            stem = path.name[: -len(image)]
            near = [path.with_name(stem + s) for s in (header, header.upper(), ".hdr")]
            return next((p for p in near if p.exists()), near[0])
    return path


def _pair_path(header_path: Path) -> Path:
    stem = header_path.name
    for suffix in (".gz", ".hdr"):
        stem = stem[: -len(suffix)] if stem.lower().endswith(suffix) else stem
    for suffix in (".img", ".img.gz", ".IMG"):
        if (near := header_path.with_name(stem + suffix)).exists():
            return near
    raise ReadError(
        f"{header_path.name} is the header of a pair and its voxels are missing",
        expected=f"{stem}.img or {stem}.img.gz beside it",
        fix="put both files into one folder",
    )


def _packing(path: Path) -> Packing:
    with open(path, "rb") as file:
        return Packing.GZIP if file.read(2) == b"\x1f\x8b" else Packing.RAW


def _first_bytes(path: Path) -> tuple[bytes, Packing]:
    packing = _packing(path)
    with gzip.open(path) if packing is Packing.GZIP else open(path, "rb") as file:
        return file.read(544), packing


def _kind(block: bytes, path: Path) -> tuple[int, bytes]:
    """Return the header's size and magic, whatever the byte order."""
    if len(block) < 348:
        raise truncated(path, "NIfTI", f"{len(block)} bytes", "a header of 348 or 540 bytes")
    sizes = {int.from_bytes(block[:4], "little"), int.from_bytes(block[:4], "big")}
    if 540 in sizes and len(block) >= 540 and (540, block[4:8]) in _MAGIC:
        return 540, block[4:8]
    if 348 in sizes:
        if (348, block[344:348]) in _MAGIC:
            return 348, block[344:348]
        raise UnsupportedError(
            f"{path.name} is an Analyze 7.5 file: that format does not tell left from right",
            expected="a NIfTI header (magic n+1, ni1, n+2 or ni2)",
            fix="convert the original DICOM files to NIfTI instead",
        )
    raise ReadError(
        f"{path.name} is no NIfTI file",
        found=f"header size field {min(sizes)}",
        expected="348 (NIfTI-1) or 540 (NIfTI-2)",
        fix="check that the file is complete and is what its name says",
    )


def _dtype(fields: Any, path: Path) -> np.dtype[Any]:
    from nibabel.nifti1 import data_type_codes

    code = int(fields["datatype"])
    known = {int(k) for k in data_type_codes.code if isinstance(k, int | np.integer)}
    dtype = np.dtype(data_type_codes.dtype[code]) if code in known else np.dtype("V0")
    if dtype.kind == "c":
        raise UnsupportedError(
            f"{path.name} holds complex numbers", fix="write its magnitude (or phase) as real numbers first"
        )
    if dtype.itemsize == 0 or (dtype.kind == "f" and dtype.itemsize > 8):
        raise UnsupportedError(
            f"{path.name} has a voxel type that is not read",
            found=f"NIfTI datatype code {code}",
            expected="8 to 64-bit integers, 32 or 64-bit floats, RGB24 or RGBA32",
            fix="convert it to float32",
        )
    return dtype if dtype.names else dtype.newbyteorder(fields.endianness)


def _sizes(fields: Any, path: Path) -> tuple[int, ...]:
    """Return the sizes in file order, trailing ones of the fourth dimension on removed."""
    dim = [int(d) for d in fields["dim"]]
    if not 2 <= dim[0] <= 7:
        what = "has one dimension" if dim[0] == 1 else f"declares {dim[0]} dimensions"
        raise ReadError(f"{path.name} {what}", expected="2 to 4", fix="check that the file is an intact image")
    sizes = [*dim[1 : dim[0] + 1], 1][: max(dim[0], 3)]
    check_sizes(tuple(sizes), path)
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes.pop()
    return tuple(sizes)


def _offset(fields: Any, least: int, path: Path) -> int:
    told = float(fields["vox_offset"])
    if not np.isfinite(told) or told < 0 or (0 < told < least):
        raise ReadError(
            f"{path.name}: the header says that the voxels begin inside the header",
            found=f"vox_offset {told:g}",
            expected=f"at least {least}",
            fix="check that the file is intact",
        )
    return int(told) or least
