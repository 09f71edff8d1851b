"""The application: contract, words, refusals, and a whole run on a simulated head."""

from __future__ import annotations

import string
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vesalius.applications.brain_mri import BrainMri, application
from vesalius.core import (
    Axis,
    AxisKind,
    Case,
    Code,
    Geometry,
    Instance,
    Mask,
    Outcome,
    Result,
    Segment,
    Series,
    Study,
    Volume,
)
from vesalius.core.application import Application, Context
from vesalius.core.finding import Mark
from vesalius.phantoms import heads
from vesalius.pipeline.contract import check_application
from vesalius.report.words import say, shared

SHAPE = (40, 48, 44)


def affine(spacing: float) -> np.ndarray:
    matrix = np.zeros((4, 4))
    matrix[2, 0] = matrix[1, 1] = matrix[0, 2] = spacing
    matrix[3, 3] = 1
    return matrix


def series_of(volume: Volume, **changes: object) -> Series:
    geometry = Geometry(volume.shape, volume.affine)
    values = {"format": "nifti", "modality": volume.modality} | changes
    return Series("1", "1", instances=(Instance(Path("a.nii")),), geometry=geometry, **values)  # type: ignore[arg-type]


def run(volume: Volume, context: Context | None = None, **changes: object) -> Result:
    case = Case(Study("study", Path("a.nii"), (series_of(volume, **changes),)))
    selection = application.select(case, "1")
    return application.run(case, selection, {"t1": volume}, context or Context(threads=1))


def smooth() -> Volume:
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    array = 500 * np.exp(-2 * sum(a**2 for a in axes)) + np.random.default_rng(0).normal(0, 3, SHAPE)
    return Volume(array.astype(np.float32), affine(3.0), modality="MR")


def test_it_keeps_the_contract() -> None:
    assert isinstance(application, Application)
    check_application(application)


def test_every_word_is_there_in_both_languages_with_the_same_parameters() -> None:
    english, chinese = application.catalogue["en"], application.catalogue["zh"]
    assert set(english) == set(chinese)
    for name, template in english.items():
        fields = [{f for _, f, _, _ in string.Formatter().parse(t) if f} for t in (template, chinese[name])]
        assert fields[0] == fields[1], name
        assert any("一" <= character <= "鿿" for character in chinese[name]), name


def test_every_id_in_the_code_has_words() -> None:
    import re

    import vesalius

    root = Path(vesalius.__file__).parent
    files = [root / "applications/brain_mri.py", *root.glob("segment/head_*.py")]
    pattern = r'"((?:select|guard|help|check|limit|finding|method|reason|image|interval)\.[a-z0-9_.]+)"'
    found = {name for file in files for name in re.findall(pattern, file.read_text())}
    assert len(found) > 50
    assert found <= set(application.catalogue["en"])


def test_its_words_do_not_change_those_of_the_report() -> None:
    both = set(application.catalogue["en"]) & set(shared()["en"])
    assert not {name for name in both if not name.startswith(("stage.", "segment.", "role."))}


@pytest.mark.parametrize(
    ("expected", "array"),
    [
        ("guard.all_zero", np.zeros(SHAPE, np.float32)),
        ("guard.not_finite", np.full(SHAPE, np.nan, np.float32)),
        ("guard.noise", np.random.default_rng(0).normal(0, 1, SHAPE).astype(np.float32)),
    ],
)
def test_a_refusal_is_a_report_with_reason_and_help(expected: str, array: np.ndarray) -> None:
    result = run(replace(smooth(), array=array))
    assert result.report.outcome is Outcome.REFUSED
    assert [m.id for m in result.report.reasons] == [expected, "help.t1_series"]
    assert not result.report.measurements
    assert not result.masks
    assert set(result.volumes) == {"t1"}


def test_a_series_whose_attributes_say_flair_is_refused_without_looking() -> None:
    attributes = {"RepetitionTime": 9000, "EchoTime": 120, "InversionTime": 2500}
    result = run(smooth(), attributes=attributes)
    assert [m.id for m in result.report.reasons] == ["guard.sequence", "help.t1_series"]
    said = say(result.report.reasons[0], "en", application.catalogue)
    assert said == "The attributes say FLAIR (TR 9000 ms, TE 120 ms, TI 2500 ms); tissue volumes need T1."


def test_a_series_in_time_is_refused() -> None:
    volume = smooth()
    array = np.repeat(volume.array[..., None], 2, axis=3)
    result = run(Volume(array, volume.affine, modality="MR", axis=Axis(AxisKind.TIME, (0.0, 2.0), "s")))
    assert [m.id for m in result.report.reasons] == ["guard.four_dimensional", "help.single_image", "help.t1_series"]


def test_an_image_without_a_head_is_refused_with_its_measurements_in_the_provenance() -> None:
    result = run(smooth())
    assert result.report.outcome is Outcome.REFUSED
    assert set(result.report.provenance.parameters) == {"guard"}


def test_memory_is_promised_before_work() -> None:
    volume = Volume(np.zeros((176, 240, 256), np.int16), affine(1.0), modality="MR")
    series = series_of(volume)
    assert application.memory_bytes({"t1": series}) <= 500e6 + 12 * series.float32_bytes


@pytest.fixture(scope="module")
def head(data_root: Path) -> tuple[heads.SimulatedHead, Result]:
    from vesalius import io

    with io.scan(data_root / "synthseg_label_maps" / "training_seg_05.nii.gz") as found:
        volume = io.load(found.studies[0].series[0])
    array = volume.array[::2, ::2, ::2].astype(np.int16)
    matrix = volume.affine.copy()
    matrix[:3, :3] *= 2
    segments = {int(v): Segment(str(v), Code(str(v), "99V", str(v)), (0, 0, 0)) for v in np.unique(array) if v}
    simulated = heads.simulate_head(Mask(array, matrix, segments=segments))
    return simulated, run(simulated.image, Context(threads=1, keep_intermediate=True))


@pytest.mark.slow
def test_a_head_is_measured(head: tuple[heads.SimulatedHead, Result]) -> None:
    simulated, result = head
    report = result.report
    assert report.outcome is Outcome.COMPLETED
    values = {m.name: m.value for m in report.measurements}
    truth = simulated.tissue.array[simulated.intracranial.array > 0]
    voxel_ml = simulated.tissue.voxel_volume_mm3 / 1000
    for label, name in ((1, "volume.gray_matter"), (2, "volume.white_matter")):
        assert values[name] == pytest.approx(np.count_nonzero(truth == label) * voxel_ml, rel=0.08)
    assert values["volume.intracranial"] == pytest.approx(len(truth) * voxel_ml, rel=0.06)
    parenchyma = values["volume.gray_matter"] + values["volume.white_matter"]
    assert values["fraction.brain_parenchymal"] == pytest.approx(parenchyma / values["volume.intracranial"], abs=1e-6)
    assert abs(values["asymmetry.gray_matter"]) < 8


@pytest.mark.slow
def test_sides_masks_and_codes(head: tuple[heads.SimulatedHead, Result]) -> None:
    simulated, result = head
    by_name = {m.name: m for m in result.report.measurements}
    for tissue in ("gray_matter", "white_matter"):
        left, right = (by_name[f"volume.{tissue}.{side}"] for side in ("left", "right"))
        assert (left.laterality, right.laterality) == ("L", "R")
        assert left.value + right.value == pytest.approx(by_name[f"volume.{tissue}"].value, rel=0.01)
        asymmetry = 200 * (left.value - right.value) / (left.value + right.value)
        assert by_name[f"asymmetry.{tissue}"].value == pytest.approx(asymmetry, abs=0.05)
        assert not left.headline
    assert set(result.masks) == {"tissue", "brain", "intracranial"}
    assert all(mask.same_grid(simulated.image) for mask in result.masks.values())
    names = {label: (s.name, s.code.value) for label, s in result.masks["tissue"].segments.items()}
    assert names == {1: ("gray_matter", "389081007"), 2: ("white_matter", "389080008"), 3: ("csf", "65216001")}
    assert all(len(m.code.value) <= 16 for m in result.report.measurements)


@pytest.mark.slow
def test_the_report_speaks_both_languages(head: tuple[heads.SimulatedHead, Result]) -> None:
    _, result = head
    report = result.report
    messages = [f.message for f in report.findings] + [q.message for q in report.quality]
    messages += [*report.methods, *report.limits]
    for language in ("en", "zh"):
        for message in messages:
            assert "{" not in say(message, language, application.catalogue)
            assert message.id in application.catalogue[language]
    assert {q.name for q in report.quality} >= {"noise", "contrast", "resolution", "coverage", "domain.fit"}
    assert all(q.mark in Mark for q in report.quality)


@pytest.mark.slow
def test_intermediate_results_are_kept_when_asked_for(head: tuple[heads.SimulatedHead, Result], tmp_path: Path) -> None:
    import SimpleITK

    _, result = head
    kept = result.intermediate
    assert {k for k in kept if k.startswith("probability_")} == {
        "probability_gray_matter", "probability_white_matter", "probability_csf"}  # fmt: skip
    assert {"t1_bias_corrected", "bias_field", "brain_mask", "template_displacement"} <= set(kept)
    path = tmp_path / "t1_to_template_affine.tfm"
    path.write_text(kept["t1_to_template_affine.tfm"])
    transform = SimpleITK.ReadTransform(str(path))
    centre = np.array(transform.TransformPoint((0.0, 0.0, 0.0)))
    inside = result.masks["brain"].world_to_index(centre)
    assert result.masks["brain"].array[tuple(np.round(inside).astype(int))] == 1


@pytest.mark.slow
def test_the_image_of_a_stripped_head_has_no_intracranial_volume(head: tuple[heads.SimulatedHead, Result]) -> None:
    simulated, _ = head
    image = replace(simulated.image, array=np.where(simulated.tissue.array > 0, simulated.image.array, 0))
    result = run(image)
    by_name = {m.name: m for m in result.report.measurements}
    for name in ("volume.intracranial", "fraction.brain_parenchymal"):
        assert by_name[name].value is None
        assert by_name[name].reason is not None
    counts = np.bincount(simulated.tissue.array[simulated.intracranial.array > 0], minlength=4)
    share = (counts[1] + counts[2]) / counts.sum()
    assert by_name["fraction.parenchyma_of_stripped"].value == pytest.approx(share, abs=0.05)
    assert "intracranial" not in result.masks
    assert result.report.findings[0].message.id == "finding.stripped"


@pytest.mark.slow
def test_two_runs_are_the_same(head: tuple[heads.SimulatedHead, Result]) -> None:
    simulated, first = head
    second = run(simulated.image, Context(threads=2))
    assert second.masks["tissue"].sha256 == first.masks["tissue"].sha256
    assert second.report.measurements == first.report.measurements


@pytest.mark.slow
def test_the_real_study_is_read_and_flagged(data_root: Path) -> None:
    from vesalius import io

    with io.scan(data_root / "brain_mri_dicom_udacity") as found:
        case = Case(found.studies[0])
        selection = application.select(case)
        result = application.run(case, selection, {"t1": io.load(selection.chosen["t1"])}, Context(threads=1))
        others = [application.select(case, s.uid) for s, _ in selection.left_out]
        refused = [application.run(case, s, {"t1": io.load(s.chosen["t1"])}, Context(threads=1)) for s in others]
    assert result.report.outcome is Outcome.COMPLETED
    marks = {q.name: q.mark for q in result.report.quality}
    assert marks["enhancement"] is Mark.CAUTION
    assert marks["resolution"] is Mark.POOR
    assert {"limit.thick", "limit.enhanced"} <= {m.id for m in result.report.limits}
    assert all(r.report.outcome is Outcome.REFUSED for r in refused)


def test_a_new_instance_is_the_same_application() -> None:
    assert BrainMri().catalogue == application.catalogue
