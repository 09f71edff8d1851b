"""The walk over a data set: every element at every depth is kept, changed or left behind; what is unknown is left."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from pydicom.datadict import dictionary_has_tag, dictionary_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from vesalius.core.errors import LimitError
from vesalius.io.dicom.values import PARSE_ERRORS, text
from vesalius.privacy import codes, private
from vesalius.privacy.attributes import table
from vesalius.privacy.profile import Action, Option, actions
from vesalius.privacy.values import BYTES, DATES, TEXT, Values, dummy, is_empty
from vesalius.privacy.vocabulary import REMOVED_GROUPS, REMOVED_KEYWORDS

MAX_DEPTH: Final = 64

_PATIENT_ID, _PATIENT_NAME = 0x00100020, 0x00100010
_CHARACTER_SET, _TIMEZONE, _AGE, _SEX = 0x00080005, 0x00080201, 0x00101010, 0x00100040
_CONTENT_SEQUENCE = 0x0040A730
_PIXELS: Final = frozenset((0x7FE00008, 0x7FE00009, 0x7FE00010))
_CODE_DUMMIES: Final = frozenset(("InstitutionCodeSequence", "PersonIdentificationCodeSequence"))
_REPLACED_BY_NONE: Final = frozenset(
    (
        *("OperatorIdentificationSequence", "WaveformAnnotationSequence", "FlowIdentifierSequence"),
        *("ContentSequence",),
    )
)
_WORDS_OF_PEOPLE: Final = frozenset(("TEXT", "PNAME"))


@dataclass
class Log:
    """What was done, without any value: (path of tags, keyword, action) -> how often."""

    done: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    def add(self, path: str, tag: int, action: Action) -> None:
        """Count one element."""
        self.done[f"{path}{tag:08X}", keyword_of(tag), action.value] += 1


def keyword_of(tag: int) -> str:
    """Return the keyword of a tag, "" for a private or unknown one."""
    if tag >> 16 & 1:
        return ""
    row = table().get(tag)
    if row is not None:
        return row.keyword
    return dictionary_keyword(tag) if dictionary_has_tag(tag) else ""


@dataclass
class Cleaner:
    """Applies the rules to one data set.

    Args:
        patient: the pseudonym that stands where id and name stood.
    """

    values: Values
    patient: str
    log: Log = field(default_factory=Log)

    def __post_init__(self) -> None:
        """Resolve the table once."""
        self._actions = actions(self.values.profile)
        self._clean_structured = self.values.profile.has(Option.CLEAN_STRUCTURED)

    def cleaned(self, source: Dataset, path: str = "", depth: int = 0) -> Dataset:
        """Return a new data set of what may stay.

        Raises:
            LimitError: sequences are nested too deep.
        """
        if depth > MAX_DEPTH:
            raise LimitError("sequences are nested too deep", expected=f"at most {MAX_DEPTH} levels")
        result = Dataset()
        for tag in sorted(source.keys()):
            number = int(tag)
            if number in _PIXELS and depth == 0:
                continue
            if self._is_left_behind(number):
                self._note(path, number, Action.REMOVE)
                continue
            try:
                element = source[tag]
            except PARSE_ERRORS:
                self._note(path, number, Action.REMOVE)
                continue
            self._place(result, element, path, depth)
        if self.values.profile.has(Option.SAFE_PRIVATE):
            private.copy_safe(source, result, self.values, lambda tag, act: self._note(path, tag, act))
        if codes.is_code(result):
            for keyword in codes.clean_code(result, self.values.pseudonyms.token, self.values.needles.in_text):
                self._note(path, int(result[keyword].tag), Action.CLEAN)
        return result

    def _is_left_behind(self, tag: int) -> bool:
        group = tag >> 16
        if group & 1 or group in REMOVED_GROUPS or tag & 0xFFFF == 0:
            return True
        if 0x5000 <= group <= 0x50FF or 0x6000 <= group <= 0x60FF or tag == _CHARACTER_SET:
            return True
        if tag in self._actions:
            return self._actions[tag] is Action.REMOVE
        return not dictionary_has_tag(tag) or dictionary_keyword(tag) in REMOVED_KEYWORDS or tag in _PIXELS

    def _note(self, path: str, tag: int, action: Action) -> None:
        if action is not Action.KEEP:
            self.log.add(path, tag, action)

    def _place(self, result: Dataset, element: DataElement, path: str, depth: int) -> None:
        """Put what becomes of an element into the result."""
        tag, vr = int(element.tag), str(element.VR)
        action = self._actions.get(tag, Action.KEEP)
        if vr == "SQ":
            items = self._sequence(element, action, path, depth)
            if items is None:
                self._note(path, tag, Action.REMOVE)
                return
            result.add(DataElement(element.tag, "SQ", items))
            return
        if vr == "UN":
            self._note(path, tag, Action.REMOVE)
            return
        value, action = self._outcome(element, tag, vr, action)
        self._note(path, tag, action)
        if action is not Action.REMOVE:
            result.add(element if action is Action.KEEP else DataElement(element.tag, vr, value))

    def _outcome(self, element: DataElement, tag: int, vr: str, action: Action) -> tuple[Any, Action]:
        """Return the new value and what was done."""
        if tag in (_PATIENT_ID, _PATIENT_NAME):
            return self.patient, Action.DUMMY
        if tag == _TIMEZONE:
            return element.value, Action.KEEP if action is Action.KEEP else Action.REMOVE
        if is_empty(element.value):
            return element.value, Action.KEEP
        if action is Action.EMPTY:
            return "", action
        if action is Action.DUMMY:
            return (self.values.uid(element), Action.NEW_UID) if vr == "UI" else (dummy(vr), action)
        if action is Action.NEW_UID:
            return (self.values.uid(element), action) if vr == "UI" else ("", Action.EMPTY)
        value = self._changed(element, tag, vr, action)
        if is_empty(value):
            return self._nothing_left(tag, vr)
        if value is element.value or value == element.value:
            return element.value, Action.KEEP
        changed = {"UI": Action.NEW_UID, "DA": Action.SHIFT, "DT": Action.SHIFT}.get(vr, Action.CLEAN)
        return value, changed

    def _changed(self, element: DataElement, tag: int, vr: str, action: Action) -> Any:
        if action is Action.SHIFT:
            return self.values.shifted(element)
        if tag == _AGE:
            return self.values.age(element)
        if tag == _SEX:
            return element.value if element.value in ("M", "F", "O") else ""
        listed = tag in self._actions
        if listed and vr in TEXT:
            is_identity = action is Action.KEEP and "characteristics" not in table()[tag].options
            return element.value if is_identity else self.values.description(element)
        if listed and action is Action.CLEAN and vr in BYTES:
            return None
        if listed and action is Action.CLEAN and vr == "CS":
            return self.values.label(element)
        if listed and action is Action.KEEP and vr in DATES:
            return self.values.kept_date(element)
        if listed and action is Action.KEEP and vr == "AE":
            return element.value
        return self.values.by_representation(element)

    def _nothing_left(self, tag: int, vr: str) -> tuple[Any, Action]:
        """Return what the Basic Profile does when cleaning leaves nothing."""
        row = table().get(tag)
        if row is None:
            return ("", Action.EMPTY) if vr in ("CS", "DA", "TM", "DT") else (None, Action.REMOVE)
        if "D" in row.basic:
            return dummy(vr), Action.DUMMY
        return ("", Action.EMPTY) if "Z" in row.basic else (None, Action.REMOVE)

    def _sequence(self, element: DataElement, action: Action, path: str, depth: int) -> Sequence | None:
        """Return the cleaned items, None when the sequence goes."""
        tag, keyword = int(element.tag), element.keyword
        if action is Action.EMPTY:
            self._note(path, tag, action)
            return Sequence()
        if action is Action.DUMMY and keyword in _CODE_DUMMIES:
            self._note(path, tag, action)
            return Sequence([_dummy_code()])
        if action is Action.DUMMY and keyword in _REPLACED_BY_NONE:
            return None
        below = f"{path}{tag:08X}>"
        kept: list[Dataset] = []
        for item in element.value:
            done = self._item(item, below, depth)
            if done is not None:
                kept.append(done)
        return Sequence(kept)

    def _item(self, item: Dataset, path: str, depth: int) -> Dataset | None:
        """Return a cleaned item, None when it holds nothing but words of people."""
        if self._is_words(item):
            if _CONTENT_SEQUENCE not in item:
                self.log.add(path, 0x0040A160, Action.REMOVE)
                return None
            item = _without_words(item)
        return self.cleaned(item, path, depth + 1)

    def _is_words(self, item: Dataset) -> bool:
        """Return whether a content item is free text or a person's name."""
        kind = text(item, "ValueType")
        if kind:
            return kind in _WORDS_OF_PEOPLE
        return "TextValue" in item or "PersonName" in item


def _without_words(item: Dataset) -> Dataset:
    """Return a content item as a container of its children."""
    result = Dataset()
    for element in item:
        if element.keyword not in ("TextValue", "PersonName", "ValueType"):
            result.add(element)
    result.ValueType = "CONTAINER"
    result.ContinuityOfContent = "SEPARATE"
    return result


def _dummy_code() -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "REMOVED", "99VESALIUS", "Removed"
    return item
