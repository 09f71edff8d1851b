"""A package is written whole, opened only as it was written, and says how far it may be believed."""

from __future__ import annotations

import json
import pickle
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_package import CARD, GRAPH, Maker

from vesalius import keys
from vesalius.core.errors import (
    ConfigError,
    LicenceError,
    LimitError,
    OutputExistsError,
    ReadError,
    TamperedError,
    UnsupportedError,
    UsageError,
)
from vesalius.models import files, release
from vesalius.models.card import Approval, Card, Energy, Metric, OperatingPoint, TrainingData, missing, read_card
from vesalius.models.package import Parts, open_package, pack, write_package
from vesalius.models.trust import TrustStore, read_store, trust

COMPLETE = CARD.model_copy(
    update={
        "status": "released",
        "intended_use": "tests",
        "not_for": ("patients",),
        "risk_class": "none",
        "training_data": (TrainingData(name="random", licence="open", cases=2, basis={"licence:CC0": 2}),),
        "metrics": (Metric(name="auc", value=0.9, low=0.8, high=0.95, data="random", subgroup="sex=F"),),
        "known_failures": ("everything else",),
        "limits": {"subgroup_gap": 0.1},
        "energy": Energy(training_kwh=0.001, method="estimated"),
        "approvals": (Approval(document="ethics", sha256="0" * 64),),
        "operating_points": (OperatingPoint(label="dark", threshold=0.5),),
    }
)


@pytest.mark.parametrize("name", ["folder", "one.vesalius"])
def test_round_trip(maker: Maker, name: str) -> None:
    digest = write_package(maker.folder / name, maker.parts())
    with open_package(maker.folder / name) as package:
        assert package.card == CARD
        assert package.graph == GRAPH
        assert package.digest == digest
        assert (package.status, package.reason) == ("draft", "card")
        assert len(package.golden()) == 2
        unpacked = package.folder
    assert unpacked.exists() == (name == "folder")


def test_the_same_parts_give_the_same_bytes(maker: Maker) -> None:
    first, second = maker.folder / "a.vesalius", maker.folder / "b.vesalius"
    assert write_package(first, maker.parts()) == write_package(second, maker.parts())
    assert first.read_bytes() == second.read_bytes()


def test_nothing_is_replaced_unasked(maker: Maker) -> None:
    for name in ("folder", "one.vesalius"):
        write_package(maker.folder / name, maker.parts())
        with pytest.raises(OutputExistsError):
            write_package(maker.folder / name, maker.parts())
        write_package(maker.folder / name, maker.parts(), force=True)
    assert sorted(one.name for one in maker.folder.iterdir()) == ["folder", "one.vesalius"]


def alter(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(bytes(content))


@pytest.mark.parametrize("name", [files.CARD, files.GRAPH, files.CONFIG, files.GOLDEN, "linear.onnx"])
def test_one_bit_is_found(maker: Maker, name: str) -> None:
    folder = maker.folder / "p"
    write_package(folder, maker.parts())
    alter(folder, name)
    with pytest.raises((TamperedError, UnsupportedError), match=name.replace(".", r"\.")):
        open_package(folder)


def test_files_more_and_fewer(maker: Maker) -> None:
    folder = maker.folder / "p"
    write_package(folder, maker.parts())
    (folder / "notes.txt").write_text("more", encoding="utf-8")
    with pytest.raises(TamperedError, match=r"not in hashes\.json; found: notes\.txt"):
        open_package(folder)
    (folder / "notes.txt").unlink()
    (folder / "linear.onnx").unlink()
    with pytest.raises(TamperedError, match=r"no linear\.onnx"):
        open_package(folder)
    (folder / files.CARD).unlink()
    with pytest.raises(ReadError, match=r"no model package; found: no card\.yaml"):
        open_package(folder)


def pickled_arrays(path: Path) -> bytes:
    np.savez(path, x=np.array([{"a": 1}], dtype=object))
    return path.read_bytes()


@pytest.mark.parametrize("name", ["model.pkl", "model.pt", "run.py", "lib.so", "weights.txt", "data.npz", "model.csv"])
def test_code_and_pickles_are_refused(maker: Maker, name: str) -> None:
    content = pickled_arrays(maker.folder / "x.npz") if name == "data.npz" else pickle.dumps({"a": 1})
    if name == "model.csv":  # PyTorch's format: a zip with a pickle inside
        with zipfile.ZipFile(maker.folder / "t.zip", "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps(1))
        content = (maker.folder / "t.zip").read_bytes()
    with pytest.raises(UnsupportedError, match=name.replace(".", r"\.")):
        write_package(maker.folder / "p", maker.with_file(name, content))
    assert not (maker.folder / "p").exists()


def test_links_are_refused(maker: Maker) -> None:
    folder = maker.folder / "p"
    write_package(folder, maker.parts())
    (folder / "notes.txt").symlink_to("/etc/hostname")
    with pytest.raises(UnsupportedError, match="no plain file"):
        open_package(folder)


def test_a_zip_that_leaves_its_folder(maker: Maker) -> None:
    with zipfile.ZipFile(maker.folder / "z.vesalius", "w") as archive:
        archive.writestr("../card.yaml", "name: x")
    with pytest.raises(LimitError):
        open_package(maker.folder / "z.vesalius")


def signed_off(folder: Path, parts: Parts, key: keys.Key, standing: str = "met") -> Parts:
    """Return the parts with the record of a review that a person signed."""
    write_package(folder, parts, force=True)
    subject = release.subject_of(folder, parts.card)
    said = release.Statement(kind="sign-off", name="Ada Chen", role="radiologist", subject=subject, time="2026-01-01",
                             text="I looked at every item.", key=key.id)  # fmt: skip
    signature = keys.sign(key, said.message(), purpose=release.PURPOSE)
    statement = {"statement": said.model_dump(mode="json"), "public": key.public().public.hex()}
    record = {"review": {"items": [{"id": "all", "standing": standing}]},
              "statements": [{**statement, "signature": signature.hex()}]}  # fmt: skip
    return replace(parts, files={**parts.files, release.RELEASE: json.dumps(record).encode()})


def test_signed_and_reviewed_is_released(maker: Maker) -> None:
    home, key_file = maker.folder / "home", maker.folder / "k"
    key = keys.create("signing", key_file)
    parts = signed_off(maker.folder / "p", maker.parts(COMPLETE), key)
    write_package(maker.folder / "p", parts, key=key, force=True)
    with open_package(maker.folder / "p", trust=read_store(home)) as package:
        assert (package.status, package.reason, package.signature.key_id) == ("draft", "untrusted", key.id)
        assert package.watermark
    trust(home, keys.public_path(key_file))
    with open_package(maker.folder / "p", trust=read_store(home)) as package:
        assert (package.status, package.reason, package.watermark) == ("released", "", "")


@pytest.mark.parametrize(("change", "reason"), [
    ("absent", "no record of a review"), ("failed", "did not pass the gate"), ("damaged", "is damaged"),
    ("other", "about another package"), ("stranger", "not trusted here"),
])  # fmt: skip
def test_released_without_a_review_that_holds_is_a_draft(maker: Maker, change: str, reason: str) -> None:
    key, stranger = keys.create("signing", maker.folder / "k"), keys.create("signing", maker.folder / "s")
    person = stranger if change == "stranger" else key
    folder = maker.folder / "p"
    parts = signed_off(folder, maker.parts(COMPLETE), person, "failed" if change == "failed" else "met")
    if change == "absent":
        parts = maker.parts(COMPLETE)
    if change == "damaged":
        parts = replace(parts, files={**parts.files, release.RELEASE: b"[]"})
    if change == "other":
        parts = replace(parts, card=COMPLETE.model_copy(update={"title": "Another"}))
    write_package(folder, parts, key=key, force=True)
    with open_package(folder, trust=TrustStore({key.id: key.public()})) as package:
        assert package.status == "draft"
        assert package.reason.startswith("review: ")
        assert reason in package.reason


def test_unsigned_is_a_draft_and_our_own_is_not(maker: Maker) -> None:
    digest = write_package(maker.folder / "p", maker.parts(COMPLETE))
    with open_package(maker.folder / "p") as package:
        assert (package.status, package.reason) == ("draft", "unsigned")
    with open_package(maker.folder / "p", trust=TrustStore(wheel=frozenset({digest}))) as package:
        assert package.status == "released"


def test_a_signature_of_other_files(maker: Maker) -> None:
    key = keys.create("signing", maker.folder / "k")
    write_package(maker.folder / "a", maker.parts(), key=key)
    write_package(maker.folder / "b", maker.parts(COMPLETE))
    shutil.copy(maker.folder / "a" / files.SIGNATURE, maker.folder / "b")
    with pytest.raises(TamperedError, match="does not fit"):
        open_package(maker.folder / "b")


def test_a_signature_that_claims_another_key(maker: Maker) -> None:
    key = keys.create("signing", maker.folder / "k")
    write_package(maker.folder / "a", maker.parts(), key=key)
    path = maker.folder / "a" / files.SIGNATURE
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, "key_id": "0" * 32}), encoding="utf-8")
    with pytest.raises(TamperedError, match="another key"):
        open_package(maker.folder / "a")
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(TamperedError, match="damaged"):
        open_package(maker.folder / "a")


def test_released_needs_a_complete_card(maker: Maker) -> None:
    assert missing(COMPLETE) == ()
    lacking = COMPLETE.model_copy(update={"known_failures": ()})
    with pytest.raises(ReadError, match="missing: known_failures"):
        write_package(maker.folder / "p", maker.parts(lacking))


@pytest.mark.parametrize("licence", ["research", "unclear"])
def test_weights_under_conditions(maker: Maker, licence: str) -> None:
    write_package(maker.folder / "p", maker.parts(CARD.model_copy(update={"licence": licence})))
    with pytest.raises(LicenceError, match=f"--accept-licence {licence}"):
        open_package(maker.folder / "p")
    open_package(maker.folder / "p", accept_licence=(licence,)).close()


def test_card_and_graph_must_fit(maker: Maker) -> None:
    other = CARD.model_copy(update={"inputs": (CARD.inputs[0].model_copy(update={"name": "scan"}),)})
    with pytest.raises(ReadError, match="different inputs"):
        write_package(maker.folder / "p", maker.parts(other))


def test_no_such_package(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such package"):
        open_package(tmp_path / "p")
    (tmp_path / "x.txt").write_text("text", encoding="utf-8")
    with pytest.raises(ReadError, match="no model package"):
        open_package(tmp_path / "x.txt")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("name: Bad Name\nkind: classification\ntitle: t\ninputs: [{name: a}]\n", "name"),
        ("name: good\nkind: clasification\ntitle: t\ninputs: [{name: a}]\n", "did you mean 'classification'"),
        ("name: good\nkind: regression\ntitle: t\ninputs: [{name: a}]\nintended: x\n", "did you mean 'intended_use'"),
        ("name: good\nkind: regression\ntitle: t\ninputs: [{name: a}, {name: a}]\n", "two inputs have one name"),
        ("name: good\nkind: classification\ntitle: t\ninputs: [{name: a}]\n", "two labels or more"),
    ],
)
def test_a_card_with_a_mistake(tmp_path: Path, text: str, part: str) -> None:
    (tmp_path / "card.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=part):
        read_card(tmp_path / "card.yaml")


def test_pack_of_a_folder_opens(maker: Maker) -> None:
    digest = write_package(maker.folder / "p", maker.parts())
    pack(maker.folder / "p", maker.folder / "q.vesalius")
    with open_package(maker.folder / "q.vesalius") as package:
        assert package.digest == digest
        assert isinstance(package.card, Card)
