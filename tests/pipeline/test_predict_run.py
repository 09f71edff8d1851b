"""A package on many cases: every case its line, bad files apart, stopped runs go on, drafts marked everywhere."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from small_package import CARD, Maker, picture

from vesalius import io
from vesalius.core import Volume
from vesalius.core.cohort import Cohort
from vesalius.core.errors import NothingFoundError, OutputExistsError, UnknownNameError, UsageError
from vesalius.io.cohort import read_cohort
from vesalius.models.card import Card, Coded, InputContract, OutputContract
from vesalius.models.graph import Graph, Step
from vesalius.models.package import Package, Parts, open_package, write_package
from vesalius.models.runtime import Runner, golden_cases
from vesalius.pipeline import predict as running
from vesalius.pipeline.predict import Options, listed, predict
from vesalius.pipeline.predictions import ABOUT, STATE, TABLE, Journal, Line


@pytest.fixture
def package(tmp_path: Path) -> Package:
    write_package(tmp_path / "p", Maker(tmp_path).parts())
    return open_package(tmp_path / "p")


def options(tmp_path: Path, **changes: Any) -> Options:
    return Options(tmp_path / "home", **changes)


def films(folder: Path, count: int = 4, size: tuple[int, int] = (20, 30)) -> list[str]:
    folder.mkdir(exist_ok=True)
    for number in range(count):
        array = np.random.default_rng(number).integers(0, 256, size).astype(np.uint8)
        Image.fromarray(array).save(folder / f"{number}.png")
    return [str(folder / f"{number}.png") for number in range(count)]


def rows(out: Path) -> list[dict[str, str]]:
    with (out / TABLE).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_each_case_is_what_the_package_says(package: Package, tmp_path: Path) -> None:
    paths = films(tmp_path / "films")
    found = predict(package, listed(paths), tmp_path / "out", options(tmp_path))
    runner = Runner(package)
    for path, line, row in zip(paths, found.lines, rows(tmp_path / "out"), strict=True):
        array = np.asarray(Image.open(path))
        expected = runner.predict({"image": replace(picture(), array=array[None])})
        np.testing.assert_allclose(line.values, expected.values)
        assert (row["path"], row["outcome"], row["predicted"]) == (path, "completed", expected.predicted)
        assert float(row["p_dark"]) == pytest.approx(expected.values[0], abs=1e-7)
    told = json.loads((tmp_path / "out" / ABOUT).read_text())
    assert told["package"]["digest"] == package.digest
    assert told["outcomes"] == {"completed": 4, "abstained": 0, "refused": 0, "failed": 0}
    assert not (tmp_path / "out" / STATE).exists()


def test_every_row_of_a_draft_says_so(package: Package, tmp_path: Path) -> None:
    found = predict(package, listed(films(tmp_path / "films")), tmp_path / "out", options(tmp_path))
    assert found.about["watermark"].startswith("DRAFT")
    assert all(row["message"].startswith("DRAFT") for row in rows(tmp_path / "out"))


def test_bad_files_and_images_outside_the_contract_are_lines(package: Package, tmp_path: Path) -> None:
    paths = films(tmp_path / "films", 1)
    (tmp_path / "bad.png").write_bytes(b"no picture")
    large = films(tmp_path / "large", 1, (100, 100))
    found = predict(package, listed([*paths, str(tmp_path / "bad.png"), *large]), tmp_path / "out", options(tmp_path))
    assert [line.outcome for line in found.lines] == ["completed", "failed", "refused"]
    assert "100 x 100 pixels" in found.lines[2].message
    assert "no PNG" in found.lines[1].message
    assert [row["p_dark"] != "" for row in rows(tmp_path / "out")] == [True, False, False]
    assert len(found.errors) == 1


def test_the_same_call_again_computes_only_what_failed(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [*films(tmp_path / "films", 3), str(tmp_path / "late.png")]
    (tmp_path / "late.png").write_bytes(b"not yet")
    first = predict(package, listed(paths), tmp_path / "out", options(tmp_path))
    seen: list[str] = []
    answered = running._answered

    def counted(item: Any) -> Line:
        seen.append(str(item.row["path"]))
        return answered(item)

    monkeypatch.setattr(running, "_answered", counted)
    again = predict(package, listed(paths), tmp_path / "out", options(tmp_path))
    assert seen == [paths[3]]
    assert again.lines == first.lines


def test_a_run_that_was_killed_goes_on(package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = films(tmp_path / "films", 4)
    whole = predict(package, listed(paths), tmp_path / "whole", options(tmp_path))
    key, out = str(whole.about["key"]), tmp_path / "out"
    with Journal(out, key, {}) as journal:
        journal.add(2, whole.lines[2])
    with (out / STATE).open("a") as file:
        file.write('[1, {"path": "cut in the mid')
    seen: list[str] = []
    answered = running._answered

    def counted(item: Any) -> Line:
        seen.append(str(item.row["path"]))
        return answered(item)

    monkeypatch.setattr(running, "_answered", counted)
    again = predict(package, listed(paths), out, options(tmp_path))
    assert seen == [paths[0], paths[1], paths[3]]
    assert again.lines == whole.lines
    assert (out / TABLE).read_bytes() == (tmp_path / "whole" / TABLE).read_bytes()


def test_other_content_is_not_replaced_unasked(package: Package, tmp_path: Path) -> None:
    paths, out = films(tmp_path / "films"), tmp_path / "out"
    predict(package, listed(paths), out, options(tmp_path))
    before = (out / TABLE).read_bytes()
    with pytest.raises(OutputExistsError, match="other predictions"):
        predict(package, listed(paths[:2]), out, options(tmp_path))
    assert (out / TABLE).read_bytes() == before
    changed = np.zeros((20, 30), np.uint8)
    Image.fromarray(changed).save(paths[0])
    with pytest.raises(OutputExistsError):
        predict(package, listed(paths), out, options(tmp_path))
    found = predict(package, listed(paths), out, options(tmp_path, force=True))
    assert rows(out)[0]["p_dark"] == f"{found.lines[0].values[0]:.8g}"


def test_workers_give_the_same(package: Package, tmp_path: Path) -> None:
    paths = [*films(tmp_path / "films", 4), str(tmp_path / "bad.png")]
    (tmp_path / "bad.png").write_bytes(b"no picture")
    alone = predict(package, listed(paths), tmp_path / "a", options(tmp_path))
    together = predict(package, listed(paths), tmp_path / "b", options(tmp_path, workers=2, threads=1))
    assert together.lines == alone.lines
    assert (tmp_path / "a" / TABLE).read_bytes() == (tmp_path / "b" / TABLE).read_bytes()


AGE = Card(
    name="by-age", kind="regression", title="A number from age and sex", licence="open",
    inputs=(InputContract(name="age", kind="number", values=(0, 120)),
            InputContract(name="m_f", kind="text", categories=("F", "M"), required=False)),
    output=OutputContract(unit="mL"),
)  # fmt: skip
LINE = Graph(
    inputs=("age", "m_f"),
    steps=(
        Step(id="a", op="table.number", inputs=("age",)),
        Step(id="s", op="table.category", inputs=("m_f",), parameters={"values": ["F", "M"]}),
        Step(id="joined", op="table.join", inputs=("a", "s")),
        Step(id="risk", op="survival.cox", inputs=("joined",),
             parameters={"coefficients": [-2.0, 0.0, 100.0], "centre": [0.0, 0.0, 0.0]}),
        Step(id="value", op="interval.conformal", inputs=("risk",), parameters={"half_width": 5.0}),
    ),
    output="value",
)  # fmt: skip


def tabular(folder: Path, card: Card = AGE, graph: Graph = LINE) -> Package:
    write_package(folder / "t", Parts(card, graph, {}, golden_cases(graph, [{"age": 50.0, "m_f": "F"}], {})))
    return open_package(folder / "t")


def test_a_table_of_patients(tmp_path: Path) -> None:
    table = tmp_path / "patients.csv"
    table.write_text("patient_id,Age,M/F\np1,50,F\np2,60,M\np3,,M\np4,200,M\np5,70,\np6,70,X\n", encoding="utf-8")
    found = predict(tabular(tmp_path), read_cohort(table), tmp_path / "out", options(tmp_path))
    assert [line.outcome for line in found.lines] == [
        "completed", "completed", "refused", "refused", "completed", "refused"
    ]  # fmt: skip
    first, second, *_ = rows(tmp_path / "out")
    assert (first["patient_id"], first["value"], first["low"], first["high"]) == ("p1", "-100", "-105", "-95")
    assert (second["value"], found.about["unit"], found.lines[4].values[0]) == ("-20", "mL", -140.0)
    assert "age is missing" in found.lines[2].message


def test_a_table_that_lacks_a_column(tmp_path: Path) -> None:
    cohort = Cohort({"patient_id": np.array(["a"]), "M/F": np.array(["F"])})
    with pytest.raises(UsageError, match="no age"):
        predict(tabular(tmp_path), cohort, tmp_path / "out", options(tmp_path))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("kind", "names"), [
    ("survival", ["risk"]), ("features", ["v_0", "v_1", "v_2"]), ("clustering", ["predicted"]),
])  # fmt: skip
def test_the_columns_of_other_kinds(tmp_path: Path, kind: str, names: list[str]) -> None:
    package = tabular(tmp_path, AGE.model_copy(update={"kind": kind}))
    cohort = Cohort({"age": np.array([50.0]), "M/F": np.array(["F"])})
    predict(package, cohort, tmp_path / "out", options(tmp_path))
    assert list(rows(tmp_path / "out")[0]) == ["path", "patient_id", "outcome", *names, "message"]


def test_conformal_sets_are_a_column(tmp_path: Path) -> None:
    card = CARD.model_copy(update={"limits": {"conformal_quantile": 0.999}})
    write_package(tmp_path / "p", Maker(tmp_path).parts(card))
    predict(open_package(tmp_path / "p"), listed(films(tmp_path / "films")), tmp_path / "out", options(tmp_path))
    assert rows(tmp_path / "out")[0]["candidates"] == "dark|bright"


def radiomic(folder: Path, **contract: Any) -> Package:
    """Write a package that measures a mask in a volume and hands the numbers on."""
    inputs = (InputContract(name="image", dimensions=3), InputContract(name="mask", kind="mask", **contract))
    card = Card(name="measured", kind="features", title="Radiomics", licence="open", inputs=inputs)
    step = Step(id="f", op="features.radiomics", inputs=("image", "mask"), parameters={"families": ["stat"]})
    graph = Graph(inputs=("image", "mask"), steps=(step,), output="f")
    image = picture(1, (4, 8, 8))
    write_package(folder / "r", Parts(card, graph, {}, golden_cases(graph, [{"image": image}], {})))
    return open_package(folder / "r")


def test_volumes_with_masks_from_a_table(tmp_path: Path) -> None:
    array = np.random.default_rng(0).normal(100, 10, (6, 12, 10)).astype(np.float32)
    inside = np.zeros(array.shape, np.uint8)
    inside[2:5, 3:9, 2:8] = 1
    for name, voxels in (("t1.nii.gz", array), ("mask.nii.gz", inside)):
        io.save(Volume(voxels, np.diag([2.0, 1.0, 1.0, 1.0])), tmp_path / name)
    (tmp_path / "t.csv").write_text("path,mask\nt1.nii.gz,mask.nii.gz\nt1.nii.gz,\n", encoding="utf-8")
    package = radiomic(tmp_path, required=False)
    found = predict(package, read_cohort(tmp_path / "t.csv"), tmp_path / "out", options(tmp_path))
    masked, whole = (line.values[0] for line in found.lines)
    assert masked == pytest.approx(array[inside == 1].mean(), rel=1e-5)
    assert whole == pytest.approx(array.mean(), rel=1e-5)


def test_folders_of_slices_and_of_pictures(data_root: Path, tmp_path: Path) -> None:
    series = next(iter(sorted(data_root.glob("brain_mri_dicom_udacity/Study3/*"))))
    films(tmp_path / "films", 2)
    (tmp_path / "films" / "notes.txt").write_text("x")
    cohort = listed([str(series), str(tmp_path / "films")])
    names = cohort.text("path").tolist()
    assert names == [str(series), str(tmp_path / "films" / "0.png"), str(tmp_path / "films" / "1.png")]
    found = predict(radiomic(tmp_path, required=False), cohort, tmp_path / "out", options(tmp_path))
    assert [line.outcome for line in found.lines] == ["completed", "refused", "refused"]


def test_cases_of_an_array_file(data_root: Path, tmp_path: Path, package: Package) -> None:
    path = data_root / "pneumoniamnist" / "pneumoniamnist_trainval.npz"
    found = predict(package, listed([f"{path}#3", f"{path}#99999"]), tmp_path / "out", options(tmp_path))
    assert [line.outcome for line in found.lines] == ["completed", "failed"]


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        listed([str(tmp_path / "absent.png")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(NothingFoundError):
        listed([str(tmp_path / "empty")])


def test_an_operation_of_the_future(tmp_path: Path) -> None:
    steps = (*LINE.steps[:-1], Step(id="value", op="imaging.grey", inputs=("risk",)))
    package = tabular(tmp_path)
    later = replace(package, graph=LINE.model_copy(update={"steps": steps}))
    object.__setattr__(steps[-1], "op", "imaging.gray")
    with pytest.raises(UnknownNameError, match=r"did you mean 'imaging\.grey'"):
        predict(later, Cohort({"age": np.array([1.0])}), tmp_path / "out", options(tmp_path))


def test_a_real_classical_model(data_root: Path, tmp_path: Path) -> None:
    """HOG and logistic regression on real films: the package gives what scikit-learn gave."""
    linear = pytest.importorskip("sklearn.linear_model")
    skl2onnx = pytest.importorskip("skl2onnx")
    from skl2onnx.common.data_types import FloatTensorType

    from vesalius.models.operations import Files, run_steps

    with np.load(data_root / "pneumoniamnist" / "pneumoniamnist_trainval.npz") as archive:
        # the file holds one class after the other
        order = np.random.default_rng(0).permutation(len(archive["train_images"]))[:120]
        images, labels = archive["train_images"][order], archive["train_labels"][order].ravel()
    head = (
        Step(id="grey", op="imaging.grey", inputs=("image",)),
        Step(id="hog", op="features.hog", inputs=("grey",), parameters={"cell": 7}),
        Step(id="texture", op="features.radiomics", inputs=("grey",), parameters={"families": ["stat", "cm"]}),
        Step(id="all", op="table.join", inputs=("hog", "texture")),
    )
    graph = Graph(inputs=("image",), steps=head, output="all")
    volumes = [replace(picture(), array=one[None]) for one in images]
    files = Files(lambda name: b"", {})
    table = np.concatenate([run_steps(graph, {"image": one}, files)["all"] for one in volumes])
    centre, spread = table.mean(axis=0), table.std(axis=0) + 1e-6
    scaled = ((table.astype(np.float64) - centre) / spread).astype(np.float32)
    model = linear.LogisticRegression(C=0.1, max_iter=200).fit(scaled[:80], labels[:80])
    converted = skl2onnx.convert_sklearn(
        model, initial_types=[("x", FloatTensorType([None, table.shape[1]]))], options={"zipmap": False}
    )
    whole = Graph(
        inputs=("image",),
        steps=(*head, Step(id="scaled", op="table.scale", inputs=("all",),
                           parameters={"mean": centre.tolist(), "sd": spread.tolist()}),
               Step(id="p", op="onnx", inputs=("scaled",), file="model.onnx", parameters={"output": "probabilities"}),
               Step(id="calibrated", op="calibrate.temperature", inputs=("p",), parameters={"value": 1.0})),
        output="calibrated",
    )  # fmt: skip
    content = {"model.onnx": converted.SerializeToString()}
    card = CARD.model_copy(update={"output": OutputContract(labels=(Coded(name="normal"), Coded(name="pneumonia")))})
    golden = golden_cases(whole, [{"image": one} for one in volumes[:2]], content)
    write_package(tmp_path / "m.vesalius", Parts(card, whole, content, golden))
    path = data_root / "pneumoniamnist" / "pneumoniamnist_trainval.npz"
    with open_package(tmp_path / "m.vesalius") as package:
        chosen = [f"{path}#{number}" for number in order[80:100]]
        found = predict(package, listed(chosen), tmp_path / "out", options(tmp_path))
    values = np.array([line.values for line in found.lines])
    np.testing.assert_allclose(values, model.predict_proba(scaled[80:100]), atol=2e-5)
