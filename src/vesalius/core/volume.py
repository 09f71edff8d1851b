"""The image noun."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.core.axis import Axis
from vesalius.core.errors import GeometryError
from vesalius.core.grid import Gridded


def voxel_hash(array: NDArray[Any], affine: NDArray[np.float64]) -> str:
    """Return the SHA-256 of type, shape, voxels and affine (rounded to 1e-6 mm), hexadecimal."""
    digest = hashlib.sha256(f"{array.dtype.newbyteorder('<').str}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).data)
    digest.update((np.round(affine, 6) + 0.0).astype("<f8").tobytes())
    return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Volume(Gridded):
    """An image `[slice, row, column]` or `[slice, row, column, n]` on a grid in LPS millimetres.

    CT is int16 in HU where slope and intercept allow, else float32; a radiograph or photograph is one slice thick
    with `frame=image`.

    Args:
        modality: DICOM Modality (CT, MR, PT, US, CR, DX, MG, OP, XC ...); "" when the format does not tell.
        axis: what the fourth array axis counts; needed exactly when there is one.
        unit: UCUM unit of the voxel values ("[hnsf'U]" for HU, "g/mL" for SUVbw, "" for arbitrary).

    Raises:
        GeometryError: array, axis and affine do not fit each other.
    """

    modality: str = ""
    axis: Axis | None = None
    unit: str = ""

    def __post_init__(self) -> None:
        """Check that the dimensions and the fourth axis agree."""
        super().__post_init__()
        if self.array.ndim not in (3, 4) or 0 in self.array.shape:
            raise GeometryError(
                "a volume is [slice, row, column] or [slice, row, column, n] with at least one voxel",
                found=f"shape {self.array.shape}",
                fix="a flat picture is one slice thick: array[np.newaxis]",
            )
        if self.array.dtype.kind not in "iufb":
            raise GeometryError("voxels are real numbers", found=f"type {self.array.dtype}")
        length = self.array.shape[3] if self.array.ndim == 4 else None
        if length != (len(self.axis) if self.axis is not None else None):
            raise GeometryError(
                "the fourth array axis and `axis` disagree",
                found=f"shape {self.array.shape}, axis {self.axis}",
                expected="one Axis value per element of the fourth dimension, none for a 3-D array",
            )

    def __repr__(self) -> str:
        """Return a short description without voxels."""
        kind = f", {self.axis.kind} x {len(self.axis)}" if self.axis else ""
        return f"Volume({self.modality or '?'} {self.array.shape} {self.array.dtype}, {self.orientation}{kind})"

    @property
    def sha256(self) -> str:
        """Return the hash of voxels and affine."""
        return voxel_hash(self.array, self.affine)

    def with_array(self, array: NDArray[Any], operation: str, **parameters: object) -> Volume:
        """Return the same grid with other voxels and one more step in the history.

        Raises:
            GeometryError: the spatial shape differs.
        """
        if array.shape[:3] != self.shape:
            raise GeometryError(
                f"the new array has another grid than the volume in {operation}",
                found=f"shape {array.shape[:3]}",
                expected=f"{self.shape}",
            )
        axis = self.axis if array.ndim == 4 else None
        return replace(self, array=array, axis=axis, history=self.done(operation, **parameters))

    def element(self, index: int) -> Volume:
        """Return one element of the fourth axis as a 3-D volume."""
        if self.axis is None or not -len(self.axis) <= index < len(self.axis):
            raise GeometryError("no such element of the fourth axis", found=str(index), expected=str(self.axis))
        history = self.done("element", index=index)
        return replace(self, array=self.array[..., index].copy(), axis=None, history=history)
