"""The code in README and docs runs: every ```python block, in order, in one folder per page."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*sorted(ROOT.glob("README*.md")), *sorted(ROOT.glob("docs/**/*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    """Return the code blocks of one language."""
    return [code for kind, code in BLOCK.findall(page.read_text()) if kind == language]


def template(folder: Path) -> None:
    """Write the image that the pages call t1.nii.gz: the ICBM152 template at 2 mm."""
    code = "from nilearn.datasets import load_mni152_template as t; t(resolution=2).to_filename('t1.nii.gz')"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=folder, check=True)


@pytest.mark.slow
@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python")], ids=lambda p: str(p.relative_to(ROOT)))
def test_python_blocks_run(page: Path, tmp_path: Path) -> None:
    template(tmp_path)
    code = "\n".join(blocks(page, "python"))
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def commands() -> list[tuple[str, str]]:
    """Return (page, command line) of every `vesalius` line in a shell block."""
    lines = []
    for page in PAGES:
        for block in [*blocks(page, "sh"), *blocks(page, "bash"), *blocks(page, "console")]:
            joined = block.replace("\\\n", " ")
            found = re.findall(r"^\s*(?:\$ )?(vesalius [^#\n]*)", joined, re.MULTILINE)
            lines += [(str(page.relative_to(ROOT)), line.strip()) for line in found]
    return sorted(set(lines))


@pytest.mark.parametrize(("page", "line"), commands())
def test_shell_lines_name_commands_and_flags_that_exist(page: str, line: str) -> None:
    words = shlex.split(line)[1:]
    verb = next((w for w in words if not w.startswith("-")), None)
    # Verbs with methods tell a method's flags on the method's own page.
    method = words[words.index(verb) + 1 :][:1] if verb in ("enhance", "segment", "features") else []
    command = [sys.executable, "-m", "vesalius", *([verb] if verb else []), *method, "--help"]
    wide = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=wide)
    assert run.returncode == 0, f"{page}: {line}"
    for flag in (w.split("=")[0] for w in words if w.startswith("--")):
        assert flag in run.stdout, f"{page}: {flag} in {line!r}"
