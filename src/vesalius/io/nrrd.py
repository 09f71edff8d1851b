"""NRRD with attached and detached data. pynrrd parses headers; voxels are read within the limits of `io.inflate`.

Free text (content, key/value pairs) may hold a patient's name: it is neither kept nor written.

Source: http://teem.sourceforge.net/nrrd/format.html
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from vesalius.core import Axis, AxisKind, Frame, Geometry, Mask, Message, Series, Spacing, Verdict, Volume
from vesalius.core.errors import ReadError, UnsupportedError
from vesalius.io.atomic import writing
from vesalius.io.inflate import Packing, Place, check_declared, read_voxels, reading, truncated
from vesalius.io.nifti_write import LEVEL, stored_dtype, time_step
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

FORMAT = "nrrd"
HEADER_BYTES = 2**20
"""Most bytes of a header."""
_ENCODINGS = {
    "raw": Packing.RAW,
    "gzip": Packing.GZIP,
    "gz": Packing.GZIP,
    "bzip2": Packing.BZIP2,
    "bz2": Packing.BZIP2,
}
_SIGNS = {"right": (0, -1), "left": (0, 1), "anterior": (1, -1), "posterior": (1, 1), "inferior": (2, -1)}
_SIGNS["superior"] = (2, 1)
_SHORT = {"R": "right", "L": "left", "A": "anterior", "P": "posterior", "I": "inferior", "S": "superior"}
_MM_PER_UNIT = {"mm": 1.0, "millimeter": 1.0, "millimetre": 1.0, "cm": 10.0, "m": 1000.0, "um": 0.001, "µm": 0.001}
_SECONDS_PER_UNIT = {"s": 1.0, "sec": 1.0, "seconds": 1.0, "ms": 1e-3}
_COLOUR_KINDS = {"rgb-color": 3, "3-color": 3, "rgba-color": 4, "4-color": 4}
_TYPES = {
    "int8": ("signed char", "int8", "int8_t"),
    "uint8": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "int16": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "uint16": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "int32": ("int", "signed int", "int32", "int32_t"),
    "uint32": ("uint", "unsigned int", "uint32", "uint32_t"),
    "int64": ("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"),
    "uint64": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "float32": ("float",),
    "float64": ("double",),
}
_NUMPY = {name: dtype for dtype, names in _TYPES.items() for name in names}


@dataclass(frozen=True, eq=False)
class _Header:
    """Parsed fields, and where and how the voxels are stored; sizes fastest first, as in the file."""

    fields: Mapping[str, Any]
    files: tuple[Path, ...]
    place: Place
    dtype: np.dtype[Any]
    sizes: tuple[int, ...]
    spatial: tuple[int, ...]

    @property
    def other(self) -> int | None:
        """Return the axis that is not spatial, when it counts more than one."""
        rest = [n for n in range(len(self.sizes)) if n not in self.spatial and self.sizes[n] > 1]
        return rest[0] if rest else None


def describe_file(path: str | Path) -> Series:
    """Return the descriptor of an NRRD file from its header, declared sizes checked against the file.

    Raises:
        ReadError: no NRRD file, truncated, damaged, or with a singular affine.
        UnsupportedError: an encoding, voxel type or number of axes that is not read.
        LimitError: it would inflate beyond the limit.
    """
    path = Path(path)
    with reading(path, "NRRD"):
        return series_of(path, FORMAT, _found(_parse(path), path))


def read(source: Series | Path | str) -> Volume:
    """Return the image as [slice, row, column(, n)], the slowest spatial axis of the file first.

    Raises:
        ReadError: no NRRD file, truncated, damaged, or with a singular affine.
        UnsupportedError: an encoding, voxel type or number of axes that is not read.
        LimitError: it would inflate beyond the limit.
    """
    path = path_of(source)
    with reading(path, "NRRD"):
        header = _parse(path)
        found = _found(header, path)
        array, extra = _array(header, found)
    modality = source.modality if isinstance(source, Series) else ""
    geometry, history = found.geometry, read_step(FORMAT, array, extra)
    return Volume(array, geometry.affine, geometry.frame, geometry.spacing, history, modality, found.axis)


def _array(header: _Header, found: Found) -> tuple[NDArray[Any], int]:
    count = int(np.prod(header.sizes, dtype=object))
    flat, extra = read_voxels(header.place, header.dtype, count)
    array = settled(flat.reshape(header.sizes[::-1]))
    del flat
    if header.other is not None:
        array = np.moveaxis(array, len(header.sizes) - 1 - header.other, -1)
    if found.axis is not None and found.axis.kind is AxisKind.RGB:
        array = array[..., :3]
    shape = (*found.geometry.shape, len(found.axis)) if found.axis is not None else found.geometry.shape
    return np.ascontiguousarray(array.reshape(shape)), extra


def _parse(path: Path) -> _Header:
    import nrrd

    with open(path, "rb") as file:
        start = file.read(HEADER_BYTES)
    if not start.startswith(b"NRRD"):
        raise ReadError(
            f"{path.name} is no NRRD file",
            found=f"{len(start)} bytes that begin otherwise",
            expected="a first line NRRD0001 to NRRD0005",
            fix="check that the file is complete and is what its name says",
        )
    end = re.search(rb"\r?\n\r?\n", start)
    if end is None and len(start) == HEADER_BYTES:
        raise ReadError(f"{path.name}: its header does not end", expected=f"at most {HEADER_BYTES} bytes")
    lines = (start[: end.start()] if end else start).splitlines()
    try:
        fields = {key.lower(): value for key, value in nrrd.read_header(lines).items()}
    except nrrd.NRRDError as problem:
        raise ReadError(f"{path.name}: its header is damaged", expected="the fields of an NRRD header") from problem
    return _header(fields, path, end.end() if end else None)


def _header(fields: dict[str, Any], path: Path, data_start: int | None) -> _Header:
    name = fields.get("data file", fields.get("datafile"))
    if name is None and data_start is None:
        raise truncated(path, "NRRD")
    files = (path,) if name is None else (path, beside(path, str(name)))
    dtype, packing, sizes = _dtype(fields, path), _packing(fields, path), tuple(int(s) for s in fields["sizes"])
    if int(fields["dimension"]) != len(sizes):
        raise ReadError(f"{path.name}: dimension and sizes disagree", found=f"{fields['dimension']} and {len(sizes)}")
    nbytes = check_sizes(sizes, path) * dtype.itemsize
    start = 0 if name is not None else (data_start or 0)
    surplus = files[-1].stat().st_size - start - nbytes if packing is Packing.RAW else None
    place = Place(files[-1], _offset(fields, path, start, surplus), packing)
    check_declared(place, nbytes)
    return _Header(fields, files, place, dtype, sizes, _spatial(fields, sizes, path))


def _dtype(fields: Mapping[str, Any], path: Path) -> np.dtype[Any]:
    kind = _NUMPY.get(str(fields["type"]).lower())
    if kind is None:
        raise UnsupportedError(
            f"{path.name} has a voxel type that is not read", found=str(fields["type"])[:40], expected=", ".join(_TYPES)
        )
    dtype = np.dtype(kind)
    order = str(fields.get("endian", "")).lower()
    if dtype.itemsize > 1 and order not in ("little", "big"):
        raise ReadError(f"{path.name}: the header does not tell the byte order", expected="endian: little or big")
    return dtype.newbyteorder(">" if order == "big" else "<")


def _packing(fields: Mapping[str, Any], path: Path) -> Packing:
    encoding = str(fields["encoding"]).lower()
    if encoding not in _ENCODINGS:
        raise UnsupportedError(
            f"{path.name} has an encoding that is not read", found=encoding[:40], expected="raw, gzip or bzip2"
        )
    return _ENCODINGS[encoding]


def _offset(fields: Mapping[str, Any], path: Path, start: int, surplus: int | None) -> int:
    """Return where voxels begin; -1 as byte skip means that they end the file (raw only)."""
    lines = int(fields.get("line skip", fields.get("lineskip", 0)))
    skip = int(fields.get("byte skip", fields.get("byteskip", 0)))
    if lines or skip < -1 or (skip and surplus is None):
        raise UnsupportedError(f"{path.name} skips lines or compressed bytes", fix="write it again without line skip")
    if skip == -1 and surplus is not None:
        return start + max(surplus, 0)
    return start + skip


def _spatial(fields: Mapping[str, Any], sizes: tuple[int, ...], path: Path) -> tuple[int, ...]:
    """Return the axes that lie in space, fastest first."""
    directions = fields.get("space directions")
    if directions is not None:
        rows = [None if row is None else np.asarray(row, dtype=np.float64) for row in directions]
        if len(rows) != len(sizes):
            raise ReadError(f"{path.name}: space directions and sizes disagree", found=f"{len(rows)} and {len(sizes)}")
        spatial = tuple(n for n, row in enumerate(rows) if row is not None and np.isfinite(row).all())
    else:
        kinds = [str(kind).lower() for kind in fields.get("kinds", ["domain"] * len(sizes))]
        spatial = tuple(n for n, kind in enumerate(kinds[: len(sizes)]) if kind in ("domain", "space", "???", "none"))
    spatial = spatial if len(spatial) <= 3 or directions is not None else spatial[:3]
    rest = [n for n in range(len(sizes)) if n not in spatial and sizes[n] > 1]
    if not 2 <= len(spatial) <= 3 or len(rest) > 1:
        raise UnsupportedError(
            f"{path.name} has a number of axes that is not read",
            found=f"sizes {sizes}, {len(spatial)} of them in space",
            expected="two or three axes in space and at most one other",
        )
    return spatial


def _found(header: _Header, path: Path) -> Found:
    columns, rows, slices = (*(header.sizes[n] for n in header.spatial), 1)[:3]
    geometry, problems = _geometry(header, path, (slices, rows, columns))
    axis, told = _axis(header, path)
    if header.place.packing is Packing.RAW:
        extra = header.place.stored_bytes - int(np.prod(header.sizes, dtype=object)) * header.dtype.itemsize
        told += [Message("file.extra_bytes", {"count": extra})] if extra > 0 else []
    dtype = header.dtype.newbyteorder("=").name
    return Found(geometry, dtype, axis, "", (*problems, *told), {}, header.files)


def _axis(header: _Header, path: Path) -> tuple[Axis | None, list[Message]]:
    """Return what the axis outside space counts."""
    other = header.other
    if other is None:
        return None, []
    count = header.sizes[other]
    kinds = header.fields.get("kinds")
    kind = str(kinds[other]).lower() if kinds is not None and len(kinds) > other else ""
    if _COLOUR_KINDS.get(kind) == count:
        return colours(), [Message("file.alpha_dropped")] if count == 4 else []
    if kind == "complex":
        raise UnsupportedError(f"{path.name} holds complex numbers", fix="write its magnitude as real numbers first")
    if kind in ("time", "list", "", "???") and (axis := _times(header.fields, other, count)) is not None:
        return axis, []
    return numbered(count), [Message("file.axis_unknown", {"count": count})]


def _times(fields: Mapping[str, Any], axis: int, count: int) -> Axis | None:
    units, spacings = fields.get("units"), fields.get("spacings")
    second = _SECONDS_PER_UNIT.get(str(units[axis]).lower()) if units is not None and len(units) > axis else None
    step = float(spacings[axis]) if spacings is not None and len(spacings) > axis else float("nan")
    if second is None or not np.isfinite(step) or step <= 0:
        return None
    start = float(fields["axis mins"][axis]) if len(fields.get("axis mins", ())) > axis else 0.0
    start = start if np.isfinite(start) else 0.0
    return Axis(AxisKind.TIME, tuple(round((start + n * step) * second, 9) for n in range(count)), "s")


def _geometry(header: _Header, path: Path, shape: tuple[int, int, int]) -> tuple[Geometry, list[Message]]:
    """Return the geometry: patient space when `space` names it, else sizes at most."""
    fields = header.fields
    turn = _to_lps(str(fields.get("space", "")))
    directions = fields.get("space directions")
    if directions is None or turn is None or len(header.spatial) != 3:
        return _unplaced(header, path, shape)
    rows = np.array([np.asarray(directions[n], dtype=np.float64)[:3] for n in reversed(header.spatial)])
    scale, problems = _unit(fields.get("space units"))
    affine = np.eye(4)
    affine[:3, :3] = turn @ rows.T * scale
    if (origin := fields.get("space origin")) is not None:
        affine[:3, 3] = turn @ np.asarray(origin, dtype=np.float64)[:3] * scale
    else:
        problems.append(Message("nrrd.origin_unknown"))
    affine = usable_affine(affine, path, "space directions")
    return Geometry(shape, affine, verdict_of(affine)), problems


def _to_lps(space: str) -> NDArray[np.float64] | None:
    """Return the matrix that turns vectors of an anatomical space into LPS, None for any other space."""
    name = space.strip().removesuffix("-time").removesuffix("-Time")
    short = re.fullmatch("[RLAPIS]{3}T?", name)
    words = [_SHORT[letter] for letter in name[:3]] if short else name.lower().split("-")
    if len(words) != 3 or sorted(_SIGNS[w][0] if w in _SIGNS else -1 for w in words) != [0, 1, 2]:
        return None
    turn = np.zeros((3, 3))
    for column, word in enumerate(words):
        world, sign = _SIGNS[word]
        turn[world, column] = sign
    return turn


def _unit(units: Any) -> tuple[float, list[Message]]:
    """Return mm per unit of space; not told means mm, as every program takes it, and is said."""
    if units is None:
        return 1.0, []
    scales = {_MM_PER_UNIT.get(str(u).strip().lower()) for u in list(units)[:3]}
    scale = scales.pop() if len(scales) == 1 else None
    if scale is None:
        return 1.0, [Message("file.units_unknown")]
    return scale, [] if scale == 1.0 else [Message("file.units_converted", {"scale": scale})]


def _unplaced(header: _Header, path: Path, shape: tuple[int, int, int]) -> tuple[Geometry, list[Message]]:
    """Return the geometry of an image whose place in a patient is not told."""
    fields, sizes = header.fields, np.full(3, np.nan)
    flat = 3 - len(header.spatial)
    directions, spacings = fields.get("space directions"), fields.get("spacings")
    for place, axis in enumerate(reversed(header.spatial)):
        if directions is not None:
            sizes[flat + place] = np.linalg.norm(np.asarray(directions[axis], dtype=np.float64))
        elif spacings is not None and len(spacings) > axis:
            sizes[flat + place] = abs(float(spacings[axis]))
    known = bool(np.isfinite(sizes[flat:]).all())
    scale, problems = _unit(fields.get("space units")) if directions is not None else (1.0, [])
    sizes[:flat] = 1.0 / scale
    affine = FLAT.copy()
    affine[:3, :3] *= sizes * scale if known else np.ones(3)
    affine = usable_affine(affine, path, "spacing")
    problems.insert(0, Message("file.orientation_unknown" if known else "file.nothing_told"))
    spacing = Spacing.CALIBRATED if known and flat == 0 else Spacing.UNKNOWN
    return Geometry(shape, affine, Verdict.UNKNOWN, Frame.IMAGE, spacing), problems


def to_bytes(image: Volume | Mask) -> bytes:
    """Return a gzip NRRD file in left-posterior-superior space, any affine exactly; equal images give equal bytes."""
    stream = io.BytesIO()
    _stream(image, stream)
    return stream.getvalue()


def write(image: Volume | Mask, path: str | Path) -> None:
    """Write a file whole or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    with writing(path) as stream:
        _stream(image, stream)


def _stream(image: Volume | Mask, stream: IO[bytes]) -> None:
    dtype = stored_dtype(image)
    stream.write(_header_text(image, dtype).encode("ascii"))
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    for plane in image.array:
        stream.write(packer.compress(np.ascontiguousarray(plane, dtype=dtype.newbyteorder("<")).data))
    stream.write(packer.flush())


def _header_text(image: Volume | Mask, dtype: np.dtype[Any]) -> str:
    axis = image.axis if isinstance(image, Volume) else None
    step, sizes = time_step(axis), image.array.shape[2::-1]
    vectors = [image.affine[:3, n] for n in (2, 1, 0)]
    first = "" if axis is None else f"{len(axis)} "
    lines = ["NRRD0005", f"type: {_TYPES[dtype.name][0]}", f"dimension: {3 if axis is None else 4}"]
    if image.frame is Frame.PATIENT:
        lines.append("space: left-posterior-superior")
    lines.append(f"sizes: {first}{sizes[0]} {sizes[1]} {sizes[2]}")
    if image.frame is Frame.PATIENT:
        told = " ".join(_vector(v) for v in vectors)
        lines.append(f"space directions: {'' if axis is None else 'none '}{told}")
    elif image.spacing is not Spacing.UNKNOWN:
        lengths = " ".join(repr(float(np.linalg.norm(v))) for v in vectors)
        lines.append(f"spacings: {'' if axis is None else f'{step[1] if step else np.nan!r} '}{lengths}")
    if step and image.frame is Frame.PATIENT:
        lines.append(f"spacings: {step[1]!r} nan nan nan")
    if step:
        lines += [f"axis mins: {step[0]!r} nan nan nan", 'units: "s" "" "" ""']
    lines.append(f"kinds: {'' if axis is None else _kind(axis) + ' '}domain domain domain")
    if dtype.itemsize > 1:
        lines.append("endian: little")
    lines.append("encoding: gzip")
    if image.frame is Frame.PATIENT:
        lines += [f"space origin: {_vector(image.affine[:3, 3])}", 'space units: "mm" "mm" "mm"']
    return "\n".join(lines) + "\n\n"


def _kind(axis: Axis) -> str:
    # "time" would be the right word, but ITK counts it as a fourth dimension of space and refuses the file.
    return "RGB-color" if axis.kind is AxisKind.RGB and len(axis) == 3 else "list"


def _vector(values: NDArray[np.float64]) -> str:
    return "(" + ",".join(repr(float(v) + 0.0) for v in values) + ")"
