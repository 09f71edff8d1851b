"""The marker's world position through DICOM images and DICOM SEG, judged by pydicom, SimpleITK and highdicom.

Tilted stacks: the truth is position and orientation per slice by pydicom, frame by frame for the segmentation. At 15
degrees SimpleITK straightens the stack, and highdicom's volumes need an orthogonal affine.
"""

from __future__ import annotations

import uuid
import warnings
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK
from geometry_cases import CODES, KINDS, Torture, torture
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from vesalius import io
from vesalius.core import Code, Mask, Segment, Volume
from vesalius.core.study import Verdict
from vesalius.imaging import spatial
from vesalius.io.dicom import compose, derive, seg
from vesalius.phantoms.geometry import brightest_mm, marker_centre_mm

EXACT_MM = 0.01
MARKER = 2000
SEGMENT = {7: Segment("marker", Code("marker", "99VESALIUS", "Marker"), (230, 159, 0))}


def uid(name: str) -> str:
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, name).int}"


def written(volume: Volume, folder: Path) -> list[Path]:
    """Write a volume as DICOM; file names tell nothing about the order."""
    paths = []
    for name, data in derive.to_dicom(volume, uid=uid, headers=None, description="torture"):
        paths.append(folder / f"{uid(name)[-12:]}.dcm")
        paths[-1].write_bytes(compose.to_bytes(data))
    return paths


def loaded(folder: Path) -> tuple[Volume, list[Dataset], Verdict]:
    with io.scan(folder) as scan:
        ((series,),) = [study.series for study in scan.studies]
        return io.load(series), io.source_headers(series), series.geometry.verdict


def at(orientation: NDArray[np.float64], spacing: NDArray[np.float64], corner: NDArray[np.float64], spot) -> NDArray:
    """Return the LPS mm of pixel (row, column) by PS3.3 C.7.6.2.1.1."""
    return np.asarray(corner + orientation[:3] * spacing[1] * spot[1] + orientation[3:] * spacing[0] * spot[0])


def by_pydicom(paths: list[Path]) -> NDArray[np.float64]:
    for path in paths:
        data = pydicom.dcmread(path)
        spots = np.argwhere(data.pixel_array >= MARKER)
        if len(spots):
            parts = (data.ImageOrientationPatient, data.PixelSpacing, data.ImagePositionPatient)
            return at(*(np.array(part, dtype=float) for part in parts), spots[0])
    raise AssertionError("no marker")


def by_simpleitk(folder: Path) -> NDArray[np.float64]:
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    k, j, i = (int(n) for n in np.argwhere(SimpleITK.GetArrayViewFromImage(image) >= MARKER)[0])
    return np.array(image.TransformIndexToPhysicalPoint((i, j, k)))


def by_highdicom(paths: list[Path]) -> NDArray[np.float64]:
    volume = highdicom.get_volume_from_series([pydicom.dcmread(path) for path in paths])
    return np.asarray(volume.map_indices_to_reference(np.argwhere(volume.array >= MARKER)[:1])[0])


def segmentation(case: Torture, volume: Volume, headers: list[Dataset], folder: Path) -> Path:
    mask = Mask((volume.array >= MARKER).astype(np.uint8) * 7, volume.affine, segments=SEGMENT)
    path = folder / "seg.dcm"
    data = seg.from_mask(mask, headers, name="marker", origin=compose.Origin(uid))
    path.write_bytes(compose.to_bytes(data))
    return path


def segment_by_pydicom(path: Path) -> NDArray[np.float64]:
    data = pydicom.dcmread(path)
    shared = data.SharedFunctionalGroupsSequence[0]
    orientation = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, dtype=float)
    spacing = np.array(shared.PixelMeasuresSequence[0].PixelSpacing, dtype=float)
    for frame, group in zip(data.pixel_array, data.PerFrameFunctionalGroupsSequence, strict=True):
        spots = np.argwhere(frame)
        if len(spots):
            corner = np.array(group.PlanePositionSequence[0].ImagePositionPatient, dtype=float)
            return at(orientation, spacing, corner, spots[0])
    raise AssertionError("no marker")


def segment_by_highdicom(path: Path) -> NDArray[np.float64]:
    volume = highdicom.seg.segread(path).get_volume(combine_segments=True)
    return np.asarray(volume.map_indices_to_reference(np.argwhere(volume.array)[:1])[0])


def apart(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(one - other))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("code", CODES)
def test_marker_stays_through_dicom_and_seg(kind: str, code: str, tmp_path: Path) -> None:
    case = torture(kind, code)
    images = tmp_path / "images"
    images.mkdir()
    paths = written(case.volume, images)
    back, headers, verdict = loaded(images)
    assert verdict == (Verdict.SHEARED if kind == "tilted" else Verdict.REGULAR)
    assert back.is_sheared == (kind == "tilted")
    assert any(b.same_grid(case.volume, EXACT_MM) for b in (back, back.flip(0)))
    judged = [by_pydicom(paths), brightest_mm(back), brightest_mm(back.reorient("RAS"))]
    mask_path = segmentation(case, back.reorient("LIP"), headers, tmp_path)
    mask = seg.read(mask_path)
    judged += [mask.index_to_world(np.argwhere(mask.array == 7)[0]), segment_by_pydicom(mask_path)]
    if kind != "tilted":
        judged += [by_simpleitk(images), by_highdicom(paths), segment_by_highdicom(mask_path)]
    assert max(apart(place, case.marker_mm) for place in judged) < EXACT_MM
    assert np.count_nonzero(mask.array) == 1
    assert mask.same_grid(back, EXACT_MM)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("code", CODES[::11])
def test_resampling_what_was_read_moves_the_marker_less_than_half_a_voxel(kind: str, code: str, tmp_path: Path) -> None:
    case = torture(kind, code)
    written(case.volume, tmp_path)
    back, _, _ = loaded(tmp_path)
    straight = spatial.to_orthogonal(back, fill=-1000)
    finer = spatial.resample(straight, spacing_mm=1.0)
    assert not finer.is_sheared
    assert apart(marker_centre_mm(finer), marker_centre_mm(case.volume)) < 0.5
    onto = spatial.resample_like(finer, case.volume, fill=-1000)
    assert apart(marker_centre_mm(onto), case.marker_mm) < 0.5 * max(case.volume.spacing_mm)


@pytest.mark.parametrize("code", CODES[::5])
def test_a_gap_is_regridded_and_the_marker_stays(code: str, tmp_path: Path) -> None:
    for kind in KINDS:
        case = torture(kind, code)
        folder = tmp_path / kind
        folder.mkdir()
        paths = written(case.volume, folder)
        paths[3].unlink()
        with io.scan(folder) as scan:
            ((series,),) = [study.series for study in scan.studies]
            assert series.geometry.verdict is Verdict.MISSING_SLICES
            result = spatial.regrid(io.load_slices(series))
        assert any(r.same_grid(case.volume, EXACT_MM) for r in (result, result.flip(0)))
        assert apart(brightest_mm(result), case.marker_mm) < EXACT_MM
        assert result.history[-1].parameters["interpolated"] in ([3], [7])


def test_simpleitk_straightens_a_tilted_stack(tmp_path: Path) -> None:
    """Why pydicom is the judge of tilted stacks."""
    case = torture("tilted")
    written(case.volume, tmp_path)
    with warnings.catch_warnings():
        assert apart(by_simpleitk(tmp_path), case.marker_mm) > 0.1
