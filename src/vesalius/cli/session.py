"""One call of the program: what it prints where, and how every ending becomes an exit code."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from vesalius.config import Settings
    from vesalius.core.errors import VesaliusError

SCHEMA = "vesalius.cli/1"
OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
GIVEN: ContextVar[tuple[str, ...]] = ContextVar("GIVEN", default=())
"""The words of the command line."""
EXTRAS = {
    **dict.fromkeys(("sklearn", "skl2onnx", "onnxmltools", "onnx", "xgboost", "codecarbon", "tensorboardX"), "train"),
    **dict.fromkeys(("torch", "monai", "einops", "safetensors"), "networks"),
    "openvino": "openvino",
}
"""Module -> the extra of `pyproject.toml` that brings it."""
WIDTH = 140
"""Columns of a table when standard output is no terminal."""


@dataclass(frozen=True)
class Answer:
    """What a command has to say.

    Args:
        data: the `data` object of `--json`.
        show: prints it for people.
        error: what it ended with although there is something to show.
        touched: (kind, name) of what it worked on beside the paths on the command line, for the audit trail.
    """

    data: Mapping[str, Any]
    show: Callable[[Console], None]
    warnings: tuple[str, ...] = ()
    error: VesaliusError | None = None
    touched: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Flags:
    """The flags that every command has, and the settings given as arguments."""

    json: bool = False
    quiet: bool = False
    verbose: bool = False
    settings: Mapping[str, object] = field(default_factory=dict)

    @property
    def log_level(self) -> str | None:
        """Return the log level that -q or -v asks for."""
        return "error" if self.quiet else "info" if self.verbose else None


@dataclass(frozen=True)
class Session:
    """A running command: its settings and the stream for people to follow."""

    settings: Settings
    flags: Flags

    def note(self, text: str) -> None:
        """Tell people how it goes on, on standard error, unless -q."""
        if not self.flags.quiet:
            print(text, file=sys.stderr, flush=True)


def perform(command: str, flags: Flags, body: Callable[[Session], Answer]) -> int:
    """Run a command and return its exit code; whatever happens, standard output holds one answer at most."""
    # threads that wait sleep instead of spinning: two programs on two cores slow each other 20-fold otherwise
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    settings: list[Settings] = []
    with _clean_output(flags.json) as stream:
        try:
            return _finish(command, flags, _answered(command, flags, body, settings), stream)
        except KeyboardInterrupt:
            return _stop(command, flags, interrupted(), INTERRUPTED, stream)
        except BrokenPipeError:
            return _reader_gone()
        except ModuleNotFoundError as error:
            return _stop(command, flags, missing(error), FAILED, stream)
        except Exception as error:  # noqa: BLE001 - the last line of defence: no traceback for users
            problem = _as_ours(error)
            _log([problem], settings, flags.verbose)
            return _stop(command, flags, problem.as_dict(), exit_code(problem), stream)


def _answered(command: str, flags: Flags, body: Callable[[Session], Answer], settings: list[Settings]) -> Answer:
    from vesalius.config import configure_logging, resolve
    from vesalius.core.errors import UsageError

    if flags.quiet and flags.verbose:
        raise UsageError("-q and -v exclude each other", fix="give one of them")
    settings.append(resolve({**flags.settings, "log_level": flags.log_level}))
    configure_logging(settings[0].log_level)
    session = Session(settings[0], flags)
    if not (session.settings.audit or session.settings.project):
        return body(session)
    from vesalius.cli.oversight import overseen

    return overseen(command, session, body)


def exit_code(error: BaseException | None) -> int:
    """Return 0, 1 (ran and failed) or 2 (wrong usage, output exists)."""
    from vesalius.core.errors import OutputExistsError, UsageError

    if error is None:
        return OK
    return USAGE if isinstance(error, UsageError | OutputExistsError) else FAILED


def stop_early(arguments: list[str], error: dict[str, str], code: int) -> int:
    """Report what ended the program before its command began, and return the exit code."""
    command = next((one for one in arguments if not one.startswith("-")), "")
    flags = Flags(json="--json" in arguments)
    with contextlib.suppress(BrokenPipeError):
        return _stop(command, flags, error, code, sys.stdout)
    return _reader_gone()


def missing(error: ModuleNotFoundError) -> dict[str, str]:
    """Return the `error` object for a package that is gone; nothing more is imported for it."""
    name = (error.name or "").partition(".")[0]
    if name in EXTRAS:
        fix = f"pip install 'vesalius[{EXTRAS[name]}]', or the package itself"
        message = f"this needs the extra {EXTRAS[name]}, which is not installed"
        return {"code": "missing_dependency", "message": message, "found": name, "expected": "", "fix": fix}
    fix = "vesalius doctor lists what is missing; make install, or pip install --force-reinstall vesalius, mends it"
    message = "a package of the base install is missing"
    return {"code": "missing_dependency", "message": message, "found": name, "expected": "", "fix": fix}


def interrupted() -> dict[str, str]:
    """Return the `error` object of a run that the user stopped."""
    fix = "run the same command again: what is done is kept"
    return {"code": "interrupted", "message": "stopped by the user", "found": "", "expected": "", "fix": fix}


def envelope(
    command: str, data: Mapping[str, Any] | None, warnings: tuple[str, ...], error: Mapping[str, str] | None
) -> str:
    """Return the one JSON object of `--json`."""
    content = {
        "schema": SCHEMA,
        "command": command,
        "ok": error is None,
        "data": data,
        "warnings": list(warnings),
        "error": error,
    }
    return json.dumps(content, ensure_ascii=False, indent=2, default=str, allow_nan=False)


def _finish(command: str, flags: Flags, answer: Answer, stream: Any) -> int:
    error = answer.error.as_dict() if answer.error is not None else None
    if flags.json:
        print(envelope(command, answer.data, answer.warnings, error), file=stream, flush=True)
    else:
        answer.show(console(stream))
        stream.flush()
    if not flags.quiet:
        for warning in answer.warnings:
            print(f"warning: {warning}", file=sys.stderr)
    if error is not None:
        _tell(error)
    return exit_code(answer.error)


def _stop(command: str, flags: Flags, error: Mapping[str, str], code: int, stream: Any) -> int:
    if flags.json:
        print(envelope(command, None, (), error), file=stream, flush=True)
    _tell(error)
    return code


def _tell(error: Mapping[str, str]) -> None:
    parts = [f"error: {error['message']}"]
    parts += [f"  {name}: {error[name]}" for name in ("found", "expected", "fix") if error[name]]
    print("\n".join(parts), file=sys.stderr, flush=True)


def console(stream: Any) -> Console:
    """Return a console for tables; wide when nobody's terminal limits it."""
    from rich.console import Console

    return Console(file=stream, width=None if stream.isatty() else WIDTH, highlight=False, markup=False, emoji=False)


def _as_ours(error: Exception) -> VesaliusError:
    from vesalius.core.errors import MemoryLimitError, OutputError, VesaliusError
    from vesalius.pipeline.internal import internal_error

    if isinstance(error, VesaliusError):
        return error
    if isinstance(error, MemoryError):
        return MemoryLimitError("there was not enough memory", fix="close other programs or take a smaller input")
    if isinstance(error, OSError) and error.errno is not None:
        return OutputError("the system refused a file operation", found=error.strerror or type(error).__name__)
    return internal_error(error)


def _log(errors: list[VesaliusError], settings: list[Settings], verbose: bool) -> None:
    """Keep where internal failures happened under VESALIUS_HOME/runs, and say so in the error."""
    for error in errors:
        trace = getattr(error, "trace", "")
        if trace and verbose:
            print(trace, file=sys.stderr)
        if trace and settings:
            path = settings[0].home / "runs" / f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{os.getpid()}.log"
            if _append(path, trace):
                error.fix = f"report it with {path}; -v shows the place"


def log_failures(errors: tuple[VesaliusError, ...], session: Session) -> None:
    """Keep the places of internal failures of a batch, and show them with -v."""
    _log(list(errors), [session.settings], session.flags.verbose)


def _append(path: Path, text: str) -> bool:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(text + "\n\n")
    except OSError:
        return False
    return True


def _reader_gone() -> int:
    """End quietly when the reader of a pipe has gone; Python must not find the broken pipe again at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with contextlib.suppress(OSError, ValueError):
        os.dup2(nowhere, sys.stdout.fileno())
    return OK


@contextlib.contextmanager
def _clean_output(wanted: bool) -> Iterator[Any]:
    """Give the stream of the answer; with `--json`, whatever native libraries print goes to standard error."""
    try:
        own = os.dup(1) if wanted and sys.stdout.fileno() == 1 else None
    except (OSError, ValueError, AttributeError):
        own = None
    if own is None:
        yield sys.stdout
        return
    sys.stdout.flush()
    os.dup2(2, 1)
    stream = os.fdopen(own, "w", encoding="utf-8")
    try:
        yield stream
    finally:
        sys.stdout.flush()
        with contextlib.suppress(BrokenPipeError):
            stream.flush()
        os.dup2(own, 1)
        with contextlib.suppress(BrokenPipeError):
            stream.close()
