"""`vesalius doctor`: what is installed, what is missing, and the exact line that installs it."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from vesalius.cli.session import Answer, Session
from vesalius.core import registry
from vesalius.core.errors import MissingDependencyError

TOOLS = {
    "dciodvfy": ("checks DICOM objects (tests only)", "apt-get install dicom3tools"),
    "dcmdump": ("DCMTK, reads what we write (tests only)", "apt-get install dcmtk"),
}
TOOL_FOLDERS = "/usr/bin:/usr/local/bin:/opt/homebrew/bin:/opt/bin"
"""Only system folders: console scripts of Python packages shadow DCMTK's names."""
ENOUGH_MEMORY_BYTES = 2_000_000_000
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)\s*(?:>=\s*([0-9.]+))?[^;]*(?:;.*extra\s*==\s*['\"]([^'\"]+))?")


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Args:
        group: base, extra, codec, application, font, tool or machine.
        needed: the base install does not work without it.
        fix: the line that installs it.
    """

    group: str
    name: str
    fine: bool
    found: str
    needed: bool = False
    fix: str = ""


def answer(session: Session) -> Answer:
    """Return the state of this installation; an error only when the base is broken."""
    home = session.settings.home
    parts = (_packages, _codecs, _applications, _fonts, _tools, lambda: _machine(home))
    checks = [check for part in parts for check in _guarded(part)]
    broken = [check for check in checks if check.needed and not check.fine]
    error = _broken(broken) if broken else None
    data = {"python": platform.python_version(), "checks": [asdict(check) for check in checks]}
    return Answer(data, lambda console: _show(console, checks), (), error)


def _guarded(part: Callable[[], Iterator[Check]]) -> list[Check]:
    """Return the checks of one part; a part that cannot even look is one broken check, for this command mends."""
    found: list[Check] = []
    try:
        found.extend(part())
    except Exception as error:  # noqa: BLE001 - the doctor must not fall ill of what it looks for
        name = str(error) if isinstance(error, ImportError) else type(error).__name__
        found.append(Check("base", getattr(part, "__name__", "machine").strip("_"), False, name, True))
    return found


def _broken(checks: list[Check]) -> MissingDependencyError:
    lines = dict.fromkeys(check.fix for check in checks if check.fix)
    names = ", ".join(check.name for check in checks)
    return MissingDependencyError("the base install is broken", found=names, fix=" ; ".join(lines))


def _packages() -> Iterator[Check]:
    recent = sys.version_info >= (3, 11)
    yield Check("base", "python", recent, platform.python_version(), True, "" if recent else "install Python 3.11")
    extras: dict[str, list[str]] = {}
    if _version("vesalius") is None:
        yield Check("base", "vesalius", False, "not installed as a package", True, "make install")
        return
    for line in metadata.requires("vesalius") or ():
        match = _REQUIREMENT.match(line)
        if match is None:
            continue
        name, minimum, extra = match.groups()
        if extra is None:
            yield _package(name, minimum or "0")
        elif _version(name) is None:
            extras.setdefault(extra, []).append(f'"{name}>={minimum}"' if minimum else name)
        else:
            extras.setdefault(extra, [])
    for extra, missing in extras.items():
        found = f"{len(missing)} packages missing" if missing else "installed"
        yield Check("extra", extra, not missing, found, fix=f"pip install {' '.join(missing)}" if missing else "")


def _package(name: str, minimum: str) -> Check:
    version = _version(name)
    fine = version is not None and _numbers(version) >= _numbers(minimum)
    found = version or "missing"
    return Check("base", name, fine, found, True, "" if fine else f'pip install "{name}>={minimum}"')


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _codecs() -> Iterator[Check]:
    from vesalius.cli import codecs

    for codec in codecs.try_all():
        result = "a frame was decoded" if codec.works else f"cannot be decoded ({codec.problem})"
        line = "" if codec.works else f"pip install --force-reinstall {codecs.PACKAGES}"
        yield Check("codec", codec.name, codec.works, result, True, line)


def _applications() -> Iterator[Check]:
    from vesalius.pipeline.worker import attempt

    for name in registry.names("applications"):
        application, error = attempt(lambda known: registry.get("applications", known), name)
        found = application.version if application is not None else f"cannot be imported: {error}"
        line = "" if application is not None else "make install, or pip install --force-reinstall vesalius"
        yield Check("application", name, application is not None, found, name == "brain-mri", line)


def _fonts() -> Iterator[Check]:
    from vesalius.report import fonts

    found = fonts.find()
    line = "" if found.chinese else f"apt-get install {fonts.CJK_PACKAGE}"
    text = found.cjk[0].family if found.chinese else "none: PDF and figures in Chinese are left out"
    yield Check("font", "Chinese", found.chinese, text, fix=line)


def _tools() -> Iterator[Check]:
    for name, (purpose, line) in TOOLS.items():
        path = shutil.which(name, path=TOOL_FOLDERS)
        yield Check("tool", name, path is not None, path or f"missing; {purpose}", fix="" if path else line)


def _machine(home: Path) -> Iterator[Check]:
    from vesalius.pipeline.resources import available_memory_bytes, cores

    memory = available_memory_bytes()
    text = f"{memory / 1e9:.1f} GB available" if memory is not None else "not told by the system"
    yield Check("machine", "memory", memory is None or memory >= ENOUGH_MEMORY_BYTES, text)
    yield Check("machine", "cores", True, str(cores()))
    writable = _writable(home)
    line = "" if writable else "export VESALIUS_HOME=DIR, a folder you may write to"
    yield Check("machine", "VESALIUS_HOME", writable, str(home), fix=line)


def _writable(home: Path) -> bool:
    """Return whether files can be made there; a folder that is missing is looked for upwards, not made."""
    place = next((folder for folder in (home, *home.parents) if folder.exists()), home)
    try:
        with tempfile.NamedTemporaryFile(dir=place):
            return os.path.isdir(place)
    except OSError:
        return False


def _show(console: Console, checks: list[Check]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("", "kind", "name", "found", "to install"):
        table.add_column(name, overflow="fold")
    for check in checks:
        mark = Text("ok", "green") if check.fine else Text("BROKEN" if check.needed else "absent", "bold red")
        table.add_row(mark, check.group, Text(check.name), Text(check.found), Text(check.fix))
    console.print(table)
