"""What all formats share that keep one image in one file: descriptor, key and first checks."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.core import Axis, AxisKind, Geometry, Instance, Message, Series, Step, Verdict, Volume
from vesalius.core.errors import GeometryError, LimitError, ReadError
from vesalius.core.grid import SHEAR_TOLERANCE, Affine, check_affine
from vesalius.io.voxels import count_not_finite

SUFFIXES = (".nii.gz", ".img.gz", ".hdr.gz")
PLAUSIBLE_MM = (0.001, 100.0)
"""Voxel sizes outside are reported: they usually come from a wrong unit."""
FLAT = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]], dtype=np.float64)
"""Affine of a picture whose place in a patient is not known: (x, y, z) = (column, row, slice)."""
LARGEST_VOXELS = 2**33
"""Most values of one image (8.6 thousand million); beyond it a header is taken to be damaged."""


@dataclass(frozen=True, eq=False)
class Found:
    """What a header tells: geometry, stored type, fourth axis, what is odd about it, and where detached voxels lie."""

    geometry: Geometry
    dtype: str
    axis: Axis | None = None
    modality: str = ""
    problems: tuple[Message, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    detached: tuple[Path, ...] = ()


def stem_of(path: Path) -> str:
    """Return the file name without its image suffix, ".nii.gz" included."""
    for suffix in SUFFIXES:
        if path.name.lower().endswith(suffix):
            return path.name[: -len(suffix)]
    return path.stem


def file_key(path: Path, relative: str = "") -> str:
    """Return the key of a file: its stem, "-" and 6 hex digits of SHA-256 of its path relative to the study."""
    return f"{stem_of(path)}-{hashlib.sha256((relative or path.name).encode()).hexdigest()[:6]}"


def path_of(source: Series | Path | str) -> Path:
    """Return the file that holds the image."""
    return source.instances[0].path if isinstance(source, Series) else Path(source)


def series_of(path: Path, kind: str, found: Found) -> Series:
    """Return the descriptor of a file that holds one image."""
    key = file_key(path)
    return Series(
        uid=key,
        key=key,
        format=kind,
        instances=tuple(Instance(p) for p in dict.fromkeys((path, *found.detached))),
        geometry=found.geometry,
        modality=found.modality,
        description=stem_of(path),
        attributes=found.attributes,
        dtype=found.dtype,
        components=len(found.axis) if found.axis else 1,
        axis=found.axis,
        problems=(*found.problems, *implausible(found.geometry)),
    )


def implausible(geometry: Geometry) -> tuple[Message, ...]:
    """Return a message when a voxel size is beyond what scanners and microscopes make."""
    sizes = geometry.spacing_mm
    if geometry.spacing == "unknown" or all(PLAUSIBLE_MM[0] <= s <= PLAUSIBLE_MM[1] for s in sizes):
        return ()
    return (Message("file.implausible_spacing", {"spacing": " x ".join(f"{s:.4g}" for s in sizes)}),)


def usable_affine(affine: NDArray[np.float64], path: Path, name: str) -> Affine:
    """Return a checked affine.

    Raises:
        ReadError: it is singular or not finite; the error names the file.
    """
    try:
        return check_affine(affine)
    except GeometryError as problem:
        raise ReadError(
            f"{path.name}: its {name} is no usable geometry: {problem.message}",
            found=problem.found,
            expected="three independent, finite axis directions",
            fix="write the file again with the right geometry",
        ) from problem


def verdict_of(affine: Affine) -> Verdict:
    """Return sheared when the array axes are not orthogonal, else regular."""
    unit = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    sheared = np.abs(unit.T @ unit - np.eye(3)).max() > SHEAR_TOLERANCE
    return Verdict.SHEARED if sheared else Verdict.REGULAR


def check_sizes(sizes: tuple[int, ...], path: Path) -> int:
    """Return the number of values.

    Raises:
        ReadError: a size is not positive.
        LimitError: more than `LARGEST_VOXELS` values.
    """
    if not sizes or min(sizes) < 1:
        raise ReadError(
            f"{path.name}: the header declares an image without voxels",
            found=f"sizes {sizes}",
            expected="every size at least 1",
            fix="write the file again",
        )
    count = 1
    for size in sizes:
        count *= size
    if count > LARGEST_VOXELS:
        raise LimitError(
            f"{path.name}: the header declares more voxels than any image has",
            found=f"sizes {sizes}",
            expected=f"at most {LARGEST_VOXELS}",
            fix="check that the header is intact",
        )
    return count


def beside(path: Path, name: str, limit: int = 255) -> Path:
    """Return the path of a detached data file, which must lie in the folder of its header.

    Raises:
        ReadError: the header points out of its folder, or there is no such file.
    """
    plain = Path(name).name == name and name not in ("", ".", "..") and len(name) <= limit and "\0" not in name
    near = path.with_name(name) if plain else path
    if not plain or not near.is_file():
        raise ReadError(
            f"{path.name}: the file of voxels that its header names is not there",
            expected="a file in the same folder, named without any folder",
            fix="put both files into one folder",
        )
    return near


def numbered(count: int, kind: AxisKind = AxisKind.FEATURE) -> Axis:
    """Return a fourth axis of which only the order is known."""
    return Axis(kind, tuple(str(n + 1) for n in range(count)))


def colours() -> Axis:
    """Return the red, green, blue axis."""
    return Axis(AxisKind.RGB, ("red", "green", "blue"))


def read_step(kind: str, array: NDArray[Any], extra_bytes: int = 0, **parameters: object) -> tuple[Step, ...]:
    """Return the first step of a history; values that are not finite and surplus bytes are counted in it."""
    told: dict[str, object] = {"format": kind, **parameters}
    if bad := count_not_finite(array):
        told["not_finite"] = bad
    if extra_bytes:
        told["extra_bytes"] = extra_bytes
    return (Step("read", told),)


def content_problems(volume: Volume) -> tuple[Message, ...]:
    """Return what was odd about the voxels when the file was read: how many are not finite, surplus bytes."""
    told = next((step.parameters for step in volume.history if step.operation == "read"), {})
    problems = list[Message]()
    if isinstance(bad := told.get("not_finite"), int):
        problems.append(Message("file.not_finite", {"count": bad, "voxels": int(volume.array.size)}))
    if isinstance(extra := told.get("extra_bytes"), int):
        problems.append(Message("file.extra_bytes", {"count": extra}))
    return tuple(problems)
