"""What de-identification of one object gives, and what it asks of the parts that look at pixels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from vesalius.privacy.known import Known
from vesalius.privacy.profile import Profile
from vesalius.privacy.pseudonym import Pseudonyms


class Result(StrEnum):
    """How one file ended."""

    WRITTEN = "written"
    DROPPED = "dropped"
    DUPLICATE = "duplicate"
    REFUSED = "refused"
    QUARANTINED = "quarantined"
    FAILED = "failed"

    @property
    def is_good(self) -> bool:
        """Return whether the command may end with exit code 0."""
        return self in (Result.WRITTEN, Result.DROPPED, Result.DUPLICATE)


class PixelOutcome(Protocol):
    """What the search for burned-in text tells of one object."""

    @property
    def changed(self) -> bool:
        """Return whether pixels were blanked."""

    @property
    def boxes(self) -> Sequence[object]:
        """Return the places that were blanked."""

    @property
    def doubtful(self) -> bool:
        """Return whether a person must look."""

    @property
    def previews(self) -> Sequence[bytes]:
        """Return PNG pictures for that person."""


PixelCleaner = Callable[[Any], PixelOutcome]
"""Takes a pydicom data set with pixel data and meta information, and blanks text in it in place."""


@dataclass(frozen=True)
class Settings:
    """What holds for every object of a run.

    Args:
        no_face: why a head needs no defacing, "" when nobody said so.
        deface: faces are removed from heads.
    """

    profile: Profile
    pseudonyms: Pseudonyms
    no_face: str = ""
    deface: bool = False


@dataclass(frozen=True)
class FaceAnswer:
    """What is known of the face in the series that an object belongs to.

    Args:
        remove: writes background over the face in the pixels of a data set, in place; None where there is none to do.
        doubt: why a person must look, "" when nothing is in doubt.
        checked: the picture was looked at, and shows no face.
        words: what the action report tells of the removal; no value of the patient.
        blanker: the same for the voxel bytes of a NIfTI file: takes the offset of a piece and the piece.
    """

    remove: Callable[[Any], int] | None = None
    doubt: str = ""
    checked: bool = False
    words: str = ""
    blanker: Callable[[int, bytes], bytes] | None = None


@dataclass(frozen=True)
class Subject:
    """Whose object it is.

    Args:
        identity: what pseudonym and dates follow from: PatientID, or what stands for it where there is none.
        known: identifying values of every object of this patient, this one's included.
        head_study: another object of the study says that it shows a head.
    """

    identity: str = field(repr=False)
    known: Known = field(repr=False)
    head_study: bool = False


@dataclass
class Report:
    """What was done with one object, without any value of it.

    Args:
        actions: (path of tags, keyword, action) -> how often.
        risks: ids of what may still tell who it is.
        boxes: places blanked in the pixels.
    """

    actions: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    risks: set[str] = field(default_factory=set)
    boxes: int = 0
    codes: tuple[str, ...] = ()
