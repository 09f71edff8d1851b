"""Burned-in text of one DICOM object: found without trusting BurnedInAnnotation, blanked, and looked for again."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from vesalius.io.dicom.values import quiet
from vesalius.privacy.pixels import model, stored, views
from vesalius.privacy.pixels.find import Box, Found, TextBox, find_text

Array = NDArray[Any]
Bits = NDArray[np.bool_]
ROUNDS: Final = 3
"""Times that text is blanked and looked for again before a person is asked."""
_ALIKE: Final = 0.85
"""Correlation inside a box from which two frames show the same text."""
_MOST_PREVIEWS: Final = 4
_NOT_PICTURES: Final = frozenset(
    ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7", "1.2.840.10008.5.1.4.1.1.30")
)
"""Segmentation, label map segmentation, parametric map: numbers and labels, written by programs."""


@dataclass(frozen=True)
class FrameBox:
    """A box on one frame, counted from 0."""

    frame: int
    box: TextBox


@dataclass(frozen=True)
class PixelOutcome:
    """What became of the pixels of one object.

    Args:
        changed: pixels were blanked in the data set.
        boxes: what was blanked.
        doubtful: a person must look: text may be left.
        previews: PNG pictures of the frames in doubt, boxes drawn; they show what stood there before.
    """

    changed: bool
    boxes: tuple[FrameBox, ...] = ()
    doubtful: bool = False
    previews: tuple[bytes, ...] = field(default=(), repr=False)


@dataclass
class SeriesText:
    """Text that images of one series share, kept from one object to the next by the caller.

    It only adds boxes: text that stands at the same place as on an image before is blanked even where it is missed.
    """

    known: dict[tuple[object, ...], list[tuple[TextBox, Array]]] = field(default_factory=dict)

    def shared(self, key: tuple[object, ...], picture: Array) -> list[TextBox]:
        """Return the boxes known for the series whose content this picture shows again."""
        return [box for box, content in self.known.get(key, ()) if _shows(picture, box, content)]

    def add(self, key: tuple[object, ...], picture: Array, boxes: Sequence[TextBox]) -> None:
        """Keep the text of a picture for those that follow."""
        kept = self.known.setdefault(key, [])
        new = [box for box in boxes if not any(box.bounds == other.bounds for other, _ in kept)]
        kept.extend((box, _content(picture, box)) for box in new)


def clean(
    dataset: Dataset, *, series: SeriesText | None = None, every_frame: bool = True, threads: int = model.THREADS
) -> PixelOutcome:
    """Blank the text in the pixels of a data set, in place, and return what was done.

    Pixels outside the boxes keep every bit. A native object keeps its transfer syntax; a compressed one is written
    again in its own lossless transfer syntax, else as Explicit VR Little Endian. Without text nothing is touched.

    Args:
        series: text of the series so far; it is added to.
        every_frame: look at each frame in every view; otherwise at the first, and at the others in one view only
            unless that finds something new.

    Raises:
        ReadError: the pixels cannot be decoded.
        UnsupportedError: no decoder for the transfer syntax.
        MissingDependencyError: the extra `ocr` is not installed.
    """
    if str(dataset.get("SOPClassUID", "")) in _NOT_PICTURES:
        return PixelOutcome(False)
    pixels = stored.load(dataset)
    if pixels is None:
        return PixelOutcome(False)
    look = _Look(dataset, pixels, series if series is not None else SeriesText(), every_frame, threads)
    return look.clean()


@dataclass
class _Look:
    """The work on one object."""

    dataset: Dataset
    pixels: stored.Stored
    series: SeriesText
    every_frame: bool
    threads: int

    def clean(self) -> PixelOutcome:
        window, regions = _window(self.dataset), ultrasound_regions(self.dataset)
        key = (str(self.dataset.get("SeriesInstanceUID", "")), self.pixels.frames.shape[1:])
        found = [self._frame(index, key, window, regions) for index in range(len(self.pixels.frames))]
        if not any(one.boxes or one.doubtful for one in found):
            return PixelOutcome(False)
        before = {index: self._seen(index).copy() for index, one in enumerate(found) if one.boxes or one.doubtful}
        boxes, left = self._blank(found, window, regions)
        doubtful = [index for index, one in enumerate(found) if one.doubtful or index in left]
        previews = [
            preview(before[index], [b.box for b in boxes if b.frame == index], found[index].doubtful)
            for index in doubtful
        ]
        if boxes:
            stored.store(self.dataset, self.pixels)
        return PixelOutcome(bool(boxes), tuple(boxes), bool(doubtful), tuple(previews[:_MOST_PREVIEWS]))

    def _seen(self, index: int) -> Array:
        with quiet():
            return stored.seen(self.pixels, index, self.dataset)

    def _frame(
        self, index: int, key: tuple[object, ...], window: tuple[float, float] | None, regions: list[Box]
    ) -> Found:
        picture = self._seen(index)
        shared = self.series.shared(key, picture)
        thorough = self.every_frame or index == 0
        found = find_text(picture, window=window, thorough=thorough, outside=regions, threads=self.threads)
        if not thorough and not all(_covered(box, shared) for box in found.boxes):
            found = find_text(picture, window=window, outside=regions, threads=self.threads)
        new = [box for box in found.boxes if not _covered(box, shared)]
        self.series.add(key, picture, new)
        return Found((*shared, *new), tuple(box for box in found.doubtful if not _covered(box, shared)))

    def _blank(
        self, found: Sequence[Found], window: tuple[float, float] | None, regions: list[Box]
    ) -> tuple[list[FrameBox], set[int]]:
        """Blank, look again and blank what appears; return the boxes and the frames where text is still seen."""
        shape = self.pixels.frames.shape[:3]
        covered = np.zeros(shape, bool)
        for index, one in enumerate(found):
            for box in one.boxes:
                covered[index] |= box.mask(shape[1:])
        value = stored.blanking_value(self.pixels, covered, self.dataset)
        boxes = [FrameBox(index, box) for index, one in enumerate(found) for box in one.boxes]
        left = {index for index, one in enumerate(found) if one.boxes}
        for index in left:
            stored.blank(self.pixels, index, covered[index], value)
        for _ in range(ROUNDS - 1):
            again = {index: self._again(index, window, regions) for index in sorted(left)}
            left = {index for index, more in again.items() if more}
            for index in left:
                for box in again[index]:
                    boxes.append(FrameBox(index, box))
                    stored.blank(self.pixels, index, box.mask(shape[1:]), value)
        return boxes, left

    def _again(self, index: int, window: tuple[float, float] | None, regions: list[Box]) -> tuple[TextBox, ...]:
        return find_text(self._seen(index), window=window, thorough=False, outside=regions, threads=self.threads).boxes


def _window(dataset: Dataset) -> tuple[float, float] | None:
    """Return the range of stored values that the first window shows, None without a window."""
    try:
        centre, width = (
            np.atleast_1d(np.asarray(dataset.get(name), float))[0] for name in ("WindowCenter", "WindowWidth")
        )
        slope, intercept = float(dataset.get("RescaleSlope", 1) or 1), float(dataset.get("RescaleIntercept", 0) or 0)
    except (TypeError, ValueError, IndexError):
        return None
    if not np.isfinite((centre, width)).all() or width <= 0 or slope == 0:
        return None
    low, high = sorted(((centre - width / 2 - intercept) / slope, (centre + width / 2 - intercept) / slope))
    return float(low), float(high)


def ultrasound_regions(dataset: Dataset) -> list[Box]:
    """Return (top, left, bottom, right) of the regions that hold the ultrasound image (PS3.3 C.8.5.5)."""
    found = []
    for item in dataset.get("SequenceOfUltrasoundRegions") or ():
        names = ("RegionLocationMinY0", "RegionLocationMinX0", "RegionLocationMaxY1", "RegionLocationMaxX1")
        top, left, bottom, right = (int(item.get(name, 0) or 0) for name in names)
        if bottom > top and right > left:
            found.append((top, left, bottom + 1, right + 1))
    return found


def _content(picture: Array, box: TextBox) -> Array:
    top, left, bottom, right = box.bounds
    grey = picture.mean(axis=-1) if picture.ndim == 3 else picture
    part: Array = grey[max(0, top) : bottom, max(0, left) : right].astype(np.float32)
    return part


def _shows(picture: Array, box: TextBox, content: Array) -> bool:
    here = _content(picture, box)
    if here.shape != content.shape or here.std() == 0 or content.std() == 0:
        return False
    return bool(np.corrcoef(here.ravel(), content.ravel())[0, 1] >= _ALIKE)


def _covered(box: TextBox, others: Sequence[TextBox]) -> bool:
    """Return whether a box lies in one of others."""
    top, left, bottom, right = box.bounds
    for other in others:
        above, before, below, after = other.bounds
        inside = max(0, min(bottom, below) - max(top, above)) * max(0, min(right, after) - max(left, before))
        if inside >= 0.95 * (bottom - top) * (right - left):
            return True
    return False


def preview(picture: Array, blanked: Sequence[TextBox], doubtful: Sequence[TextBox]) -> bytes:
    """Return a PNG picture for a person: blanked boxes in green, those in doubt in red."""
    from PIL import Image, ImageDraw

    shown = picture if picture.ndim == 3 else views.pictures(picture)[0]
    image = Image.fromarray(np.ascontiguousarray(shown[..., :3] if shown.ndim == 3 else shown)).convert("RGB")
    pen = ImageDraw.Draw(image)
    for boxes, colour in ((blanked, (0, 200, 0)), (doubtful, (255, 0, 0))):
        for box in boxes:
            pen.polygon([(column, row) for row, column in box.corners], outline=colour)
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()
