"""The segmentation noun."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.core.code import Code
from vesalius.core.errors import GeometryError, LabelError
from vesalius.core.grid import Gridded
from vesalius.core.volume import voxel_hash

TISSUE = Code("85756007", "SCT", "Tissue")
"""Default category of a segment (SNOMED CT, DICOM CID 7150)."""


@dataclass(frozen=True, slots=True)
class Segment:
    """What one label of a mask is: name, coded type and category, RGB colour 0..255."""

    name: str
    code: Code
    colour: tuple[int, int, int]
    category: Code = TISSUE


@dataclass(frozen=True, eq=False)
class Mask(Gridded):
    """Integer labels `[slice, row, column]` (0 is background) and what each label is.

    Raises:
        GeometryError: the array is not three-dimensional integers.
        LabelError: a voxel holds a label that `segments` does not name.
    """

    segments: Mapping[int, Segment] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check labels against segments."""
        if self.array.dtype.kind == "b":
            object.__setattr__(self, "array", self.array.view(np.uint8))
        super().__post_init__()
        if self.array.ndim != 3 or self.array.dtype.kind not in "iu" or 0 in self.array.shape:
            raise GeometryError(
                "a mask is [slice, row, column] of integers", found=f"{self.array.shape} {self.array.dtype}"
            )
        object.__setattr__(self, "segments", MappingProxyType(dict(sorted(self.segments.items()))))
        unnamed = sorted(set(present_labels(self.array)) - set(self.segments) - {0})
        if unnamed:
            raise LabelError(
                "the mask holds labels that no segment names",
                found=str(unnamed[:10]),
                expected=str(list(self.segments)),
                fix="add them to `segments`",
            )

    def __repr__(self) -> str:
        """Return a short description without voxels."""
        names = ", ".join(f"{label} {segment.name}" for label, segment in self.segments.items())
        return f"Mask({self.array.shape}, {self.orientation}, {{{names}}})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Survive pickling: the read-only view of the segments cannot be pickled itself."""
        parts = (self.array, self.affine, self.frame, self.spacing, self.history, dict(self.segments))
        return type(self), parts

    @property
    def sha256(self) -> str:
        """Return the hash of voxels and affine."""
        return voxel_hash(self.array, self.affine)

    def label_of(self, name: str) -> int:
        """Return the label of the segment with this name.

        Raises:
            LabelError: there is none.
        """
        for label, segment in self.segments.items():
            if segment.name == name:
                return label
        raise LabelError(
            "no segment has this name", found=name, expected=", ".join(s.name for s in self.segments.values())
        )

    def binary(self, name_or_label: str | int) -> NDArray[np.bool_]:
        """Return where one segment is."""
        label = self.label_of(name_or_label) if isinstance(name_or_label, str) else name_or_label
        if label not in self.segments:
            raise LabelError("no segment has this label", found=str(label), expected=str(list(self.segments)))
        return np.asarray(self.array == label)

    def volume_ml(self, name_or_label: str | int) -> float:
        """Return the volume of one segment in millilitres."""
        return float(np.count_nonzero(self.binary(name_or_label)) * self.voxel_volume_mm3 / 1000.0)

    def with_array(self, array: NDArray[Any], operation: str, **parameters: object) -> Mask:
        """Return the same grid with other labels and one more step in the history."""
        if array.shape != self.shape:
            raise GeometryError(
                f"the new array has another grid than the mask in {operation}",
                found=str(array.shape),
                expected=str(self.shape),
            )
        return replace(self, array=array, history=self.done(operation, **parameters))


def present_labels(array: NDArray[Any]) -> list[int]:
    """Return the labels that occur, in ascending order; slice by slice, so that memory stays small."""
    found: set[int] = set()
    for plane in array:
        found.update(int(v) for v in np.unique(plane))
    return sorted(found)
