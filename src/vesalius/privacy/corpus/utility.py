"""What of de-identified studies can still be used, compared attribute by attribute with the planted originals."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

import numpy as np
from pydicom.dataset import Dataset

from vesalius.io.dicom.values import PARSE_ERRORS, quiet
from vesalius.privacy.corpus import documents, scoring
from vesalius.privacy.corpus.truth import Corpus, Item, Leak

GEOMETRY: Final = (
    *("Rows", "Columns", "NumberOfFrames", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"),
    *("SliceThickness", "ImagerPixelSpacing"),
)
RESCALE: Final = (
    *("RescaleSlope", "RescaleIntercept", "RescaleType", "BitsStored", "PixelRepresentation"),
    *("PhotometricInterpretation", "WindowCenter", "WindowWidth", "Units"),
)
ACQUISITION: Final = (
    *("Modality", "ImageType", "KVP", "XRayTubeCurrent", "ExposureTime", "GantryDetectorTilt", "ScanningSequence"),
    *("RepetitionTime", "EchoTime", "FlipAngle", "MagneticFieldStrength", "MRAcquisitionType", "ViewPosition"),
    *("ImageLaterality", "BodyPartThickness", "CompressionForce", "ActualFrameDuration", "DecayCorrection"),
)
CHARACTERISTICS: Final = ("PatientSex", "PatientSize", "PatientWeight", "PatientAge")
DESCRIPTIONS: Final = ("StudyDescription", "SeriesDescription", "ProtocolName")
MARGIN: Final = 4.0
"""Text may be blanked with a margin of so many heights of a glyph around it; beyond it every pixel stays."""
_CAPITALS: Final = 12
_GROUPS: Final = {
    "geometry": GEOMETRY,
    "rescale": RESCALE,
    "acquisition": ACQUISITION,
    "characteristics": CHARACTERISTICS,
    "descriptions": DESCRIPTIONS,
}
_OPTIONAL: Final = frozenset(("pdf",))
"""Kinds that a de-identifier may leave out as a whole."""
_NOT_EXPECTED: Final = ("00081110", "00081111", "00081120")
"""References to studies, procedure steps and patients as such: the Basic Profile empties or removes them."""


def measure(corpus: Corpus, outputs: Mapping[int, scoring.Output]) -> dict[str, tuple[int, int]]:
    """Return for each kind of use (kept, expected)."""
    with quiet():
        return _measured(corpus, outputs)


def _measured(corpus: Corpus, outputs: Mapping[int, scoring.Output]) -> dict[str, tuple[int, int]]:
    pairs = [(item, *_pair(corpus, item, outputs)) for item in corpus.items if item.kind not in _OPTIONAL]
    planted = {(plant.instance, plant.place) for plant in corpus.plants if plant.leak is not Leak.AGE}
    found = {name: _kept(pairs, keywords, planted) for name, keywords in _GROUPS.items()}
    found["objects"] = (sum(after is not None for _, _, after in pairs), len(pairs))
    found["pixels"] = _pixels(pairs)
    found["intervals"] = _intervals(pairs)
    found["patients"] = _patients(pairs)
    found["references"] = _references(pairs)
    found["structured content"] = _structured(pairs)
    return found


Pairs = list[tuple[Item, Dataset, Dataset | None]]


def _pair(corpus: Corpus, item: Item, outputs: Mapping[int, scoring.Output]) -> tuple[Dataset, Dataset | None]:
    before = scoring.read(corpus.folder / item.path)
    if before is None:
        raise FileNotFoundError(corpus.folder / item.path)
    out = outputs.get(item.instance)
    return before, out.dataset if out is not None else None


def _kept(pairs: Pairs, keywords: tuple[str, ...], planted: set[tuple[int, str]]) -> tuple[int, int]:
    kept = expected = 0
    for item, before, after in pairs:
        for keyword in keywords:
            element = before.get_item(keyword) if keyword in before else None
            if element is None or (item.instance, f"{int(element.tag):08x}") in planted:
                continue
            expected += 1
            kept += after is not None and keyword in after and _same(keyword, before, after)
    return kept, expected


def _same(keyword: str, before: Dataset, after: Dataset) -> bool:
    if keyword == "PatientAge" and str(before.PatientAge) > "089Y":
        return str(after.PatientAge) in ("089Y", "090Y")
    if keyword == "PhotometricInterpretation":
        return str(after[keyword].value) == str(before[keyword].value)
    return bool(after[keyword].value == before[keyword].value)


def _pixels(pairs: Pairs) -> tuple[int, int]:
    """Return the images whose every pixel away from text is what it was."""
    kept = expected = 0
    for item, before, after in pairs:
        if "PixelData" not in before:
            continue
        expected += 1
        kept += after is not None and _same_pixels(item, before, after)
    return kept, expected


def _same_pixels(item: Item, before: Dataset, after: Dataset) -> bool:
    try:
        with quiet():
            old, new = before.pixel_array, after.pixel_array
    except PARSE_ERRORS:
        return False
    if old.shape != new.shape or old.dtype != new.dtype:
        return False
    bits = int(before.BitsStored)
    if old.dtype.kind == "u" and bits < 8 * old.dtype.itemsize:
        old, new = old & ((1 << bits) - 1), new & ((1 << bits) - 1)
    different = old != new
    if different.ndim > 2:
        different = different.any(axis=-1 if int(before.get("SamplesPerPixel", 1)) > 1 else 0)
    return not (different & ~_near_text(item, different.shape)).any()


def _near_text(item: Item, shape: tuple[int, ...]) -> Any:
    if item.glyphs is None or item.kind == "mr":
        return np.zeros(shape, bool)
    rows, columns = np.nonzero(item.glyphs)
    near = np.zeros(shape, bool)
    reach = int(MARGIN * _CAPITALS)
    for top in range(int(rows.min()), int(rows.max()) + 1, _CAPITALS):
        part = columns[(rows >= top) & (rows < top + _CAPITALS)]
        if part.size:
            left, right = max(0, int(part.min()) - reach), int(part.max()) + reach
            near[max(0, top - _CAPITALS) : top + 2 * _CAPITALS, left:right] = True
    return near


def _intervals(pairs: Pairs) -> tuple[int, int]:
    """Return the dates of objects that lie as many days from their patient's first one as before."""
    first: dict[int, tuple[date, date]] = {}
    kept = expected = 0
    for item, before, after in pairs:
        for keyword in ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"):
            old, new = _date(before, keyword), _date(after, keyword) if after is not None else None
            if old is None:
                continue
            expected += 1
            if new is None:
                continue
            start = first.setdefault(item.person, (old, new))
            kept += (old - start[0]).days == (new - start[1]).days
    return kept, expected


def _date(dataset: Dataset, keyword: str) -> date | None:
    try:
        return date.fromisoformat(str(dataset.get(keyword, "")))
    except ValueError:
        return None


def _patients(pairs: Pairs) -> tuple[int, int]:
    """Return the objects that share an id with the other objects of their patient, and with no other patient's."""
    owners: dict[str, set[int]] = {}
    ids: dict[int, list[str]] = {}
    for item, _, after in pairs:
        identifier = str(after.get("PatientID", "")) if after is not None else ""
        ids.setdefault(item.person, []).append(identifier)
        owners.setdefault(identifier, set()).add(item.person)
    kept = 0
    for found in ids.values():
        commonest = max(set(found), key=found.count)
        kept += found.count(commonest) if commonest and len(owners[commonest]) == 1 else 0
    return kept, len(pairs)


def _references(pairs: Pairs) -> tuple[int, int]:
    """Return the references whose new UID is the new UID of what they meant."""
    new: dict[str, str] = {}
    for _, before, after in pairs:
        for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID"):
            if after is not None and keyword in before and keyword in after:
                new.setdefault(str(before[keyword].value), str(after[keyword].value))
    targets = {
        str(before[keyword].value)
        for _, before, _ in pairs
        for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID")
        if keyword in before
    }
    kept = expected = 0
    for _, before, after in pairs:
        for path, unique in documents.iterate_references(before):
            if unique not in targets or path.startswith(_NOT_EXPECTED):
                continue
            expected += 1
            if after is not None and unique in new:
                kept += scoring.texts_at(after, path) == [new[unique]]
    return kept, expected


_SR_ITEMS: Final = (
    ("0040a730[0].0040a168[0].00080100", "39607008"),
    ("0040a730[1].0040a300[0].0040a30a", "12.5"),
    ("0040a730[1].0040a043[0].00080100", "410668003"),
)


def _structured(pairs: Pairs) -> tuple[int, int]:
    """Return the coded items and numbers of the reports that stand where they stood, wherever their container is."""
    reports = [after for item, _, after in pairs if item.kind == "sr"]
    expected = len(_SR_ITEMS) * len(reports)
    kept = 0
    for after in reports:
        values = set(_values(after)) if after is not None else set()
        kept += sum(text in values for _, text in _SR_ITEMS)
    return kept, expected


def _values(dataset: Dataset) -> list[str]:
    found = []
    for element in documents.public(dataset):
        if element.VR == "SQ":
            found += [text for item in element.value for text in _values(item)]
        elif element.keyword in ("CodeValue", "NumericValue"):
            found.append(str(element.value))
    return found
