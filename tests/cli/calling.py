"""Calling the program as a user does: another process, its two streams apart."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Called:
    """Exit code and the two streams."""

    code: int
    out: str
    err: str

    @property
    def answer(self) -> dict[str, Any]:
        """Return standard output as the one JSON object that it must be."""
        content: dict[str, Any] = json.loads(self.out)
        assert set(content) == {"schema", "command", "ok", "data", "warnings", "error"}
        assert content["schema"] == "vesalius.cli/1"
        assert content["ok"] is (content["error"] is None)
        assert content["ok"] is (self.code == 0)
        if content["error"]:
            assert set(content["error"]) == {"code", "message", "found", "expected", "fix"}
        return content


def call(environment: Mapping[str, str], *arguments: object, **extra: str) -> Called:
    """Run the program."""
    line = [sys.executable, "-m", "vesalius", *map(str, arguments)]
    ended = subprocess.run(line, env={**environment, **extra}, capture_output=True, text=True, timeout=900, check=False)
    assert "Traceback" not in ended.stderr + ended.stdout, ended.stderr
    return Called(ended.returncode, ended.stdout, ended.stderr)
