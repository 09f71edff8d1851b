"""Whether an object shows a head in slices, from which a face can be drawn."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from pydicom.dataset import Dataset

from vesalius.io.dicom.values import items, text, texts
from vesalius.privacy.descriptors import normal

SLICE_CLASSES: Final = frozenset(
    (
        *("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2"),
        *("1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.4.3"),
        "1.2.840.10008.5.1.4.1.1.4.4",
    )
)
"""CT and MR Image Storage, plain, enhanced and converted."""

_HEAD: Final = frozenset(
    (
        *(
            "head",
            "brain",
            "skull",
            "cranium",
            "cranial",
            "cerebrum",
            "cerebral",
            "cerebellum",
            "neuro",
            "face",
            "facial",
        ),
        *("orbit", "orbits", "sinus", "sinuses", "pns", "nasal", "iac", "pituitary", "sella", "headneck", "hn", "jaw"),
        *(
            "mandible",
            "maxilla",
            "maxillofacial",
            "temporal",
            "mastoid",
            "hippocampus",
            "wholebody",
            "tmj",
            "eye",
            "eyes",
        ),
        *(
            "kopf",
            "schadel",
            "schaedel",
            "hirn",
            "gehirn",
            "neurocranium",
            "nnh",
            "ganzkorper",
            "tete",
            "crane",
            "cerveau",
        ),
        *("cerebrale", "cabeza", "craneo", "cerebro", "testa", "cranio", "encefalo", "cabeca", "hoofd", "schedel"),
        *("hersenen", "glowa", "mozg", "голова", "головной", "мозг", "мозга", "mprage", "mp2rage", "flair", "fmri"),
        *("bold", "swi", "mpr3d", "ear", "ears", "dental", "nose", "cow", "intracranial", "stroke"),
    )
)
_HEAD_SIGNS: Final = (
    "头",
    "颅",
    "脑",
    "頭",
    "脳",
    "腦",
    "두부",
    "뇌",
    "鼻窦",
    "眼眶",
    "副鼻腔",
    "眼窩",
    "whole body",
    "whole-body",
)
_TOLD: Final = (
    "BodyPartExamined",
    "StudyDescription",
    "SeriesDescription",
    "ProtocolName",
    "RequestedProcedureDescription",
)
_HEAD_CODES: Final = frozenset(
    (
        *("69536005", "T-D1100", "12738006", "T-A0100", "89546000", "T-11100", "774007", "T-D1000", "363654007"),
        *("T-D1480", "2095001", "T-22000", "89545001", "T-D1200", "38266002", "T-D0010", "302551006"),
    )
)
"""SNOMED CT and SRT codes of head, brain, skull, head and neck, orbit, sinuses, face and entire body."""


def is_slice(data: Dataset) -> bool:
    """Return whether an object is a CT or MR image in slices."""
    return text(data, "SOPClassUID") in SLICE_CLASSES


def shows_head(data: Dataset) -> bool:
    """Return whether a CT or MR image says that it shows a head, or the whole body."""
    if not is_slice(data):
        return False
    if any(names_head(text(data, keyword)) for keyword in _TOLD):
        return True
    return any(text(item, "CodeValue") in _HEAD_CODES for item in items(data, "AnatomicRegionSequence"))


CAPTURE_CLASSES: Final = (
    *("1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.7.1", "1.2.840.10008.5.1.4.1.1.7.2"),
    *("1.2.840.10008.5.1.4.1.1.7.3", "1.2.840.10008.5.1.4.1.1.7.4", "1.2.840.10008.5.1.4.1.1.77.1.4"),
)
"""Secondary captures, and photographs of the outside of a patient."""


def is_localizer(data: Dataset) -> bool:
    """Return whether an image only served to plan others."""
    told = {part.upper() for part in texts(data, "ImageType")}
    words = f"{text(data, 'SeriesDescription')} {text(data, 'ProtocolName')}".lower()
    return bool(told & {"LOCALIZER", "SCOUT"}) or any(sign in words for sign in ("localizer", "localiser", "scout"))


def is_capture(data: Dataset) -> bool:
    """Return whether an object is a picture of other images, such as a rendered surface, or a photograph."""
    return text(data, "SOPClassUID") in CAPTURE_CLASSES


def tells_region(data: Dataset) -> bool:
    """Return whether an object says at all which part of the body it shows."""
    return bool(text(data, "BodyPartExamined") or items(data, "AnatomicRegionSequence"))


@lru_cache(maxsize=4096)
def names_head(words: str) -> bool:
    """Return whether a description or a file name speaks of a head or of the whole body."""
    flat = normal(words)
    tokens = re.findall(r"[^\W\d_]+", flat)
    return any(token in _HEAD for token in tokens) or any(sign in flat for sign in _HEAD_SIGNS)
