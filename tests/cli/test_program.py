"""The shell around every command: help, version, usage errors, JSON, settings, interrupts and broken pipes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping

import pytest
from calling import call

import vesalius

Environment = Mapping[str, str]
COMMANDS = ("analyze", "info", "convert", "applications", "doctor")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], *([name, "--help"] for name in COMMANDS)])
def test_help_loads_no_numpy(environment: Environment, arguments: list[str]) -> None:
    script = (
        "import sys\nfrom vesalius.cli import main\n"
        f"code = main({arguments!r})\n"
        "heavy = {'numpy', 'SimpleITK', 'pydicom', 'structlog', 'yaml'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else code)"
    )
    ended = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_help_teaches_by_example(environment: Environment) -> None:
    for name in ("analyze", "info", "convert"):
        text = call(environment, name, "--help").out
        assert f"vesalius {name} " in text
        assert "Examples:" in text
    text = call(environment, "--help").out
    assert all(name in text for name in COMMANDS)
    assert "Not a medical device" in " ".join(text.split())


def test_version(environment: Environment) -> None:
    called = call(environment, "--version")
    assert (called.code, called.out, called.err) == (0, f"vesalius {vesalius.__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["analyse"], "analyze"),
        (["analyze"], "STUDY"),
        (["analyze", "x"], "--out"),
        (["analyze", "x", "--ouu", "y"], "--out"),
        (["analyze", "x", "--out", "y", "--workers", "many"], "--workers"),
        (["info", "x", "y"], "y"),
        (["convert", "x"], "OUT"),
    ],
)
def test_wrong_usage_exits_2_and_suggests(environment: Environment, arguments: list[str], said: str) -> None:
    plain = call(environment, *arguments)
    assert (plain.code, plain.out) == (2, "")
    assert said in plain.err
    assert "--help" in plain.err
    spoken = call(environment, *arguments, "--json")
    assert spoken.code == 2
    assert spoken.answer["error"]["code"] == "usage"
    assert said in spoken.answer["error"]["message"]
    assert spoken.answer["command"] == arguments[0]


def test_settings_are_checked_before_work(environment: Environment) -> None:
    called = call(environment, "doctor", "--json", VESALIUS_THREAD="3")
    assert called.code == 2
    assert called.answer["error"]["code"] == "config"
    assert "VESALIUS_THREADS" in called.answer["error"]["fix"]


def test_quiet_and_verbose_exclude_each_other(environment: Environment) -> None:
    called = call(environment, "applications", "-q", "-v", "--json")
    assert (called.code, called.answer["error"]["code"]) == (2, "usage")


def test_a_reader_that_goes_away_is_no_error(environment: Environment) -> None:
    line = f"{sys.executable} -m vesalius applications; echo $? >&2"
    ended = subprocess.run(
        ["bash", "-c", f"( {line} ) | true"], env=environment, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in ended.stderr
    assert "BrokenPipe" not in ended.stderr


SCRIPT = """
import os, sys
from vesalius.cli import session
from vesalius.cli.session import Answer, Flags, perform
KIND, JSON = sys.argv[1], "json" in sys.argv[2:]
SECRET = "DOE" + "^JANE"

def body(running):
    os.write(1, b"a native library prints this")
    if KIND == "interrupt":
        raise KeyboardInterrupt
    if KIND == "internal":
        raise ValueError(SECRET)
    if KIND == "pipe":
        raise BrokenPipeError
    if KIND == "memory":
        raise MemoryError
    return Answer({"a": 1}, lambda console: console.print("table"))

sys.exit(perform("test", Flags(json=JSON, verbose="v" in sys.argv[2:]), body))
"""


@pytest.mark.parametrize(
    ("kind", "code", "error"),
    [("fine", 0, None), ("interrupt", 130, "interrupted"), ("internal", 1, "internal"), ("memory", 1, "memory")],
)
def test_every_ending_is_one_object(environment: Environment, kind: str, code: int, error: str | None) -> None:
    from calling import Called

    line = [sys.executable, "-c", SCRIPT, kind, "json"]
    ended = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    called = Called(ended.returncode, ended.stdout, ended.stderr)
    assert called.code == code
    assert (called.answer["error"] or {}).get("code") == error
    assert "native library" not in called.out
    assert "Traceback" not in called.err
    assert "DOE" not in called.out + called.err


def test_an_internal_failure_says_where_the_log_is(environment: Environment) -> None:
    from pathlib import Path

    line = [sys.executable, "-c", SCRIPT, "internal"]
    plain = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    log = plain.stderr.partition("report it with ")[2].partition(";")[0]
    assert "in body" in Path(log).read_text()
    assert "DOE" not in Path(log).read_text()
    assert "in body" not in plain.stderr.replace(plain.stderr.partition("found:")[2], "")
    verbose = subprocess.run([*line, "v"], env=environment, capture_output=True, text=True, check=False)
    assert "raise ValueError(SECRET)" in verbose.stderr or "in body" in verbose.stderr
    assert "DOE" not in verbose.stderr
