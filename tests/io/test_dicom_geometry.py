"""Slices become grids by position and orientation; what is no grid is named slice by slice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from make_dicom import AXIAL, along_z, image, stack, write
from pydicom.uid import generate_uid

from vesalius.core import Frame, Series, Spacing, Verdict
from vesalius.core.errors import IrregularGeometryError
from vesalius.io import input_hash, load, load_slices, scan, source_headers


def only(path: Path) -> Series:
    """Return the one series of the one study below a path."""
    found = scan(path)
    assert found.failed == ()
    (study,) = found.studies
    (series,) = study.series
    return series


def test_slices_are_sorted_by_position_whatever_their_names(tmp_path: Path) -> None:
    stack(tmp_path, along_z([0, 2.5, 5, 7.5, 10]))
    series = only(tmp_path)
    assert series.geometry.verdict is Verdict.REGULAR
    assert series.geometry.spacing_mm == pytest.approx((2.5, 0.5, 0.75))
    volume = load(series)
    assert volume.array[:, 0, 0].tolist() == [0, 100, 200, 300, 400]
    assert volume.array[3, 2, 4] == 324
    assert volume.index_to_world((3, 2, 4)) == pytest.approx((-10 + 4 * 0.75, 20 + 2 * 0.5, 7.5), abs=1e-9)
    assert volume.orientation == "SPL"
    assert volume.frame is Frame.PATIENT
    assert volume.spacing is Spacing.CALIBRATED


def test_descending_positions_give_the_same_volume(tmp_path: Path) -> None:
    stack(tmp_path / "up", along_z([0, 2, 4]))
    stack(tmp_path / "down", along_z([4, 2, 0]), SeriesInstanceUID=generate_uid())
    one, other = load(only(tmp_path / "up")), load(only(tmp_path / "down"))
    assert one.same_grid(other)
    assert other.array[:, 0, 0].tolist() == [200, 100, 0]


def test_oblique_slices_keep_their_world_positions(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    basis, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    row, column = basis[:, 0], basis[:, 1]
    normal = np.cross(row, column)
    origin = np.array([12.0, -34.0, 56.0])
    positions = [tuple(np.round(origin + i * 1.7 * normal, 6)) for i in range(6)]
    orientation = [float(f"{x:.10f}") for x in (*row, *column)]
    stack(tmp_path, positions, ImageOrientationPatient=[orientation] * 6)
    volume = load(only(tmp_path))
    for index in [(0, 0, 0), (5, 5, 4), (2, 1, 3)]:
        s, r, c = index
        truth = np.array(positions[s]) + 0.5 * r * column + 0.75 * c * row
        assert volume.index_to_world(index) == pytest.approx(truth, abs=0.001)
        assert volume.array[index] == 100 * s + 10 * r + c


@pytest.mark.parametrize("degrees", [-20, 5, 15])
def test_a_tilted_gantry_is_an_exact_shear(tmp_path: Path, degrees: float) -> None:
    angle = np.radians(degrees)
    orientation = [1.0, 0.0, 0.0, 0.0, float(np.cos(angle)), float(np.sin(angle))]
    stack(tmp_path, along_z(range(0, 20, 4)), ImageOrientationPatient=[orientation] * 5)
    series = only(tmp_path)
    assert series.geometry.verdict is Verdict.SHEARED
    volume = load(series)
    assert volume.is_sheared
    for index in [(0, 0, 0), (4, 5, 4), (4, 0, 0)]:
        s, r, c = index
        truth = np.array([-10.0, 20.0, 4.0 * s]) + 0.5 * r * np.array(orientation[3:]) + 0.75 * c * np.array([1, 0, 0])
        assert volume.index_to_world(index) == pytest.approx(truth, abs=1e-6)


def refused(path: Path) -> str:
    series = only(path)
    with pytest.raises(IrregularGeometryError) as problem:
        load(series)
    assert "--geometry regrid" in problem.value.fix
    return f"{series.geometry.verdict} {problem.value.found}"


def test_missing_slices_are_named(tmp_path: Path) -> None:
    stack(tmp_path, along_z([0, 2, 4, 10, 12]))
    text = refused(tmp_path)
    assert text.startswith("missing_slices")
    assert "count 2" in text
    assert "position 6.0" in text
    assert "at 4.000 mm" in text
    assert "at 10.000 mm" in text
    assert only(tmp_path).geometry.shape[0] == 7


def test_duplicate_slices_are_named(tmp_path: Path) -> None:
    paths = stack(tmp_path, along_z([0, 2, 4, 6]))
    extra = image(np.full((6, 5), 9, np.uint16), ImagePositionPatient=[-10.0, 20.0, 4.0], InstanceNumber=77)
    write(extra, tmp_path / "again.dcm")
    text = refused(tmp_path)
    assert text.startswith("duplicate_slices")
    assert "again.dcm (instance 77) at 4.000 mm" in text
    assert paths[2].name in text


def test_unequal_distances_are_named(tmp_path: Path) -> None:
    stack(tmp_path, along_z([0, 2, 4, 6.7, 8.7]))
    text = refused(tmp_path)
    assert text.startswith("unequal_spacing")
    assert "gap 2.7" in text
    assert "usual 2.0" in text


def test_a_slice_shifted_in_its_plane_is_named(tmp_path: Path) -> None:
    positions = along_z([0, 2, 4, 6, 8])
    positions[2] = (-10.0, 23.0, 4.0)
    stack(tmp_path, positions)
    text = refused(tmp_path)
    assert text.startswith("unequal_spacing")
    assert "at 4.000 mm" in text


def test_mixed_orientation_is_named(tmp_path: Path) -> None:
    tilted = [1.0, 0.0, 0.0, 0.0, 0.9962, 0.0872]
    orientations = [list(AXIAL)] * 6
    orientations[4] = tilted
    paths = stack(tmp_path, along_z(range(0, 12, 2)), ImageOrientationPatient=orientations)
    text = refused(tmp_path)
    assert text.startswith("mixed_orientation")
    assert paths[4].name in text
    assert paths[3].name not in text


def test_a_stray_at_the_end_is_not_dropped_silently(tmp_path: Path) -> None:
    orientations = [list(AXIAL)] * 5 + [[0.0, 1.0, 0.0, 0.0, 0.0, -1.0]]
    stack(tmp_path, along_z(range(0, 12, 2)), ImageOrientationPatient=orientations)
    assert only(tmp_path).geometry.verdict is Verdict.MIXED_ORIENTATION


def test_three_planes_of_a_localizer_become_three_stacks(tmp_path: Path) -> None:
    planes = [list(AXIAL), [0.0, 1.0, 0.0, 0.0, 0.0, -1.0], [1.0, 0.0, 0.0, 0.0, 0.0, -1.0]]
    orientations = [plane for plane in planes for _ in range(3)]
    positions = (
        [(0, 0, 5.0 * i) for i in range(3)] + [(5.0 * i, 0, 0) for i in range(3)] + [(0, 5.0 * i, 0) for i in range(3)]
    )
    stack(tmp_path, positions, ImageOrientationPatient=orientations, shape=(5, 5))
    (study,) = scan(tmp_path).studies
    assert len(study.series) == 3
    assert {series.geometry.verdict for series in study.series} == {Verdict.REGULAR}
    assert sorted(series.geometry.orientation for series in study.series) == sorted(["SPL", "RIP", "PIL"])
    assert [series.key for series in study.series] == [study.series[0].uid + end for end in ("", "#2", "#3")]


def test_rounded_positions_are_regular(tmp_path: Path) -> None:
    stack(tmp_path, along_z([0, 3.3, 6.7, 10.0, 13.3, 16.7, 20.0]))
    series = only(tmp_path)
    assert series.geometry.verdict is Verdict.REGULAR
    assert series.geometry.spacing_mm[0] == pytest.approx(10 / 3, abs=1e-6)


def test_two_slices_and_one(tmp_path: Path) -> None:
    stack(tmp_path / "two", along_z([0, 4.5]))
    two = only(tmp_path / "two")
    assert two.geometry.verdict is Verdict.REGULAR
    assert two.geometry.spacing_mm[0] == pytest.approx(4.5)
    stack(tmp_path / "one", along_z([0]))
    one = only(tmp_path / "one")
    assert one.geometry.spacing_mm[0] == pytest.approx(2.0)
    assert one.geometry.slice_thickness_mm == 2.0


def test_the_thickness_of_a_single_slice_is_never_guessed(tmp_path: Path) -> None:
    stack(tmp_path, along_z([0]), SliceThickness=None)
    series = only(tmp_path)
    assert series.geometry.spacing is Spacing.UNKNOWN
    assert [problem.id for problem in series.problems] == ["io.dicom.thickness_unknown"]


def test_slices_without_position_are_not_put_in_an_order(tmp_path: Path) -> None:
    for index in range(3):
        write(image(np.full((4, 4), index, np.uint16), ImagePositionPatient=None), tmp_path / f"{index}.dcm")
    series = only(tmp_path)
    assert series.geometry.verdict is Verdict.UNKNOWN
    with pytest.raises(IrregularGeometryError, match="no position"):
        load(series)


def test_invalid_orientation_is_a_flat_picture(tmp_path: Path) -> None:
    write(image(np.zeros((4, 4), np.uint16), ImageOrientationPatient=[1, 0, 0, 1, 0, 0]), tmp_path / "a.dcm")
    series = only(tmp_path)
    assert series.geometry.frame is Frame.IMAGE
    assert "io.dicom.bad_orientation" in [problem.id for problem in series.problems]


def test_slices_of_an_irregular_stack_keep_their_own_places(tmp_path: Path) -> None:
    stack(tmp_path, along_z([0, 2, 4, 10, 12]))
    slices = load_slices(only(tmp_path))
    assert [float(volume.affine[2, 3]) for volume in slices] == [0, 2, 4, 10, 12]
    assert [int(volume.array[0, 0, 0]) for volume in slices] == [0, 100, 200, 300, 400]
    assert all(volume.shape == (1, 6, 5) for volume in slices)
    assert all(volume.spacing_mm == pytest.approx((2.0, 0.5, 0.75)) for volume in slices)


def test_headers_and_hash_follow_the_stack(tmp_path: Path) -> None:
    stack(tmp_path, along_z([0, 2, 4, 6]))
    series = only(tmp_path)
    headers = source_headers(series)
    assert [float(header.ImagePositionPatient[2]) for header in headers] == [0, 2, 4, 6]
    assert all("PixelData" not in header for header in headers)
    assert headers[0].file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    digest = input_hash(series)
    first = series.instances[0].path
    first.write_bytes(first.read_bytes()[:-1] + b"\x07")
    assert input_hash(series) != digest
