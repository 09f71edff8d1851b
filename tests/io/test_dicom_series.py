"""Mixed folders: patients, studies, series and consistent stacks; fourth axes; enhanced multi-frame objects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from make_dicom import PATIENT_NAME, along_z, enhanced, image, stack, write
from pydicom.uid import RLELossless, generate_uid

from vesalius.core import AxisKind, Verdict
from vesalius.core.errors import ContradictionError, NothingFoundError, VesaliusError
from vesalius.io import identity, load, scan

POSITIONS = along_z([0, 2, 4])


def test_echoes_become_the_fourth_axis(tmp_path: Path) -> None:
    stack(tmp_path, POSITIONS * 2, EchoTime=[30.0] * 3 + [10.0] * 3)
    (series,) = scan(tmp_path).studies[0].series
    assert series.axis is not None
    assert series.axis.kind is AxisKind.ECHO
    assert series.axis.values == (10.0, 30.0)
    volume = load(series)
    assert volume.array.shape == (3, 6, 5, 2)
    assert volume.array[:, 0, 0, 0].tolist() == [300, 400, 500]
    assert volume.array[:, 0, 0, 1].tolist() == [0, 100, 200]


def test_times_become_the_fourth_axis_in_their_order(tmp_path: Path) -> None:
    clock = [f"1200{second:02d}.5" for second in (20, 21, 22, 0, 1, 2, 10, 11, 12)]
    stack(tmp_path, POSITIONS * 3, AcquisitionTime=clock, AcquisitionDate="20240101")
    (series,) = scan(tmp_path).studies[0].series
    assert series.axis is not None
    assert series.axis.kind is AxisKind.TIME
    assert series.axis.values == (0.0, 10.0, 20.0)
    assert series.axis.unit == "s"
    assert load(series).array[:, 0, 0, :].tolist() == [[300, 600, 0], [400, 700, 100], [500, 800, 200]]


def test_b_values_become_the_fourth_axis(tmp_path: Path) -> None:
    stack(tmp_path, POSITIONS * 2, DiffusionBValue=[1000.0] * 3 + [0.0] * 3)
    (series,) = scan(tmp_path).studies[0].series
    assert series.axis is not None
    assert (series.axis.kind, series.axis.values, series.axis.unit) == (AxisKind.B_VALUE, (0.0, 1000.0), "s/mm2")


def test_echo_and_time_together_split_by_echo(tmp_path: Path) -> None:
    stack(tmp_path, POSITIONS * 4, EchoTime=[10.0] * 6 + [30.0] * 6, TemporalPositionIdentifier=([1] * 3 + [2] * 3) * 2)
    series = scan(tmp_path).studies[0].series
    assert [one.components for one in series] == [2, 2]
    assert {one.axis.kind for one in series if one.axis} == {AxisKind.TIME}
    assert all("io.dicom.split" in [p.id for p in one.problems] for one in series)


def test_magnitude_and_phase_are_apart(tmp_path: Path) -> None:
    kinds = [["ORIGINAL", "PRIMARY", "M"]] * 3 + [["ORIGINAL", "PRIMARY", "P"]] * 3
    stack(tmp_path, POSITIONS * 2, ImageType=kinds)
    assert [one.geometry.verdict for one in scan(tmp_path).studies[0].series] == [Verdict.REGULAR] * 2


def test_a_localizer_in_the_series_is_apart(tmp_path: Path) -> None:
    kinds = [["ORIGINAL", "PRIMARY", "AXIAL"]] * 3 + [["ORIGINAL", "PRIMARY", "LOCALIZER"]]
    stack(tmp_path, [*POSITIONS, (-10.0, 20.0, 77.0)], ImageType=kinds)
    assert sorted(one.geometry.shape[0] for one in scan(tmp_path).studies[0].series) == [1, 3]


def test_sizes_and_frames_of_reference_are_apart(tmp_path: Path) -> None:
    stack(tmp_path / "a", POSITIONS)
    stack(tmp_path / "b", POSITIONS, shape=(7, 7))
    stack(tmp_path / "c", POSITIONS, FrameOfReferenceUID=generate_uid())
    (study,) = scan(tmp_path).studies
    assert len(study.series) == 3
    assert all(one.geometry.usable for one in study.series)


def test_a_frame_of_reference_per_file_is_ignored_and_said(tmp_path: Path) -> None:
    stack(tmp_path, POSITIONS, FrameOfReferenceUID=[generate_uid() for _ in POSITIONS])
    (series,) = scan(tmp_path).studies[0].series
    assert series.geometry.verdict is Verdict.REGULAR
    assert "io.dicom.frame_of_reference_varies" in [problem.id for problem in series.problems]


def test_patients_and_studies_of_one_folder(tmp_path: Path) -> None:
    stack(tmp_path / "x" / "y", POSITIONS)
    stack(tmp_path / "z", POSITIONS, PatientID="other", StudyInstanceUID=generate_uid(), SeriesInstanceUID="1.2.9")
    found = scan(tmp_path)
    assert len(found.studies) == 2
    assert len({study.key for study in found.studies}) == 2
    assert all(len(study.key) == 12 for study in found.studies)


def test_two_patients_under_one_study_uid_fail_alone(tmp_path: Path) -> None:
    stack(tmp_path / "a", POSITIONS)
    stack(tmp_path / "b", POSITIONS, PatientID="OTHER-ID-5", PatientName="Someone^Else", SeriesInstanceUID="1.2.7")
    stack(tmp_path / "c", POSITIONS, StudyInstanceUID=generate_uid(), SeriesInstanceUID="1.2.8")
    found = scan(tmp_path)
    assert len(found.studies) == 1
    (failure,) = found.failed
    assert isinstance(failure.error, ContradictionError)
    assert "OTHER-ID-5" not in str(failure.error)
    assert "Someone" not in str(failure.error)


def test_one_id_for_two_people_is_a_contradiction(tmp_path: Path) -> None:
    stack(tmp_path / "a", POSITIONS)
    stack(tmp_path / "b", POSITIONS, PatientName="Someone^Else", PatientBirthDate="20010101", SeriesInstanceUID="1.2.7")
    assert isinstance(scan(tmp_path).failed[0].error, ContradictionError)


def test_a_changed_name_alone_is_none(tmp_path: Path) -> None:
    stack(tmp_path / "a", POSITIONS)
    stack(tmp_path / "b", POSITIONS, PatientName="Planted^Married", SeriesInstanceUID="1.2.7")
    assert len(scan(tmp_path).studies) == 1


def test_copies_are_taken_once(tmp_path: Path) -> None:
    paths = stack(tmp_path / "a", POSITIONS)
    (tmp_path / "b").mkdir()
    for path in paths:
        (tmp_path / "b" / path.name).write_bytes(path.read_bytes())
    (series,) = scan(tmp_path).studies[0].series
    assert series.geometry.verdict is Verdict.REGULAR
    assert series.geometry.shape[0] == 3
    assert [problem.id for problem in series.problems] == ["io.dicom.stored_twice"]
    assert series.problems[0].parameters["count"] == 3


def test_a_copy_in_another_encoding_is_taken_once(tmp_path: Path) -> None:
    import pydicom

    paths = stack(tmp_path, POSITIONS, shape=(64, 64))
    data = pydicom.dcmread(paths[1])
    data.compress(RLELossless, generate_instance_uid=False)
    data.save_as(tmp_path / "zcopy.dcm")
    (series,) = scan(tmp_path).studies[0].series
    assert series.geometry.verdict is Verdict.REGULAR
    assert "io.dicom.stored_twice" in [problem.id for problem in series.problems]


def test_two_images_under_one_uid_are_a_contradiction(tmp_path: Path) -> None:
    stack(tmp_path, POSITIONS, SOPInstanceUID=["1.2.3.1", "1.2.3.2", "1.2.3.2"])
    assert isinstance(scan(tmp_path).failed[0].error, ContradictionError)


def test_a_damaged_slice_spoils_its_series_only(tmp_path: Path) -> None:
    paths = stack(tmp_path / "a", POSITIONS)
    stack(tmp_path / "b", POSITIONS, SeriesInstanceUID="1.2.99", SeriesNumber=9)
    paths[0].write_bytes(paths[0].read_bytes()[:-20])
    (study,) = scan(tmp_path).studies
    bad, good = study.series
    assert load(good).shape == (3, 6, 5)
    assert bad.problems[0].id == "io.dicom.damaged"
    assert paths[0].name in str(bad.problems[0].parameters["file"])
    with pytest.raises(VesaliusError, match="cut short") as problem:
        load(bad)
    assert paths[0].name in str(problem.value)


def test_objects_without_image_are_left_out_with_a_reason(tmp_path: Path) -> None:
    from pydicom.data import get_testdata_file

    stack(tmp_path, POSITIONS)
    report = Path(get_testdata_file("reportsi.dcm")).read_bytes()
    (tmp_path / "report.dcm").write_bytes(report)
    found = scan(tmp_path)
    assert found.failed == ()
    (study,) = found.studies
    (left,) = study.left_out
    assert left[0] == "report.dcm"
    assert left[1].parameters["kind"] == "Basic Text SR Storage"
    assert found.objects[0][1].geometry.verdict is Verdict.NO_IMAGE
    (failure,) = scan(tmp_path / "report.dcm").failed
    assert isinstance(failure.error, NothingFoundError)
    assert "Basic Text SR Storage" in failure.error.found


def test_no_identity_in_descriptors_errors_or_volumes(tmp_path: Path) -> None:
    stack(tmp_path, along_z([0, 2, 4, 10]))
    found = scan(tmp_path)
    (series,) = found.studies[0].series
    everything = repr((found, found.studies, series, series.attributes, series.geometry, series.problems))
    with pytest.raises(VesaliusError) as problem:
        load(series)
    everything += str(problem.value)
    for secret in ("Planted", "PLANTED-ID-77", "19531224", PATIENT_NAME):
        assert secret not in everything
    person = identity(found.studies[0])
    assert (person.patient_id, person.birth_date) == ("PLANTED-ID-77", "19531224")
    assert "Planted" not in repr(person)


def frames_of(*, times: int, slices: int) -> tuple[np.ndarray, list[dict[str, object]]]:
    """Return stored values 1000 time + 100 slice and their groups, in random order."""
    pairs = [(t, s) for t in range(times) for s in range(slices)]
    order = np.random.default_rng(3).permutation(len(pairs))
    array = np.zeros((len(pairs), 6, 5), np.uint16)
    groups: list[dict[str, object]] = []
    for frame, which in enumerate(order):
        t, s = pairs[which]
        array[frame] = 1000 * t + 100 * s + np.arange(5)
        groups.append({"position": (1.0, 2.0, 3.0 * s), "temporal": t + 1})
    return array, groups


def test_an_enhanced_object_is_sorted_by_its_groups(tmp_path: Path) -> None:
    array, groups = frames_of(times=3, slices=4)
    write(enhanced(array, groups), tmp_path / "enhanced.dcm")
    (series,) = scan(tmp_path).studies[0].series
    assert series.geometry.shape == (4, 6, 5)
    assert series.geometry.spacing_mm == pytest.approx((3.0, 0.5, 0.75))
    assert series.axis is not None
    assert series.axis.kind is AxisKind.TIME
    volume = load(series)
    expected = np.array([[[[1000 * t + 100 * s + c for t in range(3)] for c in range(5)]] for s in range(4)])
    assert np.array_equal(volume.array[:, :1], expected)
    assert volume.index_to_world((2, 1, 3)) == pytest.approx((1 + 3 * 0.75, 2 + 0.5, 6.0))


def test_an_enhanced_object_of_two_stacks(tmp_path: Path) -> None:
    array = np.arange(6, dtype=np.uint16)[:, None, None] * np.ones((1, 4, 4), np.uint16)
    groups = [{"position": (0, 0, 2.0 * i), "stack": "1"} for i in range(3)]
    groups += [{"position": (0, 0, 1.0 + 2.0 * i), "stack": "2"} for i in range(3)]
    write(enhanced(array, groups), tmp_path / "two.dcm")
    series = scan(tmp_path).studies[0].series
    assert [load(one).array[:, 0, 0].tolist() for one in series] in ([[0, 1, 2], [3, 4, 5]], [[3, 4, 5], [0, 1, 2]])


def test_an_enhanced_object_rescales_frame_by_frame(tmp_path: Path) -> None:
    array = np.full((3, 4, 4), 10, np.uint16)
    groups = [{"position": (0, 0, 2.0 * i), "slope": 1.5 + i, "intercept": -1.0} for i in range(3)]
    write(enhanced(array, groups), tmp_path / "scaled.dcm")
    (series,) = scan(tmp_path).studies[0].series
    volume = load(series)
    assert series.dtype == "float32"
    assert volume.array[:, 0, 0].tolist() == [14.0, 24.0, 34.0]


def test_enhanced_files_of_one_time_each(tmp_path: Path) -> None:
    for t in range(2):
        array = np.array([1000 * t + 100 * s for s in range(3)], np.uint16)[:, None, None] * np.ones(
            (1, 4, 4), np.uint16
        )
        groups = [{"position": (0, 0, 2.0 * s), "temporal": t + 1} for s in range(3)]
        write(enhanced(array, groups), tmp_path / f"{5 - t}.dcm")
    (series,) = scan(tmp_path).studies[0].series
    assert load(series).array[:, 0, 0, :].tolist() == [[0, 1000], [100, 1100], [200, 1200]]


def test_flat_pictures_of_one_series_are_not_stacked(tmp_path: Path) -> None:
    for index in range(3):
        data = image(np.full((4, 4), index, np.uint16), Modality="DX", ImagePositionPatient=None)
        write(data, tmp_path / f"{index}.dcm")
    assert [one.geometry.shape for one in scan(tmp_path).studies[0].series] == [(1, 4, 4)] * 3


def test_a_slice_without_frame_of_reference_stays_with_the_others(tmp_path: Path) -> None:
    stack(tmp_path, along_z([0, 2, 4, 6]), FrameOfReferenceUID=["1.2.5", None, "1.2.5", "1.2.5"])
    (series,) = scan(tmp_path).studies[0].series
    assert series.geometry.shape[0] == 4


def test_diffusion_directions_of_an_enhanced_object(tmp_path: Path) -> None:
    b_values = (0.0, 700.0, 1400.0)
    array = np.stack([np.full((4, 4), 10 * b + s, np.uint16) for b in range(3) for s in range(2)])
    groups = [{"position": (0, 0, 2.0 * s), "b_value": b_values[b]} for b in range(3) for s in range(2)]
    write(enhanced(array, groups), tmp_path / "dwi.dcm")
    (series,) = scan(tmp_path).studies[0].series
    assert series.axis is not None
    assert (series.axis.kind, series.axis.values) == (AxisKind.B_VALUE, b_values)
    assert load(series).array[:, 0, 0, :].tolist() == [[0, 10, 20], [1, 11, 21]]


def test_a_cine_with_other_trigger_times_per_slice(tmp_path: Path) -> None:
    triggers = [[10.0, 40.0, 70.0], [12.0, 43.0, 71.0]]
    array = np.stack([np.full((4, 4), 10 * s + t, np.uint16) for t in range(3) for s in range(2)])
    groups = [{"position": (0, 0, 2.0 * s), "trigger": triggers[s][t]} for t in range(3) for s in range(2)]
    write(enhanced(array, groups), tmp_path / "cine.dcm")
    (series,) = scan(tmp_path).studies[0].series
    assert series.axis is not None
    assert (series.axis.kind, series.axis.values, series.axis.unit) == (AxisKind.TIME, (11.0, 41.5, 70.5), "ms")
    assert load(series).array[:, 0, 0, :].tolist() == [[0, 1, 2], [10, 11, 12]]


def test_every_decoder_gives_the_same_voxels(tmp_path: Path) -> None:
    """What pydicom can compress here, read back; the other encodings are compared on real files."""
    import pydicom
    from pydicom.uid import JPEGLSLossless

    rng = np.random.default_rng(4)
    truth = rng.integers(-900, 2000, (32, 40)).astype(np.int16)
    plain = write(image(truth), tmp_path / "plain.dcm")
    for name, syntax in (("rle", RLELossless), ("jls", JPEGLSLossless)):
        data = pydicom.dcmread(plain)
        data.compress(syntax)
        (tmp_path / name).mkdir()
        data.save_as(tmp_path / name / "one.dcm")
        (series,) = scan(tmp_path / name).studies[0].series
        assert np.array_equal(load(series).array[0], truth), name
