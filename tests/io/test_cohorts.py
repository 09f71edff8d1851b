"""Every layout of a cohort is read as it is, and a table keeps its paths when it moves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vesalius.core.errors import NothingFoundError, ReadError, UnknownNameError, UnsupportedError, UsageError
from vesalius.io.cohort import BUILT_IN, CohortReader, load_case, read_cohort, write_cohort


def picture(path: Path, value: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((5, 6), value, dtype=np.uint8)).save(path)
    return path


def test_readers_keep_the_protocol() -> None:
    assert all(isinstance(reader, CohortReader) for reader in BUILT_IN.values())


def test_a_table_with_the_names_of_the_data_pack(tmp_path: Path) -> None:
    picture(tmp_path / "sub" / "a.png", 7)
    (tmp_path / "labels.csv").write_text(
        "file,label,patient,age\nsub/a.png,x,p1,50\nsub/b.png,y,p2,\n", encoding="utf-8"
    )
    cohort = read_cohort(tmp_path)
    assert cohort.names == ("path", "label", "patient_id", "age")
    np.testing.assert_array_equal(cohort.numbers("age"), [50, np.nan])
    assert load_case(cohort, 0).array.max() == 7
    with pytest.raises(ReadError, match=r"no file .*b\.png"):
        load_case(cohort, 1)


def test_semicolons_and_decimal_commas(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("\ufeffSubject;Group;nWBV\nS1;A;0,48\nS2;B;0,5\n", encoding="utf-8")
    cohort = read_cohort(path, columns={"patient_id": "Subject", "label": "Group"})
    assert cohort.names == ("patient_id", "label", "nWBV")
    assert cohort.numbers("nWBV").tolist() == [0.48, 0.5]


def test_a_column_that_another_one_replaces_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("file,label,grade\na.png,x,3\n", encoding="utf-8")
    cohort = read_cohort(path, columns={"label": "grade"})
    assert cohort.names == ("path", "label (given)", "label")
    assert cohort.labels == ("3",)


def test_written_paths_lead_to_the_same_files(tmp_path: Path) -> None:
    picture(tmp_path / "data" / "a.png", 9)
    (tmp_path / "data" / "t.csv").write_text("path,label,age\na.png,NA,0.483333333\n", encoding="utf-8")
    first = read_cohort(tmp_path / "data" / "t.csv", basis="development", licence="open")
    (tmp_path / "out").mkdir()
    write_cohort(first, tmp_path / "out" / "u.csv")
    again = read_cohort(tmp_path / "out" / "u.csv")
    assert load_case(again, 0).array.max() == 9
    assert again.text("label").tolist() == ["NA"]
    assert again.text("basis").tolist() == ["development"]
    assert again.numbers("age").tolist() == [0.483333333]


@pytest.mark.parametrize("splits", [(), ("train", "val")])
def test_folders_per_class(tmp_path: Path, splits: tuple[str, ...]) -> None:
    for split in splits or ("",):
        for label in ("benign", "malignant"):
            picture(tmp_path / split / label / "deep" / "1.png")
    cohort = read_cohort(tmp_path)
    assert cohort.layout == "folders"
    assert cohort.labels == ("benign", "malignant")
    assert sorted(set(cohort.text("split").tolist())) == sorted(splits or ("",))


def test_medmnist(tmp_path: Path) -> None:
    images = np.arange(5 * 4 * 4, dtype=np.uint8).reshape(5, 4, 4)
    labels = np.array([[0], [1], [0], [1], [1]])
    np.savez(tmp_path / "m.npz", train_images=images[:3], train_labels=labels[:3], val_images=images[3:],
             val_labels=labels[3:])  # fmt: skip
    cohort = read_cohort(tmp_path / "m.npz")
    assert cohort.text("label").tolist() == ["0", "1", "0", "1", "1"]
    assert cohort.text("split").tolist() == ["train"] * 3 + ["val"] * 2
    np.testing.assert_array_equal(load_case(cohort, 4).array[0], images[4])


def test_medmnist_of_different_length(tmp_path: Path) -> None:
    np.savez(tmp_path / "m.npz", train_images=np.zeros((3, 4, 4)), train_labels=np.zeros((2, 1)))
    with pytest.raises(ReadError, match="differ in number; found: 3 and 2"):
        read_cohort(tmp_path / "m.npz")


def test_an_archive_with_a_pickle_is_not_opened(tmp_path: Path) -> None:
    images = np.empty(2, dtype=object)
    np.savez(tmp_path / "m.npz", train_images=images, train_labels=np.array([object(), object()], dtype=object))
    with pytest.raises(ReadError, match="cannot be read"):
        read_cohort(tmp_path / "m.npz")


def test_nnunet(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text(json.dumps({"file_ending": ".png"}), encoding="utf-8")
    for name in (
        "imagesTr/a_0000.png",
        "imagesTr/a_0001.png",
        "imagesTr/b_0000.png",
        "labelsTr/a.png",
        "imagesTs/c_0000.png",
    ):
        picture(tmp_path / name)
    cohort = read_cohort(tmp_path)
    assert cohort.text("path").tolist() == ["imagesTr/a_0000.png", "imagesTr/b_0000.png", "imagesTs/c_0000.png"]
    assert cohort.text("mask").tolist() == ["labelsTr/a.png", "", ""]
    assert cohort.text("channel_1").tolist() == ["imagesTr/a_0001.png", "", ""]
    assert cohort.text("split").tolist() == ["train", "train", "test"]


def test_every_table_of_the_data_pack(data_root: Path) -> None:
    tables = sorted(data_root.glob("*/labels.csv"))
    assert tables
    for one in tables:
        cohort = read_cohort(one.parent)
        assert len(cohort)
        assert cohort.labels


@pytest.mark.parametrize(
    ("name", "content", "error", "text"),
    [
        ("t.csv", "", ReadError, "is empty"),
        ("t.csv", "path,label\n", NothingFoundError, "holds no case"),
        ("t.csv", "path,label\na.png\n", ReadError, "row 2: another number of cells"),
        ("t.csv", "path,file\na,b\n", UsageError, "occurs twice"),
        ("t.csv", "path,split\na,tain\n", UnknownNameError, "train, val, test"),
        ("t.doc", "path", UnsupportedError, "no cohort that can be read"),
    ],
)
def test_refusals(tmp_path: Path, name: str, content: str, error: type[Exception], text: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(error, match=text):
        read_cohort(tmp_path / name)


def test_more_refusals(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such cohort"):
        read_cohort(tmp_path / "nothing.csv")
    (tmp_path / "t.csv").write_bytes(b"path,label\n\xff\xfe,1\n")
    with pytest.raises(ReadError, match="UTF-8"):
        read_cohort(tmp_path / "t.csv")
    (tmp_path / "u.csv").write_text("path,label\na,1\n", encoding="utf-8")
    with pytest.raises(UnknownNameError, match="'label'"):
        read_cohort(tmp_path / "u.csv", columns={"label": "lable"})
    with pytest.raises(UnknownNameError, match="'folders'"):
        read_cohort(tmp_path / "u.csv", layout="folder")
