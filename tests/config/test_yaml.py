"""YAML into typed models: file, line, value, what is allowed, nearest name."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from vesalius.config import load_yaml
from vesalius.core.errors import ConfigError


class Step(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: Literal["resample", "normalise"]
    spacing_mm: float = Field(1.0, gt=0)


class Task(BaseModel):
    model_config = ConfigDict(extra="forbid")
    title: str
    steps: list[Step] = []
    named: dict[str, Step] = {}
    extra: Step | None = None


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "TASK.yaml"


GOOD = """
title: test
steps:
  - name: resample
    spacing_mm: 2
  - name: normalise
named: {first: {name: resample}}
"""


def test_a_good_file(path: Path) -> None:
    path.write_text(GOOD)
    task = load_yaml(path, Task)
    assert task.steps[0].spacing_mm == 2
    assert task.named["first"].name == "resample"


@pytest.mark.parametrize(
    ("text", "line", "parts"),
    [
        ("titel: x\n", 1, ("titel", "title", "did you mean 'title'?")),
        ("title: x\nsteps:\n  - name: resampel\n", 3, ("steps.0.name", "'resample' or 'normalise'", "'resample'")),
        ("title: x\nsteps:\n  - name: resample\n    spacing: 2\n", 4, ("steps.0.spacing", "spacing_mm")),
        ("title: x\nnamed:\n  a: {nam: resample}\n", 3, ("named.a", "name")),
        ("title: x\nextra:\n  name: resample\n  spacing_mm: -1\n", 4, ("extra.spacing_mm", "greater than 0", "-1")),
        ("steps: []\n", 1, ("'title' is missing",)),
        ("title: x\ntitle: y\n", 2, ("'title' stands twice",)),
        ("title: [x\n", 2, ("not plain YAML",)),
        ("title: &a x\nsteps: []\n", 1, ("anchors and aliases",)),
        ("title: !!python/object/apply:os.system ['true']\n", 1, ("not plain YAML",)),
        ("- a\n- b\n", 1, ("dictionary",)),
    ],
)
def test_problems_name_the_line(path: Path, text: str, line: int, parts: tuple[str, ...]) -> None:
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_yaml(path, Task)
    said = str(caught.value)
    assert f"TASK.yaml, line {line}:" in said
    for part in parts:
        assert part in said


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_yaml(tmp_path / "absent.yaml", Task)
    (tmp_path / "latin.yaml").write_bytes(b"title: \xe4\n")
    with pytest.raises(ConfigError, match="UTF-8"):
        load_yaml(tmp_path / "latin.yaml", Task)
    (tmp_path / "large.yaml").write_bytes(b"# " + b"x" * 1_000_001)
    with pytest.raises(ConfigError, match="too large"):
        load_yaml(tmp_path / "large.yaml", Task)
    (tmp_path / "deep.yaml").write_bytes(b"[" * 5000)
    with pytest.raises(ConfigError, match="not plain YAML"):
        load_yaml(tmp_path / "deep.yaml", Task)
