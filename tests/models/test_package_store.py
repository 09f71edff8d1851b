"""The store: checked on the way in and on the way out, found by name, never silently replaced."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import pytest
from small_package import CARD, Maker

from vesalius.core.errors import (
    LimitError,
    OutputExistsError,
    ReadError,
    TamperedError,
    UnknownNameError,
    UnsupportedError,
)
from vesalius.models import store
from vesalius.models.package import open_package, write_package


@pytest.fixture(autouse=True)
def nothing_shipped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(store, "SHIPPED", tmp_path / "nothing")


def versions(maker: Maker, *numbers: str) -> Path:
    """Put packages of these versions into a store and return its home."""
    home = maker.folder / "home"
    for number in numbers:
        made = maker.folder / f"{number}.vesalius"
        write_package(made, maker.parts(CARD.model_copy(update={"version": number})))
        store.import_package(home, made)
    return home


def test_names_find_the_newest_version(maker: Maker) -> None:
    home = versions(maker, "0.9.0", "0.10.0")
    assert [one.version for one in store.entries(home)] == ["0.9.0", "0.10.0"]
    assert store.find(home, "two-labels").name == "0.10.0"
    assert store.find(home, "two-labels@0.9.0").name == "0.9.0"
    path = maker.folder / "0.9.0.vesalius"
    assert store.find(home, path) == path
    with store.open_named(home, "two-labels") as package:
        assert package.card.version == "0.10.0"
    for wrong in ("two-label", "two-labels@1.0.0", "two-labels@"):
        if wrong.endswith("@"):
            continue
        with pytest.raises(UnknownNameError, match="two-labels"):
            store.find(home, wrong)


def test_a_folder_of_the_same_name_does_not_hide_a_package(maker: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    home = versions(maker, "0.1.0")
    (maker.folder / "two-labels").mkdir()
    monkeypatch.chdir(maker.folder)
    assert store.find(home, "two-labels") == home / "models" / "two-labels" / "0.1.0"


def test_the_same_package_again_changes_nothing_and_another_is_refused(maker: Maker) -> None:
    home = versions(maker, "0.1.0")
    first = store.entries(home)[0]
    assert store.import_package(home, maker.folder / "0.1.0.vesalius") == first
    other = maker.folder / "other.vesalius"
    write_package(other, maker.parts(CARD.model_copy(update={"title": "Another"})))
    with pytest.raises(OutputExistsError, match="raise the version"):
        store.import_package(home, other)
    assert store.entries(home) == (first,)
    assert store.import_package(home, other, force=True).card != first.card
    assert [one.name for one in (home / "models" / "two-labels").iterdir()] == ["0.1.0"]


def test_what_is_bad_does_not_get_in(maker: Maker) -> None:
    home, folder = maker.folder / "home", maker.folder / "p"
    write_package(folder, maker.parts())
    (folder / "card.yaml").write_text((folder / "card.yaml").read_text() + "summary: x\n")
    with pytest.raises(TamperedError, match=r"card\.yaml"):
        store.import_package(home, folder)
    (folder / "model.pkl").write_bytes(pickle.dumps(1))
    with pytest.raises(UnsupportedError, match=r"model\.pkl"):
        store.import_package(home, folder)
    with zipfile.ZipFile(maker.folder / "z.vesalius", "w") as archive:
        archive.writestr("../card.yaml", "x")
    with pytest.raises(LimitError):
        store.import_package(home, maker.folder / "z.vesalius")
    assert not (home / "models").exists()


def test_a_zip_bomb_is_refused(maker: Maker) -> None:
    bomb = maker.folder / "bomb.vesalius"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("card.yaml", bytes(200 * 2**20))
    with pytest.raises(LimitError):
        store.import_package(maker.folder / "home", bomb)


def test_damage_in_the_store_is_seen(maker: Maker) -> None:
    home = versions(maker, "0.1.0", "0.2.0")
    path = home / "models" / "two-labels" / "0.1.0" / "linear.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    first, second = store.entries(home)
    assert (first.status, first.card, second.status) == ("damaged", None, "draft")
    assert "linear.onnx" in first.reason
    with pytest.raises(TamperedError):
        store.open_named(home, "two-labels@0.1.0")
    assert store.import_package(home, maker.folder / "0.1.0.vesalius", force=True).status == "draft"


def test_export_and_import_keep_every_byte(maker: Maker) -> None:
    home = versions(maker, "0.1.0")
    out = maker.folder / "out.vesalius"
    digest = store.export_package(home, "two-labels", out)
    with open_package(out) as package:
        assert package.digest == digest
    assert out.read_bytes() == (maker.folder / "0.1.0.vesalius").read_bytes()
    with pytest.raises(OutputExistsError):
        store.export_package(home, "two-labels", out)
    with pytest.raises(ReadError, match=r"\.vesalius"):
        store.export_package(home, "two-labels", maker.folder / "out.zip")


def test_an_empty_store(tmp_path: Path) -> None:
    assert store.entries(tmp_path) == ()
    with pytest.raises(UnknownNameError, match="models list"):
        store.find(tmp_path, "anything")
