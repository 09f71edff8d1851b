"""A result as DICOM objects: segmentations, measurements, the report as a document, and derived images where needed."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vesalius.core.errors import GeometryError, ImageContentError, UnsupportedError
from vesalius.core.finding import Message
from vesalius.core.mask import Mask
from vesalius.core.report import Report, Result
from vesalius.core.volume import Volume

if TYPE_CHECKING:
    from pydicom import Dataset

    from vesalius.io.dicom.compose import Origin

OnSkip = Callable[[str, Message], None]
"""Called with the name of a file that was not made, and why."""

_NO_TIME = datetime(1900, 1, 1)
_REFUSED = (GeometryError, ImageContentError, UnsupportedError)


def ignore(name: str, reason: Message) -> None:
    """Take no notice of a file that was not made."""


def dicom_files(
    result: Result,
    *,
    pdfs: Mapping[str, bytes],
    captures: Mapping[str, NDArray[np.uint8]],
    formats: Sequence[str],
    shows_identity: bool = False,
    on_skip: OnSkip = ignore,
) -> Iterator[tuple[str, bytes]]:
    """Yield (relative file name, bytes) of the DICOM objects of a result, named as CONTRACTS says.

    For a DICOM source its headers are read again: patient, study and frame of reference are kept and every source
    instance is referenced. A source that was not DICOM, or was brought to another grid, is written as a derived
    series first. UIDs depend on the run's id and the object's name only, so that a resumed run keeps them.

    Args:
        pdfs: language -> report as PDF.
        captures: language -> page one, [row, column, 3].
        formats: any of "seg", "sr", "dicom-pdf", "sc".
        shows_identity: the patient's identity is drawn into the documents.
        on_skip: told of files that cannot be made.
    """
    writer = _Writer(result, frozenset(formats), shows_identity, on_skip)
    if writer.wanted & {"seg", "sr"}:
        yield from writer.segmentations()
    if "sr" in writer.wanted:
        yield from writer.measurements()
    yield from writer.documents(pdfs, captures)


def uid_source(report: Report) -> Callable[[str], str]:
    """Return the function from a stable name to its UID in this run (PS3.5 B.2: 2.25 and a UUID)."""
    try:
        namespace = uuid.UUID(report.run.id)
    except ValueError:
        namespace = uuid.uuid5(uuid.NAMESPACE_OID, f"{report.study_key}/{report.application}/{report.id}")

    def uid(name: str) -> str:
        return f"2.25.{uuid.uuid5(namespace, name).int}"

    return uid


def origin_of(report: Report) -> Origin:
    """Return who makes the objects of a report, and when."""
    from vesalius.io.dicom.compose import Origin

    try:
        created = datetime.fromisoformat(report.run.finished or report.run.started)
    except ValueError:
        created = _NO_TIME
    return Origin(uid_source(report), report.application, report.version, created, report.draft)


@dataclass
class _Writer:
    """One run through the formats; keeps the headers and objects that later ones refer to."""

    result: Result
    wanted: frozenset[str]
    shows_identity: bool
    on_skip: OnSkip
    origin: Origin = field(init=False)
    sources: dict[str, list[Dataset]] = field(default_factory=dict)
    images: dict[str, list[Dataset]] = field(default_factory=dict)
    masks: dict[str, Dataset] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Settle who writes, and when."""
        self.origin = origin_of(self.result.report)

    def segmentations(self) -> Iterator[tuple[str, bytes]]:
        from vesalius.io.dicom import compose, seg

        for name, mask in self.result.masks.items():
            path = f"dicom/{name}_seg.dcm"
            role = self.role_of(mask)
            if role is None:
                self.skip(path, "dicom.skipped.other_grid")
                continue
            try:
                yield from self.prepared(role, mask)
                if "seg" in self.wanted:
                    dataset = seg.from_mask(mask, self.images[role], name=name, origin=self.origin)
                    yield path, compose.to_bytes(dataset)
                    self.masks[name] = _without_pixels(dataset)
            except _REFUSED as error:
                self.skip(path, "dicom.skipped.refused", str(error))

    def measurements(self) -> Iterator[tuple[str, bytes]]:
        from vesalius.io.dicom import compose, sr

        path = "dicom/measurements_sr.dcm"
        measured = [one for one in self.result.report.measurements if one.value is not None]
        if not measured:
            return
        try:
            if not self.images:
                for role in self.roles()[:1]:
                    yield from self.prepared(role, None)
            sources = [header for headers in self.images.values() for header in headers]
            if not sources:
                self.skip(path, "dicom.skipped.no_image")
                return
            dataset = sr.measurement_report(measured, sr.Evidence(sources, self.masks), origin=self.origin)
        except _REFUSED as error:
            self.skip(path, "dicom.skipped.refused", str(error))
            return
        yield path, compose.to_bytes(dataset)

    def documents(
        self, pdfs: Mapping[str, bytes], captures: Mapping[str, NDArray[np.uint8]]
    ) -> Iterator[tuple[str, bytes]]:
        """Yield the encapsulated PDF and the picture of page one in each language."""
        from vesalius.io.dicom import compose, document

        headers = self.any_headers()
        if "dicom-pdf" in self.wanted:
            for number, (language, pdf) in enumerate(pdfs.items(), start=1):
                page = document.Page(self.title(language), language, number, self.shows_identity)
                dataset = document.encapsulated_pdf(pdf, page, headers, origin=self.origin)
                yield f"dicom/report_pdf.{language}.dcm", compose.to_bytes(dataset)
        if "sc" in self.wanted:
            for number, (language, picture) in enumerate(captures.items(), start=1):
                page = document.Page(self.title(language), language, number, self.shows_identity)
                dataset = document.secondary_capture(picture, page, headers, origin=self.origin)
                yield f"dicom/capture_sc.{language}.dcm", compose.to_bytes(dataset)

    def title(self, language: str) -> str:
        from vesalius.report.words import find, of_application, say

        name = self.result.report.application
        catalogue = of_application(name)
        ids = (f"application.{name}", f"application.{name}.title")
        told = next((text for text in (find(one, language, catalogue) for one in ids) if text), name)
        return say(Message("dicom.title", {"application": told}), language, catalogue)

    def roles(self) -> list[str]:
        """Return the names of volumes that are sources, in the order of the report; any volume when none is."""
        told = [source.role for source in self.result.report.sources if source.role in self.result.volumes]
        return told or list(self.result.volumes)

    def role_of(self, mask: Mask) -> str | None:
        """Return the source on whose grid a mask lies."""
        fitting = (role for role in self.roles() if self.result.volumes[role].same_grid(mask, tolerance_mm=0.01))
        return next(fitting, None)

    def prepared(self, role: str, mask: Mask | None) -> Iterator[tuple[str, bytes]]:
        """Settle which stored images a role stands for, and yield them where they must be written first."""
        if role in self.images:
            return
        headers = self.headers(role)
        volume = self.result.volumes[role]
        if headers and self.is_as_stored(role, volume, mask, headers):
            self.images[role] = headers
            return
        yield from self.derived(role, volume, headers)

    def headers(self, role: str) -> list[Dataset]:
        """Return the source headers of a role, [] when it was not DICOM."""
        from vesalius import io

        if role not in self.sources:
            series = self.result.series.get(role)
            is_dicom = series is not None and series.format == "dicom"
            self.sources[role] = io.source_headers(series) if series is not None and is_dicom else []
        return self.sources[role]

    def is_as_stored(self, role: str, volume: Volume, mask: Mask | None, headers: Sequence[Dataset]) -> bool:
        """Return whether the volume that was analysed has the slices that are stored."""
        from vesalius.io.dicom import seg

        if any(source.derived for source in self.result.report.sources if source.role == role):
            return False
        if mask is None:
            mask = Mask(np.zeros(volume.shape, dtype=np.uint8), volume.affine)
        return seg.fits(mask, headers)

    def derived(self, role: str, volume: Volume, headers: list[Dataset]) -> Iterator[tuple[str, bytes]]:
        """Yield the volume as a derived series, and keep its headers."""
        from vesalius.io.dicom import compose, derive

        written = []
        description = f"{self.origin.application}: {role}, derived"
        slices = derive.to_dicom(_finite(volume), uid=self.origin.uid, headers=headers or None, description=description)
        for name, dataset in slices:
            yield f"dicom/derived/{role}_{name}", compose.to_bytes(dataset)
            written.append(_without_pixels(dataset))
        self.images[role] = written

    def any_headers(self) -> list[Dataset] | None:
        """Return what the documents refer to: stored sources first, else the derived images."""
        for role in self.result.series:
            if headers := self.headers(role):
                return headers
        return next(iter(self.images.values()), None)

    def skip(self, path: str, reason: str, detail: str = "") -> None:
        self.on_skip(path, Message(reason, {"name": path, "detail": detail}))


def _without_pixels(dataset: Dataset) -> Dataset:
    del dataset.PixelData
    return dataset


def _finite(volume: Volume) -> Volume:
    """Return the volume with zero where it holds no finite number, which DICOM cannot store."""
    if volume.array.dtype.kind != "f" or all(np.isfinite(plane).all() for plane in volume.array):
        return volume
    array = np.nan_to_num(volume.array, nan=0.0, posinf=0.0, neginf=0.0)
    return replace(volume, array=array, history=volume.done("replace_not_finite", value=0))
