"""MetaImage, attached (.mha) and detached (.mhd). World coordinates are LPS, as ITK writes and reads them.

The header is ten lines of text, parsed here so that sizes are judged before anything is allocated; SimpleITK is the
judge in the tests. Free text (Comment, Name, ...) may hold a patient's name: it is neither kept nor written.

Source: https://itk.org/Wiki/ITK/MetaIO/Documentation
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from vesalius.core import Axis, AxisKind, Frame, Geometry, Mask, Message, Series, Spacing, Verdict, Volume
from vesalius.core.errors import GeometryError, ReadError, UnsupportedError
from vesalius.core.grid import Affine
from vesalius.io.atomic import writing
from vesalius.io.inflate import Packing, Place, check_declared, read_voxels, reading, truncated
from vesalius.io.nifti_write import LEVEL, planes, stored_dtype
from vesalius.io.single import (
    FLAT,
    Found,
    beside,
    check_sizes,
    colours,
    numbered,
    path_of,
    read_step,
    series_of,
    usable_affine,
    verdict_of,
)
from vesalius.io.voxels import settled

FORMAT = "mha"
HEADER_BYTES = 2**16
"""Most bytes of a header."""
_TYPES = {
    "MET_CHAR": "int8",
    "MET_UCHAR": "uint8",
    "MET_SHORT": "int16",
    "MET_USHORT": "uint16",
    "MET_INT": "int32",
    "MET_UINT": "uint32",
    "MET_LONG_LONG": "int64",
    "MET_ULONG_LONG": "uint64",
    "MET_FLOAT": "float32",
    "MET_DOUBLE": "float64",
}
_NAMES = {dtype: name for name, dtype in _TYPES.items()}
_MODALITIES = {"MET_MOD_CT": "CT", "MET_MOD_MR": "MR", "MET_MOD_NM": "NM", "MET_MOD_US": "US"}
_MET = {"CT": "MET_MOD_CT", "MR": "MET_MOD_MR", "NM": "MET_MOD_NM", "US": "MET_MOD_US"}
_MM_PER_UNIT = {"mm": 1.0, "um": 0.001, "cm": 10.0}
_AXES = ("TransformMatrix", "Orientation", "Rotation", "Direction")
_ORIGINS = ("Offset", "Position", "Origin")
_MSB = ("BinaryDataByteOrderMSB", "ElementByteOrderMSB")


@dataclass(frozen=True, eq=False)
class _Header:
    """Parsed fields, and where and how the voxels are stored; sizes fastest first, as in the file."""

    fields: Mapping[str, str]
    files: tuple[Path, ...]
    place: Place
    dtype: np.dtype[Any]
    sizes: tuple[int, ...]
    channels: int

    @property
    def count(self) -> int:
        """Return the number of stored values."""
        return int(np.prod(self.sizes, dtype=object)) * self.channels

    def numbers(self, names: tuple[str, ...], count: int, path: Path) -> NDArray[np.float64] | None:
        """Return the numbers of the first field that is there.

        Raises:
            ReadError: it holds another number of them.
        """
        name = next((n for n in names if n in self.fields), None)
        if name is None:
            return None
        values = np.array([float(v) for v in self.fields[name].split()], dtype=np.float64)
        if values.size != count:
            raise ReadError(
                f"{path.name}: {name} holds another number of values than the image has axes",
                found=str(values.size),
                expected=str(count),
            )
        return values


def describe_file(path: str | Path) -> Series:
    """Return the descriptor of a MetaImage file from its header, declared sizes checked against the file.

    Raises:
        ReadError: no MetaImage file, truncated, damaged, or with a singular affine.
        UnsupportedError: text voxels, a list of files, or a voxel type that is not read.
        LimitError: it would inflate beyond the limit.
    """
    path = Path(path)
    with reading(path, "MetaImage"):
        return series_of(path, FORMAT, _found(_parse(path), path))


def read(source: Series | Path | str) -> Volume:
    """Return the image as [slice, row, column(, n)], the slowest axis of the file first.

    Raises:
        ReadError: no MetaImage file, truncated, damaged, or with a singular affine.
        UnsupportedError: text voxels, a list of files, or a voxel type that is not read.
        LimitError: it would inflate beyond the limit.
    """
    path = path_of(source)
    with reading(path, "MetaImage"):
        header = _parse(path)
        found = _found(header, path)
        array, extra = _array(header, found)
    modality = source.modality if isinstance(source, Series) else found.modality
    geometry, history = found.geometry, read_step(FORMAT, array, extra)
    return Volume(array, geometry.affine, geometry.frame, geometry.spacing, history, modality, found.axis)


def _array(header: _Header, found: Found) -> tuple[NDArray[Any], int]:
    flat, extra = read_voxels(header.place, header.dtype, header.count)
    array = settled(flat.reshape(*header.sizes[::-1], header.channels))
    del flat
    array = np.moveaxis(array[..., 0], 0, -1) if len(header.sizes) == 4 else array
    if found.axis is not None and found.axis.kind is AxisKind.RGB:
        array = array[..., :3]
    shape = (*found.geometry.shape, len(found.axis)) if found.axis is not None else found.geometry.shape
    return np.ascontiguousarray(array).reshape(shape), extra


def _parse(path: Path) -> _Header:
    with open(path, "rb") as file:
        start = file.read(HEADER_BYTES)
    fields, end = dict[str, str](), 0
    while "ElementDataFile" not in fields:
        stop = start.find(b"\n", end)
        line = start[end : stop if stop >= 0 else len(start)].decode("latin-1")
        name, equals, value = line.partition("=")
        if not equals or len(fields) > 200:
            raise ReadError(
                f"{path.name} is no MetaImage file",
                expected="lines `Name = value` up to ElementDataFile",
                fix="check that the file is complete and is what its name says",
            )
        fields[name.strip()] = value.strip()
        end = stop + 1 if stop >= 0 else len(start)
        if stop < 0 and "ElementDataFile" not in fields:
            raise truncated(path, "MetaImage")
    return _header(fields, path, end)


def _flag(fields: Mapping[str, str], *names: str) -> bool:
    return any(fields.get(name, "").lower() in ("true", "1", "t") for name in names)


def _header(fields: dict[str, str], path: Path, data_start: int) -> _Header:
    sizes = tuple(int(v) for v in fields["DimSize"].split())
    channels = int(fields.get("ElementNumberOfChannels", "1"))
    if int(fields["NDims"]) != len(sizes) or not 2 <= len(sizes) <= 4 or (len(sizes) == 4 and channels > 1):
        raise UnsupportedError(
            f"{path.name} has a number of axes that is not read",
            found=f"NDims {fields['NDims'][:10]}, {len(sizes)} sizes, {channels} channels",
            expected="2 to 4 axes, channels with 2 or 3 only",
        )
    kind = _TYPES.get(fields["ElementType"].removesuffix("_ARRAY"))
    if kind is None or (fields.get("BinaryData", "True").lower() in ("false", "0", "f")):
        raise UnsupportedError(
            f"{path.name} stores voxels in a way that is not read",
            found=f"{fields['ElementType'][:40]}, BinaryData = {fields.get('BinaryData', 'True')[:10]}",
            expected=f"binary data of {', '.join(_TYPES)}",
        )
    dtype = np.dtype(kind).newbyteorder(">" if _flag(fields, *_MSB) else "<")
    count = check_sizes((*sizes, channels), path)
    files, place = _place(fields, path, data_start, count * dtype.itemsize)
    check_declared(place, count * dtype.itemsize)
    return _Header(fields, files, place, dtype, sizes, channels)


def _place(fields: Mapping[str, str], path: Path, data_start: int, nbytes: int) -> tuple[tuple[Path, ...], Place]:
    name = fields["ElementDataFile"]
    local = name.upper() == "LOCAL"
    if not local and (name.upper().startswith("LIST") or "%" in name):
        raise UnsupportedError(f"{path.name} keeps its slices in a list of files", fix="write it as one file first")
    file = path if local else beside(path, name)
    packing = Packing.ZLIB if _flag(fields, "CompressedData") else Packing.RAW
    skip = int(fields.get("HeaderSize", "0"))
    offset = data_start if local else max(skip, 0)
    if skip == -1 and packing is Packing.RAW:
        offset = max(file.stat().st_size - nbytes, offset)
    return ((path,) if local else (path, file)), Place(file, offset, packing)


def _found(header: _Header, path: Path) -> Found:
    columns, rows, slices = (*header.sizes, 1)[:3]
    geometry, problems = _geometry(header, path, (slices, rows, columns))
    axis, count = None, header.channels if len(header.sizes) < 4 else header.sizes[3]
    if count > 1:
        colour = header.channels in (3, 4) and header.dtype == np.uint8
        axis = colours() if colour else numbered(count)
        told = Message("file.colour_assumed") if colour else Message("file.axis_unknown", {"count": count})
        problems += [told] if not (colour and count == 4) else [told, Message("file.alpha_dropped")]
    if header.place.packing is Packing.RAW:
        extra = header.place.stored_bytes - header.count * header.dtype.itemsize
        problems += [Message("file.extra_bytes", {"count": extra})] if extra > 0 else []
    modality = _MODALITIES.get(header.fields.get("Modality", ""), "")
    dtype = header.dtype.newbyteorder("=").name
    return Found(geometry, dtype, axis, modality, tuple(problems), {}, header.files)


def _geometry(header: _Header, path: Path, shape: tuple[int, int, int]) -> tuple[Geometry, list[Message]]:
    """Return the geometry; without a TransformMatrix the place in the patient is not told."""
    count = len(header.sizes)
    problems = list[Message]()
    scale = _MM_PER_UNIT.get(header.fields.get("DistanceUnits", "mm").lower(), 1.0)
    if scale != 1.0:
        problems.append(Message("file.units_converted", {"scale": scale}))
    sizes = header.numbers(("ElementSpacing", "ElementSize"), count, path)
    known = sizes is not None
    zooms = np.abs(sizes[:3]) * scale if sizes is not None else np.ones(3)
    zooms = np.append(zooms, 1.0)[:3]
    matrix, origin = header.numbers(_AXES, count * count, path), header.numbers(_ORIGINS, count, path)
    if matrix is None or count == 2 or not known:
        affine = FLAT.copy()
        affine[:3, :3] *= zooms[[2, 1, 0]]
        problems.insert(0, Message("file.orientation_unknown" if known else "file.nothing_told"))
        spacing = Spacing.CALIBRATED if known and count > 2 else Spacing.UNKNOWN
        affine = usable_affine(affine, path, "ElementSpacing")
        return Geometry(shape, affine, Verdict.UNKNOWN, Frame.IMAGE, spacing), problems
    # MetaIO lists the direction of each axis in turn, so axes are the rows here and columns in an affine.
    axes = matrix.reshape(count, count)[:3, :3].T * zooms
    affine = np.eye(4)
    affine[:3, :3] = axes[:, ::-1]
    if origin is not None:
        affine[:3, 3] = origin[:3] * scale
    affine = usable_affine(affine, path, "TransformMatrix")
    return Geometry(shape, affine, verdict_of(affine)), problems


def to_bytes(image: Volume | Mask) -> bytes:
    """Return a compressed .mha file; equal images give equal bytes.

    Raises:
        GeometryError: the grid is sheared, which MetaImage cannot tell.
    """
    stream = io.BytesIO()
    _stream(image, stream)
    return stream.getvalue()


def write(image: Volume | Mask, path: str | Path) -> None:
    """Write an .mha file whole or not at all.

    Raises:
        GeometryError: the grid is sheared, which MetaImage cannot tell.
        UnsupportedError: the name asks for a detached .mhd file.
        OutputError: the file cannot be written.
    """
    if str(path).lower().endswith(".mhd"):
        raise UnsupportedError("MetaImage is written as one file", found=Path(path).name, expected="a name in .mha")
    refuse_shear(image)
    with writing(path) as stream:
        _stream(image, stream)


def refuse_shear(image: Volume | Mask) -> None:
    """Raise for a grid that MetaImage cannot tell.

    Raises:
        GeometryError: the grid is sheared.
    """
    if image.is_sheared:
        raise GeometryError(
            "MetaImage cannot hold a sheared grid (tilted gantry)",
            found=f"affine {np.round(image.affine, 4).tolist()}",
            expected="orthogonal axes",
            fix="resample it first (imaging.spatial.resample), or write NIfTI or NRRD, which hold it exactly",
        )


def _stream(image: Volume | Mask, stream: IO[bytes]) -> None:
    refuse_shear(image)
    dtype = stored_dtype(image)
    axis = image.axis if isinstance(image, Volume) else None
    interleaved = axis is not None and axis.kind is not AxisKind.TIME
    packer = zlib.compressobj(LEVEL)
    packed = [
        packer.compress(np.ascontiguousarray(plane, dtype=dtype.newbyteorder("<")).data)
        for plane in planes(image.array, interleaved)
    ]
    packed.append(packer.flush())
    stream.write(_header_text(image, dtype, axis, sum(len(p) for p in packed)).encode("ascii"))
    for part in packed:
        stream.write(part)


def _header_text(image: Volume | Mask, dtype: np.dtype[Any], axis: Axis | None, packed_bytes: int) -> str:
    slow = axis is not None and axis.kind is AxisKind.TIME
    count = 4 if slow else 3
    sizes = image.array.shape[2::-1] + ((len(axis),) if axis is not None and slow else ())
    zooms = np.linalg.norm(image.affine[:3, :3], axis=0)
    lines = ["ObjectType = Image", f"NDims = {count}", "BinaryData = True", "BinaryDataByteOrderMSB = False"]
    lines += ["CompressedData = True", f"CompressedDataSize = {packed_bytes}"]
    if image.frame is Frame.PATIENT:
        lines += _placed(image.affine, zooms, count)
    if image.spacing is not Spacing.UNKNOWN:
        lines.append(f"ElementSpacing = {_text(np.append(zooms[::-1], 1.0)[:count])}")
    lines.append(f"DimSize = {' '.join(str(n) for n in sizes)}")
    if axis is not None and not slow:
        lines.append(f"ElementNumberOfChannels = {len(axis)}")
    if isinstance(image, Volume) and image.modality in _MET:
        lines.append(f"Modality = {_MET[image.modality]}")
    kind = _NAMES[dtype.name] + ("_ARRAY" if axis is not None and not slow else "")
    return "\n".join([*lines, f"ElementType = {kind}", "ElementDataFile = LOCAL"]) + "\n"


def _placed(affine: Affine, zooms: NDArray[np.float64], count: int) -> list[str]:
    matrix = np.eye(count)
    matrix[:3, :3] = (affine[:3, :3] / zooms)[:, ::-1].T
    origin = np.append(affine[:3, 3], 0.0)[:count]
    told = [f"TransformMatrix = {_text(matrix.ravel())}", f"Offset = {_text(origin)}"]
    return [*told, f"CenterOfRotation = {_text(np.zeros(count))}"]


def _text(values: NDArray[np.float64]) -> str:
    return " ".join(repr(float(v) + 0.0) for v in values)
