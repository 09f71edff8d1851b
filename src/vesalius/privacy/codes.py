"""Code sequence items: code and scheme stay, a meaning only as far as it is known to be one."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from pydicom.dataset import Dataset

from vesalius.io.dicom.values import text
from vesalius.privacy.descriptors import clean, normal, words

PUBLIC_SCHEMES: Final = frozenset(
    (
        *(
            "DCM",
            "SCT",
            "SRT",
            "SNM3",
            "99SDM",
            "UCUM",
            "LN",
            "RADLEX",
            "FMA",
            "NCIt",
            "NCIT",
            "UMLS",
            "I9C",
            "I10",
            "I10P",
        ),
        *(
            "I11",
            "ICDO3",
            "BI",
            "C4",
            "ACR",
            "RXNORM",
            "MDC",
            "NYUMCCG",
            "ISO639_1",
            "ISO639_2",
            "ISO3166_1",
            "IETF4646",
        ),
        *(
            "PUBCHEM_CID",
            "ITIS_TSN",
            "MGI",
            "LOINC",
            "DCMUID",
            "CD8",
            "CPT",
            "NDC",
            "NEU",
            "NCDR",
            "ASTM",
            "99VESALIUS",
        ),
        *("RFC3066", "RFC3881", "GEODPC", "IBSI", "ATC", "HCPT", "HPC", "I9", "I10C", "JC10", "JJ1017", "MCID"),
    )
)
"""Coding schemes whose codes are published, PS3.16 section 8."""

_CODE = re.compile(r"[\w.\-/\[\]{}^%*()'!+:#^]{1,64}$", re.ASCII)
_SCHEME = re.compile(r"[A-Z0-9_.]{1,16}$", re.IGNORECASE)
_MANY_DIGITS = re.compile(r"\d{5,}")


def is_code(item: Dataset) -> bool:
    """Return whether a sequence item is a code."""
    return any(name in item for name in ("CodeValue", "LongCodeValue", "URNCodeValue", "CodeMeaning"))


def clean_code(item: Dataset, token: Callable[[str, str], str], found: Callable[[str], bool]) -> list[str]:
    """Clean the value, scheme and meaning of a code in place, and return the keywords that changed.

    A local code that could be a number of a person or a device is replaced by a keyed one, so that equal codes stay
    equal.

    Args:
        token: gives keyed hexadecimal digits for a purpose and a value.
        found: tells whether a text holds a value known of the patient.
    """
    scheme = text(item, "CodingSchemeDesignator")
    public = scheme in PUBLIC_SCHEMES
    changed: list[str] = []
    for keyword in ("CodeValue", "LongCodeValue", "URNCodeValue"):
        if keyword not in item:
            continue
        code = text(item, keyword)
        bad = _CODE.match(code) is None or found(code) or (not public and _MANY_DIGITS.search(code) is not None)
        if code and bad:
            setattr(item, keyword, "C" + token("code", code))
            changed.append(keyword)
    if scheme and (_SCHEME.match(scheme) is None or found(scheme)):
        item.CodingSchemeDesignator = "99LOCAL"
        changed.append("CodingSchemeDesignator")
    if "CodeMeaning" in item:
        meaning = text(item, "CodeMeaning")
        kept = _meaning(meaning, public)
        kept = "" if kept and found(kept) else kept
        if kept != meaning:
            item.CodeMeaning = kept or text(item, "CodeValue") or "code"
            changed.append("CodeMeaning")
    return changed


@lru_cache(maxsize=8192)
def _meaning(meaning: str, public: bool) -> str:
    if not public:
        return clean(meaning)
    tokens = {normal(token) for token in re.findall(r"[^\W\d_]+", meaning) if len(token) > 1}
    return meaning if tokens <= words() or tokens <= words() | _published() else clean(meaning)


@lru_cache(maxsize=1)
def _published() -> frozenset[str]:
    """Return the words of the meanings in pydicom's dictionary of PS3.16 concepts."""
    from pydicom.sr import _concepts_dict

    found: set[str] = set()
    for scheme in _concepts_dict.concepts.values():
        for keyword, codes in scheme.items():
            found.update(re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", keyword))
            for meaning, *_ in codes.values():
                found.update(re.findall(r"[^\W\d_]+", meaning))
    return frozenset(normal(word) for word in found)
