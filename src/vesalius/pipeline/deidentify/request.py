"""What is asked of a run and what comes back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from vesalius.core.errors import DeidentificationError, OutputError, UsageError, VesaliusError
from vesalius.privacy.outcome import Result
from vesalius.privacy.profile import DEFAULT, Profile
from vesalius.privacy.pseudonym import Pseudonyms


@dataclass(frozen=True)
class Request:
    """One run.

    Args:
        source: a file, a folder or a zip.
        no_face: why heads need no defacing, "" when nobody said so.
        deface: remove the face from CT and MR of heads.
        workers: processes at the same time; 0 works in this process.
        on_file: called with (files done, files in all) as it goes on.
    """

    source: Path
    out: Path
    pseudonyms: Pseudonyms
    profile: Profile = DEFAULT
    no_face: str = ""
    dry_run: bool = False
    force: bool = False
    workers: int = 1
    on_file: Callable[[int, int], None] | None = None
    deface: bool = False

    @property
    def report_folder(self) -> Path:
        """Return where reports and the state lie: OUT.report."""
        return self.out.with_name(self.out.name + ".report")

    @property
    def quarantine_folder(self) -> Path:
        """Return where objects lie that a person must look at: OUT.quarantine."""
        return self.out.with_name(self.out.name + ".quarantine")


@dataclass(frozen=True)
class Line:
    """How one file ended: one line of the action report and of the state; holds no value of the file.

    Args:
        source: keyed digits of the file's path below IN.
        place: number of the file in the sorted list of files, from 1.
        hash: over content, parameters, version and what is known of the patient.
        output: path below OUT, "" when nothing was written.
        actions: "path of tags keyword: action" -> how often.
    """

    source: str
    place: int
    hash: str
    kind: str
    result: Result
    output: str = ""
    bytes: int = 0
    error: str = ""
    message: str = ""
    actions: dict[str, int] = field(default_factory=dict)
    risks: tuple[str, ...] = ()
    boxes: int = 0
    codes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Summary:
    """How the run ended.

    Args:
        attributes: (keyword or tag, action) -> number of elements over all files.
        done_before: files that were done by an earlier run.
    """

    lines: tuple[Line, ...]
    attributes: Counter[tuple[str, str]]
    patients: int
    done_before: int = 0
    seconds: float = 0.0
    errors: tuple[VesaliusError, ...] = ()

    def count(self, result: Result) -> int:
        """Return how many files ended in a way."""
        return sum(line.result is result for line in self.lines)

    @property
    def error(self) -> VesaliusError | None:
        """Return the error that makes the exit code 1, None when every file is written or rightly dropped."""
        bad = {result: self.count(result) for result in Result if not result.is_good and self.count(result)}
        if not bad:
            return None
        found = ", ".join(f"{count} {result}" for result, count in bad.items())
        reasons = Counter(line.message for line in self.lines if not line.result.is_good)
        why = "; ".join(f"{text} ({count})" for text, count in reasons.most_common(3))
        return DeidentificationError(
            f"{sum(bad.values())} of {len(self.lines)} files were not given out", found=f"{found}: {why}", fix=_FIX
        )


_FIX = "OUT.report/files.csv says why for each; what is written is complete"


def check_places(request: Request) -> None:
    """Refuse places that would mix input and output.

    Raises:
        UsageError: IN does not exist, or one of IN and OUT lies inside the other; faces are to be removed and said
            not to be there.
    """
    if request.deface and request.no_face:
        raise UsageError("faces are to be removed and said not to be there", fix="give --deface or --no-face, not both")
    source = request.source
    if not source.exists():
        raise UsageError("there is no such file or folder", found=str(source), expected="files to de-identify")
    inside = source.resolve()
    folder = inside if inside.is_dir() else inside.parent
    for target in (request.out, request.report_folder, request.quarantine_folder):
        real = target.resolve()
        if real == inside or (inside.is_dir() and real.is_relative_to(folder)) or inside.is_relative_to(real):
            raise UsageError(
                "the output lies inside the input, or the input inside the output",
                found=str(target),
                expected="two separate folders",
                fix="choose another OUT",
            )
    if request.out.exists() and not request.out.is_dir():
        raise OutputError(f"cannot write {request.out}: it is a file", expected="a folder")
