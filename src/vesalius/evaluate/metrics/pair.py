"""Two masks of the same thing, on one grid, cut to the box around both."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vesalius.core.errors import LabelError
from vesalius.core.grid import Affine
from vesalius.core.mask import Mask, Segment
from vesalius.features.spatial.lattice import (
    box_around,
    check_orthogonal,
    check_same_grid,
    flat_axes,
    one_label,
    steps_mm,
)


class State(StrEnum):
    """Which of two masks holds a voxel."""

    BOTH = "both"
    NO_PREDICTION = "prediction_empty"
    NO_REFERENCE = "reference_empty"
    NEITHER = "both_empty"


@dataclass(frozen=True, eq=False)
class Pair:
    """One segment as predicted and as it should be.

    Args:
        segment: name in the reference.
        label: number there.
        masks: prediction and reference, whole.
        prediction: where it is predicted, in the common box; two-dimensional for a grid one slice thick.
        reference: where it should be, in the same box.
    """

    segment: str
    label: int
    masks: tuple[Mask, Mask]
    prediction: NDArray[np.bool_]
    reference: NDArray[np.bool_]

    @classmethod
    def of(cls, prediction: Mask, reference: Mask, segment: str | int | None = None) -> Pair:
        """Return the pair of a segment.

        Args:
            segment: a name in the reference, whose partner has the same name or the same code in the prediction; or a
                label, meant in both; or None when each mask holds exactly one segment.

        Raises:
            GeometryError: the masks are not on one grid.
            LabelError: one of them does not know the segment.
        """
        check_same_grid(prediction, reference)
        here = _label(reference, segment, "reference")
        there = _partner(prediction, reference.segments[here], segment)
        name = reference.segments[here].name
        # A comparison of bytes is the only pass over the whole grid; everything else sees the box.
        expected, predicted = reference.array == here, prediction.array == there
        box = box_around(expected, predicted)
        if box is None:
            box = (slice(0, 1), slice(0, 1), slice(0, 1))
        keep = tuple(slice(None) if axis in flat_axes(reference.shape) else 0 for axis in range(3))
        return cls(name, here, (prediction, reference), predicted[box][keep], expected[box][keep])

    @property
    def affine(self) -> Affine:
        """Return the affine of the reference; the origin is that of the whole grid."""
        return self.masks[1].affine

    @cached_property
    def counts(self) -> tuple[int, int, int]:
        """Return voxels predicted, expected, and in both."""
        both = np.count_nonzero(self.prediction & self.reference)
        return int(np.count_nonzero(self.prediction)), int(np.count_nonzero(self.reference)), int(both)

    @property
    def state(self) -> State:
        """Return which of the two holds a voxel."""
        predicted, expected, _ = self.counts
        if predicted and expected:
            return State.BOTH
        if expected:
            return State.NO_PREDICTION
        return State.NO_REFERENCE if predicted else State.NEITHER

    @property
    def steps_mm(self) -> NDArray[np.float64]:
        """Return the matrix from index steps to mm along the axes of the arrays.

        Raises:
            UnknownSpacingError: the pixel size is not known.
        """
        self.masks[1].require_spacing()
        return steps_mm(self.affine, flat_axes(self.masks[1].shape))

    @property
    def spacing_mm(self) -> NDArray[np.float64]:
        """Return the spacings along the axes of the arrays.

        Raises:
            GeometryError: the grid is sheared.
        """
        check_orthogonal(self.masks[1], "this metric")
        return np.asarray(np.diag(self.steps_mm))


def _label(mask: Mask, segment: str | int | None, role: str) -> int:
    """Return the label of a segment in one of the two masks."""
    if segment is None:
        return one_label(mask)
    if isinstance(segment, str):
        return mask.label_of(segment)
    if segment not in mask.segments:
        raise _unknown(mask, str(segment), role)
    return segment


def _partner(prediction: Mask, expected: Segment, asked: str | int | None) -> int:
    """Return the label in the prediction of what the reference calls by this name; nothing else is compared with it."""
    if not isinstance(asked, str):
        return _label(prediction, asked, "prediction")
    named = [label for label, segment in prediction.segments.items() if segment.name == expected.name]
    coded = [label for label, segment in prediction.segments.items() if segment.code == expected.code]
    for labels in (named, coded):
        if len(labels) == 1:
            return labels[0]
    raise _unknown(prediction, expected.name, "prediction")


def _unknown(mask: Mask, what: str, role: str) -> LabelError:
    return LabelError(
        f"the {role} does not know this segment",
        found=what,
        expected=str({label: known.name for label, known in mask.segments.items()}),
        fix="name it in its `segments`: a segment may be named and have no voxel",
    )
