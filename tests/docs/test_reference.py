"""Documentation cannot rot: what exists is documented, and the README stays short."""

from __future__ import annotations

from pathlib import Path

import pytest

from vesalius.core import errors, registry

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference"


def error_classes() -> list[type[errors.VesaliusError]]:
    """Return every class of the tree."""
    found = [errors.VesaliusError]
    for kind in found:
        found.extend(kind.__subclasses__())
    return found


def test_every_error_class_is_documented_with_its_code() -> None:
    text = (REFERENCE / "errors.md").read_text()
    missing = [kind.__name__ for kind in error_classes() if f"| `{kind.code}` | `{kind.__name__}` |" not in text]
    assert not missing


def test_error_codes_are_unique_and_every_error_is_a_builtin_too() -> None:
    kinds = error_classes()
    assert len({kind.code for kind in kinds}) == len(kinds)
    for kind in kinds[1:]:
        assert issubclass(
            kind, ValueError | KeyError | OSError | MemoryError | ImportError | RuntimeError | AssertionError
        ), kind


@pytest.mark.parametrize("name", registry.names("applications"))
def test_every_application_has_a_page(name: str) -> None:
    assert name in (REFERENCE / f"{name}.md").read_text()


@pytest.mark.parametrize("name", ["README.md", "README.zh.md"])
def test_the_readme_is_short(name: str) -> None:
    assert len((ROOT / name).read_text().splitlines()) <= 120
