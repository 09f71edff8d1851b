"""NIfTI-1 and NIfTI-2, single files and header pairs, plain and gzip. RAS is turned into LPS here and nowhere else.

Free-text header fields (descrip, aux_file, db_name, intent_name, extensions) may hold a patient's name: they are
neither read nor written.

Source: NIfTI-1 and NIfTI-2 headers, https://nifti.nimh.nih.gov; nibabel parses them.
"""

from __future__ import annotations

import io
import itertools
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from vesalius.core import Axis, AxisKind, Frame, Geometry, Mask, Message, Series, Spacing, Verdict, Volume
from vesalius.core.errors import UnsupportedError
from vesalius.core.grid import Affine
from vesalius.io.atomic import writing
from vesalius.io.inflate import Packing, read_voxels, reading
from vesalius.io.nifti_header import Header, parse
from vesalius.io.nifti_write import flattened, stream_to
from vesalius.io.single import (
    FLAT,
    Found,
    colours,
    numbered,
    path_of,
    read_step,
    series_of,
    usable_affine,
    verdict_of,
)
from vesalius.io.voxels import settled

FORMAT = "nifti"
RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
CONFLICT_MM = 0.5
"""sform and qform disagree when a corner of the image lies further apart. Half turns, the usual case, bring the
float32 quaternion of an exact qform 0.46 mm away at 512 x 512 x 300."""
SPACING_TOLERANCE = 0.01
"""Relative difference of pixdim and affine that is reported."""

_MM_PER_UNIT = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
_UNIT_NAMES = {1: "metre", 2: "millimetre", 3: "micrometre"}
_SECONDS_PER_UNIT = {8: 1.0, 16: 1e-3, 24: 1e-6}
_RGB_VECTOR, _LABEL = 2003, 1002


def describe_file(path: str | Path) -> Series:
    """Return the descriptor of a NIfTI file from its header alone, declared sizes checked against the file.

    Raises:
        ReadError: no NIfTI file, truncated, damaged, or with a singular affine.
        UnsupportedError: Analyze 7.5, complex values, vectors or more than four dimensions.
        LimitError: it would inflate beyond the limit.
    """
    path = Path(path)
    with reading(path, "NIfTI"):
        return series_of(path, FORMAT, _found(parse(path), path))


def read(source: Series | Path | str) -> Volume:
    """Return the image, scaled, as [slice, row, column(, n)]: the file's third, second and first axis in this order.

    int16 stays int16 where slope and intercept are whole and the values fit; else float32. NaN and infinity stay and
    are counted in the history.

    Raises:
        ReadError: no NIfTI file, truncated, damaged (gzip checksum verified), or with a singular affine.
        UnsupportedError: Analyze 7.5, complex values, vectors or more than four dimensions.
        LimitError: it would inflate beyond the limit.
    """
    path = path_of(source)
    with reading(path, "NIfTI"):
        header = parse(path)
        found = _found(header, path)
        array, extra = _array(header, found)
    modality = source.modality if isinstance(source, Series) else ""
    history = read_step(FORMAT, array, extra, transform=found.attributes["nifti_transform"])
    geometry = found.geometry
    return Volume(array, geometry.affine, geometry.frame, geometry.spacing, history, modality, found.axis)


def to_bytes(image: Volume | Mask, *, packed: bool = True) -> bytes:
    """Return a NIfTI-1 file (NIfTI-2 above 32767 voxels an axis), gzip by default; equal images give equal bytes.

    sform always, qform besides when the grid is orthogonal and a quaternion holds it exactly; unit mm and seconds.
    A picture (`frame=image`) keeps voxel sizes and no place. Masks take the smallest integer type.

    Raises:
        UnsupportedError: colour that is not 8-bit.
        GeometryError: a picture with oblique axes.
    """
    stream = io.BytesIO()
    _stream(image, stream, packed)
    return stream.getvalue()


def write(image: Volume | Mask, path: str | Path) -> None:
    """Write a file whole or not at all; gzip when the name ends in .gz.

    Raises:
        UnsupportedError: colour that is not 8-bit.
        GeometryError: a picture with oblique axes.
        OutputError: the file cannot be written.
    """
    with writing(path) as stream:
        _stream(image, stream, str(path).lower().endswith(".gz"))


def _stream(image: Volume | Mask, stream: IO[bytes], packed: bool) -> None:
    if image.frame is Frame.IMAGE:
        image = flattened(image)
    ras = np.asarray((RAS_TO_LPS @ image.affine)[:, [2, 1, 0, 3]])
    stream_to(image, stream, ras, packed=packed)


def _array(header: Header, found: Found) -> tuple[NDArray[Any], int]:
    count = int(np.prod(header.sizes, dtype=object))
    flat, extra = read_voxels(header.place, header.dtype, count)
    shape = found.geometry.shape
    if header.dtype.names:
        pixels = flat.view(np.uint8).reshape(*shape, len(header.dtype.names))
        return np.ascontiguousarray(pixels[..., :3]), extra
    leading = () if found.axis is None else (len(found.axis),)
    array = settled(flat.reshape(*leading, *shape), *_scaling(header.fields)[:2])
    # The stored voxels go before the fourth axis is moved, so that only two copies ever stand side by side.
    del flat
    return (array if not leading else np.ascontiguousarray(np.moveaxis(array, 0, -1))), extra


def _found(header: Header, path: Path) -> Found:
    geometry, attributes, problems = _geometry(header, path)
    axis, axis_problems = _axis(header, path)
    problems = [*problems, *axis_problems]
    if (told := _scaling(header.fields)[2]) is not None:
        problems.append(told)
    if header.place.packing is Packing.RAW:
        extra = header.place.stored_bytes - int(np.prod(header.sizes, dtype=object)) * header.dtype.itemsize
        if extra > 0:
            problems.append(Message("file.extra_bytes", {"count": extra}))
    if header.code("intent_code") == _LABEL:
        attributes["nifti_intent"] = "label"
    dtype = "uint8" if header.dtype.names else header.dtype.newbyteorder("=").name
    return Found(geometry, dtype, axis, "", tuple(problems), attributes, header.files)


def _axis(header: Header, path: Path) -> tuple[Axis | None, list[Message]]:
    """Return what the fourth dimension counts."""
    sizes, fields = header.sizes, header.fields
    if header.dtype.names:
        if len(sizes) > 3:
            raise _too_many(sizes, path, "a colour image with a fourth dimension")
        alpha = len(header.dtype.names) == 4
        return colours(), [Message("file.alpha_dropped")] if alpha else []
    if len(sizes) == 3:
        return None, []
    if len(sizes) == 5 and sizes[3:] == (1, 3) and header.code("intent_code") == _RGB_VECTOR:
        return colours(), []
    if len(sizes) > 4:
        raise _too_many(sizes, path, f"intent code {header.code('intent_code')}")
    step, start = float(fields["pixdim"][4]), float(fields["toffset"])
    second = _SECONDS_PER_UNIT.get(header.code("xyzt_units") & 0x38)
    if second is None or not np.isfinite(step) or step <= 0 or not np.isfinite(start):
        return numbered(sizes[3]), [Message("nifti.time_unknown", {"count": sizes[3]})]
    times = tuple(round((start + n * step) * second, 9) for n in range(sizes[3]))
    return Axis(AxisKind.TIME, times, "s"), []


def _too_many(sizes: tuple[int, ...], path: Path, what: str) -> UnsupportedError:
    return UnsupportedError(
        f"{path.name} holds vectors or more than four dimensions",
        found=f"sizes {sizes}, {what}",
        expected="three dimensions, or four",
        fix="take it apart into images of at most four dimensions first",
    )


def _scaling(fields: Any) -> tuple[float, float, Message | None]:
    """Return slope and intercept; a slope of zero means none (NIfTI-1, scl_slope)."""
    slope, intercept = float(fields["scl_slope"]), float(fields["scl_inter"])
    if slope == 0 or (np.isnan(slope) and not np.isfinite(intercept)):
        return 1.0, 0.0, None
    if not np.isfinite(slope) or not np.isfinite(intercept):
        return 1.0, 0.0, Message("nifti.scaling_ignored")
    return slope, intercept, None


def _geometry(header: Header, path: Path) -> tuple[Geometry, dict[str, Any], list[Message]]:
    """Return geometry, attributes and problems: sform before qform, and neither means that orientation is unknown."""
    fields, problems = header.fields, list[Message]()
    columns, rows, slices = header.sizes[:3]
    unit = header.code("xyzt_units") & 0x07
    scale = _MM_PER_UNIT.get(unit, 1.0)
    chosen = next((name for name in ("sform", "qform") if header.code(f"{name}_code") > 0), "none")
    attributes = {
        "nifti_transform": chosen,
        "nifti_transform_code": header.code(f"{chosen}_code") if chosen != "none" else 0,
    }
    if chosen == "none":
        geometry, told = _unplaced(fields, (slices, rows, columns), scale, unit, path)
        return geometry, attributes, told
    if unit not in _UNIT_NAMES:
        problems.append(Message("nifti.units_unknown", {"code": unit}))
    elif unit != 2:
        problems.append(Message("nifti.units_converted", {"unit": _UNIT_NAMES[unit]}))
    affine = usable_affine(_index_to_lps(_transform(fields, chosen), scale), path, chosen)
    problems += _disagreements(fields, chosen, affine, (slices, rows, columns), scale)
    return Geometry((slices, rows, columns), affine, verdict_of(affine)), attributes, problems


def _transform(fields: Any, name: str) -> NDArray[np.float64]:
    """Return the RAS affine of file indices (column, row, slice) in the file's unit."""
    if name == "sform":
        rows = [np.asarray(fields[f"srow_{axis}"], dtype=np.float64) for axis in "xyz"]
        return np.vstack([*rows, (0.0, 0.0, 0.0, 1.0)])
    fields = fields.copy()
    sizes = np.abs(np.asarray(fields["pixdim"][1:4], dtype=np.float64))
    if not np.isfinite(sizes).all() or (sizes == 0).any():
        return np.full((4, 4), np.nan)
    # A qfac of zero stands for one (NIfTI-1, pixdim[0]); nibabel refuses it.
    fields["pixdim"][:4] = (-1 if fields["pixdim"][0] < 0 else 1, *sizes)
    return np.asarray(fields.get_qform(coded=False), dtype=np.float64)


def _index_to_lps(ras: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    """Return the LPS mm affine of array indices (slice, row, column)."""
    lps = RAS_TO_LPS @ ras
    lps[:3] *= scale
    return np.asarray(lps[:, [2, 1, 0, 3]])


def _disagreements(
    fields: Any, chosen: str, affine: Affine, shape: tuple[int, int, int], scale: float
) -> list[Message]:
    """Return where sform and qform, or affine and pixdim, contradict each other."""
    if chosen == "sform" and int(fields["qform_code"]) > 0:
        try:
            other = _index_to_lps(_transform(fields, "qform"), scale)
        except ValueError:
            other = np.full((4, 4), np.nan)
        if not np.isfinite(other).all():
            return [Message("nifti.qform_broken")]
        corners = np.array([(*c, 1) for c in itertools.product(*[(0, n - 1) for n in shape])], dtype=np.float64)
        apart = float(np.linalg.norm(corners @ (affine - other).T, axis=1).max())
        if apart > CONFLICT_MM:
            angle = _angle_deg(affine, other)
            return [Message("nifti.transforms_disagree", {"distance_mm": round(apart, 2), "angle_deg": angle})]
    told = np.abs(np.asarray(fields["pixdim"][[3, 2, 1]], dtype=np.float64)) * scale
    used = np.linalg.norm(affine[:3, :3], axis=0)
    if np.abs(told / used - 1).max() <= SPACING_TOLERANCE:
        return []
    sizes = {n: " x ".join(f"{s:.4g}" for s in values) for n, values in (("header_mm", told), ("affine_mm", used))}
    return [Message("nifti.spacing_disagrees", sizes)]


def _angle_deg(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return the largest angle between matching array axes."""
    units = [m[:3, :3] / np.maximum(np.linalg.norm(m[:3, :3], axis=0), 1e-30) for m in (one, other)]
    cosines = np.clip((units[0] * units[1]).sum(axis=0), -1, 1)
    return round(float(np.degrees(np.arccos(cosines.min()))), 2)


def _unplaced(
    fields: Any, shape: tuple[int, int, int], scale: float, unit: int, path: Path
) -> tuple[Geometry, list[Message]]:
    """Return the geometry of an image whose header gives voxel sizes at most."""
    sizes = np.abs(np.asarray(fields["pixdim"][1:4], dtype=np.float64))
    default = (sizes == 1).all() or (sizes == 0).all()
    spacing = Spacing.UNKNOWN if unit == 0 and default else Spacing.CALIBRATED
    problems = [Message("nifti.nothing_told" if spacing is Spacing.UNKNOWN else "nifti.orientation_unknown")]
    if spacing is Spacing.CALIBRATED and unit not in _UNIT_NAMES:
        problems.append(Message("nifti.units_unknown", {"code": unit}))
    if shape[0] == 1 and sizes[2] == 0:
        sizes[2] = 1.0
    affine = FLAT.copy()
    affine[:3, :3] *= (np.ones(3) if spacing is Spacing.UNKNOWN else sizes * scale)[[2, 1, 0]]
    affine = usable_affine(affine, path, "voxel size (pixdim)")
    return Geometry(shape, affine, Verdict.UNKNOWN, Frame.IMAGE, spacing), problems
