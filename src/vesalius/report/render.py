"""From a result to the files of a report, in the order and under the names of CONTRACTS."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from vesalius.core.errors import UsageError
from vesalius.core.finding import Message
from vesalius.core.mask import Mask
from vesalius.core.registry import unknown
from vesalius.core.report import MaskReference, Report, Result
from vesalius.core.study import Identity
from vesalius.report import words
from vesalius.report.figures import Picture
from vesalius.report.fonts import CJK_PACKAGE, FontSet
from vesalius.report.page import Page
from vesalius.report.phrases import Phrases
from vesalius.report.words import Catalogue

FORMATS = ("html", "pdf", "csv", "fhir", "nifti", "seg", "sr", "dicom-pdf", "sc")
"""What `formats` may name; report.json is always written."""

_DICOM = ("seg", "sr", "dicom-pdf", "sc")
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that was not made, and why (a message of the catalogue)."""

    name: str
    reason: Message


@dataclass
class RenderLog:
    """What a rendering left out; filled while the files are drawn from the iterator."""

    skipped: list[Skipped] = field(default_factory=list)


@dataclass(frozen=True)
class Words:
    """What a report is written with, when not with what is installed.

    Args:
        catalogue: the application's messages; by default those of the installed application.
        fonts: the faces to draw with; by default those found on the system.
    """

    catalogue: Catalogue | None = None
    fonts: FontSet | None = None


def render(
    result: Result,
    identity: Identity | None = None,
    *,
    language: str | Sequence[str] = words.LANGUAGES,
    formats: Sequence[str] = FORMATS,
    log: RenderLog | None = None,
    using: Words | None = None,
) -> dict[str, bytes]:
    """Return relative file name -> bytes of every file of the report.

    Raises:
        UnknownNameError: a format or language that does not exist.
        OutputError: a document could not be laid out.
    """
    return dict(render_files(result, identity, language=language, formats=formats, log=log, using=using))


def render_files(
    result: Result,
    identity: Identity | None = None,
    *,
    language: str | Sequence[str] = words.LANGUAGES,
    formats: Sequence[str] = FORMATS,
    log: RenderLog | None = None,
    using: Words | None = None,
) -> Iterator[tuple[str, bytes]]:
    """Yield (relative file name, bytes), report.json first; the names are those of CONTRACTS.

    Identity reaches the head of HTML and PDF, so also what DICOM wraps of them, and the FHIR bundle; nothing else.

    Raises:
        UnknownNameError: a format or language that does not exist.
        OutputError: a document could not be laid out.
    """
    languages = (language,) if isinstance(language, str) else tuple(language)
    _check("language", languages, words.LANGUAGES)
    _check("format", formats, FORMATS)
    _check_names(result)
    wanted = frozenset(formats)
    filled = replace(result, report=with_masks(result, paths="nifti" in wanted))
    rendering = _Rendering(filled, identity, languages, wanted, log or RenderLog(), using or Words())
    return rendering.files()


def with_masks(result: Result, *, paths: bool = True) -> Report:
    """Return the report with a reference (segments, path, hash of voxels and affine) to each mask of the result."""
    references = tuple(
        MaskReference(
            name=name,
            segments={str(label): segment.name for label, segment in mask.segments.items()},
            path=f"masks/{name}.nii.gz" if paths else "",
            sha256=mask.sha256,
        )
        for name, mask in result.masks.items()
    )
    return replace(result.report, masks=references)


def _check(kind: str, given: Sequence[str], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            raise unknown(kind, name, tuple(known))


def _check_names(result: Result) -> None:
    names = (*result.masks, *(image.name for image in result.images))
    for name in names:
        if not _SAFE_NAME.fullmatch(name):
            raise UsageError(
                "a mask or key image cannot be written under this name",
                found=repr(name),
                expected="letters, digits, dot, hyphen and underscore",
            )


@dataclass
class _Rendering:
    """One run through all formats; keeps what several of them share."""

    result: Result
    identity: Identity | None
    languages: tuple[str, ...]
    wanted: frozenset[str]
    log: RenderLog
    using: Words
    pdfs: dict[str, bytes] = field(default_factory=dict)
    pages: dict[str, Page] = field(default_factory=dict)
    drawn: dict[str, tuple[Picture, ...]] = field(default_factory=dict)

    @property
    def report(self) -> Report:
        return self.result.report

    def phrases(self, language: str) -> Phrases:
        catalogue = self.using.catalogue
        return Phrases(language, words.of_application(self.report.application) if catalogue is None else catalogue)

    def fonts(self) -> FontSet:
        from vesalius.report import fonts

        return self.using.fonts or fonts.find()

    def files(self) -> Iterator[tuple[str, bytes]]:
        from vesalius.report import schema, table

        yield "report.json", schema.to_json(self.report)
        if self.wanted & {"html", "pdf", "dicom-pdf", "sc"}:
            yield from self.documents()
        if "csv" in self.wanted:
            yield "measurements.csv", table.measurements_csv(self.report, self.phrases("en"))
        if "fhir" in self.wanted:
            yield "fhir.json", self.fhir()
        if "nifti" in self.wanted:
            for name, mask in self.result.masks.items():
                yield from mask_files(name, mask)
        if self.wanted & set(_DICOM):
            yield from self.dicom()

    def documents(self) -> Iterator[tuple[str, bytes]]:
        from vesalius.report import html, page

        for language in self.languages:
            phrases = self.phrases(language)
            pictures = self.pictures(phrases)
            self.pages[language] = page.build(self.report, phrases, pictures, self.identity)
            if "html" in self.wanted:
                yield f"report.{language}.html", html.html(self.pages[language])
            if self.lacks_font(language):
                self.skip_documents(language)
                continue
            yield from self.pdf(language)
            for picture in pictures if self.wanted & {"html", "pdf"} else ():
                yield f"figures/{language}/{picture.name}.png", picture.png

    def pictures(self, phrases: Phrases) -> tuple[Picture, ...]:
        """Return the pictures; without a font for the language, its HTML gets those with English words."""
        from vesalius.report import figures

        within = self.phrases("en") if self.lacks_font(phrases.language) else phrases
        draft = within.text("report.draft") if self.report.draft else ""
        pen = figures.Pen(within, self.fonts().faces(within.language), draft)
        return figures.draw(self.result, pen, phrases)

    def lacks_font(self, language: str) -> bool:
        return language == "zh" and not self.fonts().chinese

    def skip_documents(self, language: str) -> None:
        names = {
            "pdf": (f"report.{language}.pdf", f"figures/{language}"),
            "dicom-pdf": (f"dicom/report_pdf.{language}.dcm",),
            "sc": (f"dicom/capture_sc.{language}.dcm",),
        }
        if "html" in self.wanted and "pdf" not in self.wanted:
            names["html"] = (f"figures/{language}",)
        for kind, files in names.items():
            if kind in self.wanted:
                for name in files:
                    reason = Message("report.skipped.no_cjk_font", {"name": name, "package": CJK_PACKAGE})
                    self.log.skipped.append(Skipped(name, reason))

    def pdf(self, language: str) -> Iterator[tuple[str, bytes]]:
        from vesalius.report import pdf

        if self.wanted & {"pdf", "dicom-pdf"}:
            self.pdfs[language] = pdf.pdf(self.pages[language], self.fonts())
        if "pdf" in self.wanted:
            yield f"report.{language}.pdf", self.pdfs[language]

    def fhir(self) -> bytes:
        from vesalius.report import fhir

        attached = self.pdfs if "pdf" in self.wanted else {}
        return fhir.bundle(self.report, self.phrases(self.languages[0]), self.identity, attached)

    def dicom(self) -> Iterator[tuple[str, bytes]]:
        from vesalius.report import dicom, pdf

        captures = {}
        if "sc" in self.wanted:
            shown = {language: page for language, page in self.pages.items() if not self.lacks_font(language)}
            captures = {language: pdf.page_one_rgb(page, self.fonts()) for language, page in shown.items()}
        pdfs = self.pdfs if "dicom-pdf" in self.wanted else {}
        formats = tuple(name for name in _DICOM if name in self.wanted)
        yield from dicom.dicom_files(
            self.result,
            pdfs=pdfs,
            captures=captures,
            formats=formats,
            shows_identity=self.identity is not None,
            on_skip=lambda name, reason: self.log.skipped.append(Skipped(name, reason)),
        )


def mask_files(name: str, mask: Mask) -> Iterator[tuple[str, bytes]]:
    """Yield the NIfTI file of a mask with its label table and its colours for 3D Slicer."""
    from vesalius.io import labels, nifti

    yield f"masks/{name}.nii.gz", nifti.to_bytes(mask)
    yield f"masks/{name}.labels.json", labels.labels_json(mask)
    yield f"masks/{name}.ctbl", labels.colour_table(mask)
