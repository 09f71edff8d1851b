"""`vesalius doctor` and `vesalius applications`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from calling import call

from vesalius.cli import codecs

Environment = Mapping[str, str]


def checks(environment: Environment, **extra: str) -> tuple[int, dict[str, dict[str, Any]]]:
    called = call(environment, "doctor", "--json", **extra)
    return called.code, {f"{one['group']} {one['name']}": one for one in called.answer["data"]["checks"]}


def test_a_sound_installation(environment: Environment) -> None:
    code, found = checks(environment)
    assert code == 0
    for name in ("base numpy", "base pydicom", "application trivial", "machine memory", "machine VESALIUS_HOME"):
        assert found[name]["fine"], name
    assert {name for name in found if name.startswith("codec")} >= {
        "codec RLE Lossless",
        "codec JPEG Baseline (Process 1)",
    }
    assert all(one["fix"] for one in found.values() if not one["fine"])


def test_every_transfer_syntax_is_really_decoded() -> None:
    found = codecs.try_all()
    assert len(found) == 13
    assert [codec.name for codec in found if not codec.works] == []


def test_a_frame_that_decodes_to_other_values_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    ramp = codecs._ramp
    monkeypatch.setattr(codecs, "_ramp", lambda bits: ramp(bits) + 100)
    broken = {codec.uid: codec.problem for codec in codecs.try_all() if not codec.works}
    assert broken.keys() == {codec.uid for codec in codecs.try_all()} - set(codecs.NATIVE)
    assert broken["1.2.840.10008.1.2.4.70"] == "decoded values differ by 100"


@pytest.mark.parametrize(("module", "name"), [("pydicom", "codec"), ("SimpleITK", ""), ("gdcm", "")])
def test_a_missing_package_does_not_silence_the_doctor(
    environment: Environment, tmp_path: Path, module: str, name: str
) -> None:
    (tmp_path / f"{module}.py").write_text(f"raise ModuleNotFoundError('gone', name={module!r})\n")
    path = f"{tmp_path}:{environment['PYTHONPATH']}"
    called = call(environment, "doctor", "--json", PYTHONPATH=path)
    assert called.answer["data"]["checks"]
    if name:
        assert (called.code, called.answer["error"]["code"]) == (1, "missing_dependency")


@pytest.mark.parametrize("module", ["numpy", "pydantic", "pydicom"])
def test_a_missing_package_is_one_clear_line(environment: Environment, tmp_path: Path, module: str) -> None:
    (tmp_path / f"{module}.py").write_text(f"raise ModuleNotFoundError('gone', name={module!r})\n")
    path = f"{tmp_path}:{environment['PYTHONPATH']}"
    called = call(environment, "info", tmp_path, "--json", PYTHONPATH=path)
    assert (called.code, called.answer["error"]["code"]) == (1, "missing_dependency")
    assert called.answer["error"]["found"] == module
    assert "vesalius doctor" in called.answer["error"]["fix"]


def test_applications_say_what_they_need_and_give(environment: Environment) -> None:
    called = call(environment, "applications", "--json")
    listed = {one["name"]: one for one in called.answer["data"]["applications"]}
    assert listed["trivial"]["version"] == "1.0"
    assert listed["trivial"]["needs"]
    assert listed["trivial"]["gives"]
    assert "brain-mri" in listed
    plain = call(environment, "applications")
    assert "Trivial" in plain.out


def test_an_application_that_cannot_be_imported_is_named(environment: Environment, tmp_path: Path) -> None:
    info = tmp_path / "broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[vesalius.applications]\nbroken = no_such_module:application\n")
    path = f"{tmp_path}:{environment['PYTHONPATH']}"
    called = call(environment, "applications", "--json", PYTHONPATH=path)
    assert (called.code, called.answer["error"]["code"]) == (1, "contract")
    listed = {one["name"]: one["error"] for one in called.answer["data"]["applications"]}
    assert listed["broken"]
    assert listed["trivial"] is None
