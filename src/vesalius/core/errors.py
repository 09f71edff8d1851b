"""One tree of errors, each also a builtin. A message says what was given, what was expected and what to do.

Messages name files, tags and hashes of identifiers, never a patient's values.
"""

from __future__ import annotations


class VesaliusError(Exception):
    """Root of every error that Vesalius raises on purpose.

    Args:
        message: what went wrong, in one sentence.
        found: what was given.
        expected: what would have been accepted.
        fix: what the user can do.
    """

    code = "error"

    def __init__(self, message: str, *, found: str = "", expected: str = "", fix: str = "") -> None:
        """Keep the four parts apart; `str(error)` joins them."""
        self.message = message
        self.found = found
        self.expected = expected
        self.fix = fix
        super().__init__(message)

    def __reduce__(self) -> tuple[object, ...]:
        """Survive the way back from a worker process with every part intact."""
        parts = {"found": self.found, "expected": self.expected, "fix": self.fix}
        return _rebuild, (type(self), self.message, parts)

    def __str__(self) -> str:
        """Return the message with what was found, expected and advised."""
        text = self.message
        if self.found:
            text += f"; found: {self.found}"
        if self.expected:
            text += f"; expected: {self.expected}"
        if self.fix:
            text += f"; fix: {self.fix}"
        return text

    def as_dict(self) -> dict[str, str]:
        """Return the `error` object of `--json` (CONTRACTS)."""
        parts = {"message": self.message, "found": self.found, "expected": self.expected, "fix": self.fix}
        return {"code": self.code, **parts}


def _rebuild(kind: type[VesaliusError], message: str, parts: dict[str, str]) -> VesaliusError:
    return kind(message, **parts)


class UsageError(VesaliusError, ValueError):
    """The command or call is wrong: exit code 2."""

    code = "usage"


class UnknownNameError(UsageError, KeyError):
    """A name that no registry, command or setting knows: exit code 2."""

    code = "unknown_name"

    __str__ = VesaliusError.__str__


class DuplicateNameError(UsageError):
    """Two providers register one name."""

    code = "duplicate_name"


class ConfigError(UsageError):
    """A configuration file or setting holds a value that is not allowed."""

    code = "config"


class OutputExistsError(VesaliusError, FileExistsError):
    """The output exists with other content and `--force` was not given: exit code 2."""

    code = "output_exists"


class OutputError(VesaliusError, OSError):
    """The output could not be written (read-only, disk full)."""

    code = "output"


class ReadError(VesaliusError, ValueError):
    """A file could not be read as what it claims to be."""

    code = "unreadable"


class NothingFoundError(ReadError):
    """There is no image where one was expected."""

    code = "nothing_found"


class UnsupportedError(ReadError):
    """A valid file of a kind that Vesalius does not read."""

    code = "unsupported"


class LimitError(ReadError):
    """A file exceeds a limit that protects memory and time."""

    code = "limit"


class ContradictionError(ReadError):
    """The data contradict themselves, for instance two patients under one study UID."""

    code = "contradiction"


class GeometryError(VesaliusError, ValueError):
    """Shapes, affines or frames do not fit each other or the operation."""

    code = "geometry"


class IrregularGeometryError(GeometryError):
    """The slices of a series do not form a regular grid; `fix` names how to regrid."""

    code = "irregular_geometry"


class UnknownSpacingError(GeometryError):
    """A function in millimetres was given an image whose pixel size is not known."""

    code = "unknown_spacing"


class ImageContentError(VesaliusError, ValueError):
    """The voxels cannot be used: all zero, not finite, of the wrong kind."""

    code = "image_content"


class LabelError(VesaliusError, KeyError):
    """A mask does not hold the label that was asked for."""

    code = "label"

    __str__ = VesaliusError.__str__


class MemoryLimitError(VesaliusError, MemoryError):
    """The work would need more memory than there is."""

    code = "memory"


class MissingDependencyError(VesaliusError, ImportError):
    """An optional package is needed; `fix` holds the exact line that installs it."""

    code = "missing_dependency"


class OutputBusyError(UsageError):
    """Another run is writing into the same output: exit code 2."""

    code = "output_busy"


class IncompleteError(VesaliusError, RuntimeError):
    """Of several studies some failed, or `--strict` and not all were completed: exit code 1."""

    code = "incomplete"


class CrashError(VesaliusError, RuntimeError):
    """A worker process ended without an answer."""

    code = "crash"


class InternalError(VesaliusError, RuntimeError):
    """A fault of Vesalius itself; `trace` names places in the code, never values."""

    code = "internal"
    trace = ""

    def __reduce__(self) -> tuple[object, ...]:
        """Take the trace along."""
        return (*super().__reduce__(), {"trace": self.trace})


class ContractError(VesaliusError, AssertionError):
    """An extension does not keep the contract of its kind; `found` lists every breach."""

    code = "contract"


class KeyFileError(VesaliusError, ValueError):
    """A key is missing, unreadable, of another kind, or readable by others."""

    code = "key_file"


class WrongKeyError(VesaliusError, ValueError):
    """The key or passphrase is not the one that was used."""

    code = "wrong_key"


class TamperedError(VesaliusError, ValueError):
    """Protected data were altered, cut, reordered or swapped, or a signature does not fit."""

    code = "tampered"


class AccessError(VesaliusError, PermissionError):
    """No rule of the project allows this to this person for this purpose."""

    code = "access_denied"


class LicenceError(UsageError):
    """Weights may be used under conditions only, and these were not accepted."""

    code = "licence"


class DeidentificationError(VesaliusError, ValueError):
    """An object cannot be given out: a face in it, a known value left, or pixels that a person must look at."""

    code = "deidentification"
