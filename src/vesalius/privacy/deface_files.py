"""Faces out of stored files: one face for a whole series, applied to each object or NIfTI in its own voxel grid."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from vesalius.core.errors import VesaliusError
from vesalius.core.study import Series
from vesalius.core.volume import Volume
from vesalius.io import load, load_slices
from vesalius.io.dicom import placing, planes
from vesalius.io.dicom.headers import read_header
from vesalius.io.dicom.studies import studies_of
from vesalius.io.dicom.values import text, texts, whole
from vesalius.privacy.deface import Face, FaceDoubtError, as_stored, locate, shows_face
from vesalius.privacy.heads import is_localizer
from vesalius.privacy.nifti_text import is_nifti
from vesalius.privacy.outcome import FaceAnswer, Settings
from vesalius.privacy.pixels import stored

Paths = tuple[Path, ...]
_MOST_STACKS: Final = 2
"""Stacks of a series that are tried, the one with most slices first."""
_IS_THERE: Final = "a face is there, although it was said that there is none"
_FAILURES: Final = (VesaliusError, ValueError, ArithmeticError, IndexError)
"""What an image that is no head may lead to in the numerical parts."""


@dataclass(frozen=True)
class Sources:
    """Files from which the face of a series can be found.

    Args:
        series: the files of the series itself.
        siblings: files of other series in the same frame of reference, tried when the series itself shows too little.
    """

    series: Paths
    siblings: tuple[Paths, ...] = ()


def answer(sources: Sources, settings: Settings) -> FaceAnswer:
    """Return what becomes of the faces in a series: removed, in doubt, or rightly said not to be there."""
    if not settings.deface:
        there = face_is_there(sources)
        return FaceAnswer(doubt=_IS_THERE if there else "", checked=there is False)
    found = face_of(sources)
    if isinstance(found, FaceDoubtError):
        return FaceAnswer(doubt=found.message)
    try:
        blanker = nifti_blanker(sources.series[0], found) if _is_nifti(sources.series) else None
    except VesaliusError as problem:
        return FaceAnswer(doubt=problem.message)
    return FaceAnswer(lambda data: blank_face(data, found), words=moved_words(found), blanker=blanker)


def _is_nifti(paths: Paths) -> bool:
    return len(paths) == 1 and is_nifti(paths[0])


@lru_cache(maxsize=4)
def face_of(sources: Sources) -> Face | FaceDoubtError:
    """Return the face of a DICOM series or of a NIfTI file, or why it is in doubt."""
    doubts = []
    for paths in (sources.series, *sources.siblings):
        found = _of_series(paths)
        if isinstance(found, Face):
            return found
        doubts.append(found)
    return doubts[0]


@lru_cache(maxsize=4)
def face_is_there(sources: Sources) -> bool | None:
    """Return whether a series or NIfTI plainly shows a face, None when it cannot be told."""
    answers: list[bool] = []
    for volume in _volumes(sources.series):
        try:
            answers.append(shows_face(volume))
        except _FAILURES:
            continue
    return any(answers) if answers else None


@lru_cache(maxsize=4)
def _of_series(paths: Paths) -> Face | FaceDoubtError:
    doubt = FaceDoubtError("the slices of the series do not make a volume", fix="give all slices together")
    for volume in _volumes(paths):
        try:
            return locate(volume)
        except FaceDoubtError as problem:
            doubt = problem
        except _FAILURES:
            doubt = FaceDoubtError("no head is found in the image")
    return doubt


def _volumes(paths: Paths) -> Iterator[Volume]:
    """Yield the stacks of a series, the one with most slices first; what cannot be read is passed over."""
    try:
        found = list(_stacks(paths))
    except VesaliusError:
        return
    for series in sorted(found, key=lambda one: -one.geometry.shape[0])[:_MOST_STACKS]:
        try:
            yield _volume(series)
        except VesaliusError:
            continue


def _stacks(paths: Paths) -> Iterator[Series]:
    if _is_nifti(paths):
        from vesalius.io import nifti

        yield nifti.describe_file(paths[0])
        return
    headers = []
    for path in paths:
        try:
            headers.append(read_header(path))
        except VesaliusError:
            continue
    for study in studies_of(headers, paths[0].parent):
        yield from study.series


def _volume(series: Series) -> Volume:
    if series.geometry.usable or series.format != "dicom":
        return load(series)
    from vesalius.imaging.spatial import regrid

    return regrid(load_slices(series))


def blank_face(data: Dataset, face: Face) -> int:
    """Write background over the face in the pixels of an object, in place, and return how many pixels changed.

    Compressed pixels are written again losslessly; every pixel outside the face keeps its value.

    Raises:
        FaceDoubtError: the frames do not tell where they lie, or hold colours.
        ReadError: the pixels cannot be decoded.
    """
    _check_frames(data)
    pixels = stored.load(data)
    places = placing.of_frames(data)
    if pixels is None or pixels.frames.ndim != 3 or len(places) != len(pixels.frames):
        raise FaceDoubtError("the frames of the object do not tell where they lie")
    scales = planes.of(data, text(data, "Modality"), text(data, "SOPClassUID"), len(places)).planes
    count = 0
    for frame, place, plane in zip(pixels.frames, places, scales, strict=True):
        mask = face.removed(place.affine(place.normal), (1, *frame.shape))[0]
        value = (face.background - (plane.intercept or 0.0)) / (plane.slope or 1.0)
        frame[mask] = _within(value, frame.dtype, data)
        count += int(np.count_nonzero(mask))
        _without_high_bits(frame, data)
    stored.store(data, pixels)
    return count


def _check_frames(data: Dataset) -> None:
    if is_localizer(data):
        raise FaceDoubtError("a localizer", fix="leave localizers out")
    if "MOSAIC" in texts(data, "ImageType"):
        raise FaceDoubtError("slices tiled in one picture", fix="convert the mosaic to slices first")
    if (whole(data, "SamplesPerPixel") or 1) != 1:
        raise FaceDoubtError("colours instead of grey values")


def _within(value: float, dtype: np.dtype[Any], data: Dataset) -> Any:
    """Return a stored value in the bits that the object declares."""
    bits = whole(data, "BitsStored") or 0
    if dtype.kind in "iu" and 0 < bits < 8 * dtype.itemsize:
        least = -(1 << (bits - 1)) if dtype.kind == "i" else 0
        most = (1 << (bits - 1)) - 1 if dtype.kind == "i" else (1 << bits) - 1
        value = min(max(value, least), most)
    return as_stored(value, dtype)


def _without_high_bits(frame: NDArray[Any], data: Dataset) -> None:
    """Clear the bits above the stored ones, where old objects keep overlays."""
    bits = whole(data, "BitsStored") or 0
    if frame.dtype.kind == "u" and 0 < bits < 8 * frame.dtype.itemsize:
        frame &= frame.dtype.type((1 << bits) - 1)


def nifti_blanker(path: Path, face: Face) -> Callable[[int, bytes], bytes]:
    """Return a function that writes background over the face in a piece of the voxel bytes, given its offset.

    Raises:
        FaceDoubtError: voxels that are no grey values.
        ReadError: the file cannot be read.
    """
    from vesalius.io import nifti, nifti_header
    from vesalius.io.inflate import reading

    series = nifti.describe_file(path)
    with reading(path, "NIfTI"):
        header = nifti_header.parse(path)
    if header.dtype.names is not None or header.dtype.kind not in "iuf":
        raise FaceDoubtError("voxels that are no grey values")
    mask = face.removed(np.asarray(series.geometry.affine), series.geometry.shape).ravel()
    slope, intercept = (float(header.fields[name]) for name in ("scl_slope", "scl_inter"))
    scaled = np.isfinite(slope) and slope != 0
    value = (face.background - (intercept if scaled and np.isfinite(intercept) else 0.0)) / (slope if scaled else 1.0)
    fill = np.frombuffer(np.array(as_stored(value, header.dtype), header.dtype).tobytes(), np.uint8)
    return lambda offset, piece: _blanked(offset, piece, mask, fill)


def _blanked(offset: int, piece: bytes, mask: NDArray[np.bool_], fill: NDArray[np.uint8]) -> bytes:
    place = np.arange(offset, offset + len(piece), dtype=np.int64)
    chosen = mask[(place // len(fill)) % len(mask)]
    result = np.frombuffer(piece, np.uint8).copy()
    result[chosen] = fill[place[chosen] % len(fill)]
    return result.tobytes()


def moved_words(face: Face) -> str:
    """Return how far the surface moved, as the action report tells it."""
    parts: Sequence[str] = [f"{name.replace('_', ' ')} {length:.0f}" for name, length in face.moved_mm.items()]
    return "face removed; surface moved in mm: " + ", ".join(parts)
