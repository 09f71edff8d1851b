"""Stored values become real ones: rescale, tables, inversion, padding, colour, SUV, dose; voxel types and units."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from make_dicom import along_z, image, stack, write
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

from vesalius.core import AxisKind, Series, Spacing, Volume
from vesalius.core.errors import UnsupportedError
from vesalius.io import load, scan
from vesalius.io.dicom.rescale import HU

RAMP = np.arange(30, dtype=np.uint16).reshape(5, 6)


def only(path: Path | str) -> Series:
    (study,) = scan(path).studies
    (series,) = study.series
    return series


def read(folder: Path, array: np.ndarray, **elements: Any) -> Volume:
    """Return the volume of one written image; a sequence may be given as a list of data sets."""
    return load(only(write(image(array, **elements), folder / "one.dcm")))


def operations(volume: Volume) -> list[str]:
    return [step.operation for step in volume.history]


def test_ct_stays_int16_in_hounsfield_units(tmp_path: Path) -> None:
    volume = read(tmp_path, RAMP, Modality="CT", RescaleSlope=1, RescaleIntercept=-1024)
    assert volume.array.dtype == np.int16
    assert volume.unit == HU
    assert np.array_equal(volume.array[0], RAMP.astype(int) - 1024)


def test_ct_with_a_fractional_slope_is_float32(tmp_path: Path) -> None:
    volume = read(tmp_path, RAMP, Modality="CT", RescaleSlope=0.5, RescaleIntercept=-1024)
    assert volume.array.dtype == np.float32
    assert np.array_equal(volume.array[0], RAMP * 0.5 - 1024)


def test_ct_that_does_not_fit_int16_is_float32_and_exact(tmp_path: Path) -> None:
    array = np.array([[0, 65535], [1, 40000]], np.uint16)
    volume = read(tmp_path, array, Modality="CT", RescaleSlope=1, RescaleIntercept=-1024)
    assert volume.array.dtype == np.float32
    assert np.array_equal(volume.array[0], array.astype(int) - 1024)


def test_ct_without_rescale_has_no_unit_and_says_so(tmp_path: Path) -> None:
    series = only(write(image(RAMP, Modality="CT"), tmp_path / "one.dcm"))
    assert "io.dicom.no_rescale" in [problem.id for problem in series.problems]
    assert load(series).unit == ""


def test_rescale_differs_from_slice_to_slice(tmp_path: Path) -> None:
    stack(tmp_path, along_z([0, 2, 4]), Modality="PT", RescaleSlope=[1.0, 2.0, 0.5], RescaleIntercept=0.0)
    volume = load(only(tmp_path))
    assert volume.array.dtype == np.float32
    assert volume.array[:, 0, 1].tolist() == [1.0, 202.0, 100.5]


def test_mr_keeps_its_stored_type(tmp_path: Path) -> None:
    volume = read(tmp_path, RAMP)
    assert volume.array.dtype == np.uint16
    assert operations(volume) == ["io.dicom.read"]


@pytest.mark.parametrize("bits", [10, 12, 13, 15])
def test_unused_bits_are_masked_and_the_sign_extended(tmp_path: Path, bits: int) -> None:
    truth = np.array([[-(1 << (bits - 1)), -1], [0, (1 << (bits - 1)) - 1]])
    raw = (truth & ((1 << bits) - 1)).astype(np.uint16)
    raw[0, 1] |= 1 << 15 if bits < 15 else 0
    volume = read(tmp_path, raw.view(np.int16), BitsStored=bits, HighBit=bits - 1)
    assert volume.array[0].tolist() == truth.tolist()
    unsigned = read(tmp_path, raw | np.uint16(0x8000), BitsStored=bits, HighBit=bits - 1)
    assert unsigned.array[0].tolist() == (truth & ((1 << bits) - 1)).tolist()


def test_monochrome1_is_turned_so_that_larger_is_brighter(tmp_path: Path) -> None:
    flat = {"Modality": "CR", "ImagePositionPatient": None, "PhotometricInterpretation": "MONOCHROME1"}
    volume = read(tmp_path, RAMP, BitsStored=12, HighBit=11, **flat)
    assert np.array_equal(volume.array[0], 4095 - RAMP)
    assert "invert" in operations(volume)
    signed = read(tmp_path, RAMP.astype(np.int16) - 5, **flat)
    assert np.array_equal(signed.array[0], -1 - (RAMP.astype(int) - 5))
    scaled = read(tmp_path, RAMP, BitsStored=12, HighBit=11, RescaleSlope=0.5, RescaleIntercept=10, **flat)
    assert np.array_equal(scaled.array[0], (4095 - RAMP.astype(int)) * 0.5 + 10)


def test_monochrome1_does_not_turn_physical_values(tmp_path: Path) -> None:
    path = write(
        image(RAMP, Modality="CT", RescaleSlope=1, RescaleIntercept=-1024, PhotometricInterpretation="MONOCHROME1"),
        tmp_path / "one.dcm",
    )
    series = only(path)
    assert np.array_equal(load(series).array[0], RAMP.astype(int) - 1024)
    assert "io.dicom.monochrome1_kept" in [problem.id for problem in series.problems]


def test_padding_of_ct_is_air(tmp_path: Path) -> None:
    array = RAMP.astype(np.int16)
    array[0, :2] = -2000
    elements = {"Modality": "CT", "RescaleSlope": 1, "RescaleIntercept": -1024, "PixelPaddingValue": -2000}
    volume = read(tmp_path, array, **elements)
    assert volume.array[0, 0].tolist() == [-1024, -1024, -1022, -1021, -1020, -1019]
    assert "padding" in operations(volume)


def test_a_padding_range_and_a_bright_padding(tmp_path: Path) -> None:
    array = RAMP.copy()
    array[0, :3] = (60000, 60050, 60100)
    volume = read(tmp_path, array, PixelPaddingValue=60000, PixelPaddingRangeLimit=60100)
    assert volume.array[0, 0].tolist() == [3, 3, 3, 3, 4, 5]


def test_dark_padding_of_mr_stays(tmp_path: Path) -> None:
    array = RAMP + np.uint16(7)
    array[0, 0] = 0
    assert read(tmp_path, array, PixelPaddingValue=0).array[0, 0, 0] == 0


def test_a_modality_table_replaces_slope_and_intercept(tmp_path: Path) -> None:
    table = Dataset()
    table.LUTDescriptor = [30, 0, 16]
    table.ModalityLUTType = "US"
    table.LUTData = [(i * i) % 65536 for i in range(30)]
    table["LUTDescriptor"].VR = "US"
    table["LUTData"].VR = "US"
    volume = read(tmp_path, RAMP, ModalityLUTSequence=Items([table]))
    assert np.array_equal(volume.array[0], RAMP.astype(int) ** 2)
    assert "modality_lut" in operations(volume)


def test_colour_is_a_fourth_axis(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    colours = rng.integers(0, 255, (5, 6, 3)).astype(np.uint8)
    flat = {"Modality": "XC", "ImagePositionPatient": None}
    volume = read(tmp_path, colours, **flat)
    assert volume.axis is not None
    assert volume.axis.kind is AxisKind.RGB
    assert np.array_equal(volume.array[0], colours)
    planar = image(colours, PlanarConfiguration=1, **flat)
    planar.PixelData = np.moveaxis(colours, -1, 0).tobytes()
    assert np.array_equal(load(only(write(planar, tmp_path / "one.dcm"))).array[0], colours)


@pytest.mark.parametrize(
    "name", ["SC_ybr_full_422_uncompressed.dcm", "SC_rgb_dcmtk_+eb+cy+n1.dcm", "SC_rgb_dcmtk_+eb+cy+s4.dcm"]
)
def test_luminance_and_chrominance_become_rgb(name: str) -> None:
    array = load(only(get_testdata_file(name))).array[0]
    # The test images of pydicom hold bars of pure colours: red, blue, green and greys.
    assert array[5, 50].tolist() == pytest.approx([254, 0, 0], abs=4)
    assert array[25, 50].tolist() == pytest.approx([0, 255, 0], abs=6)
    assert array[45, 50].tolist() == pytest.approx([0, 0, 254], abs=4)


def test_a_palette_becomes_8_bit_colour() -> None:
    path = get_testdata_file("examples_palette.dcm")
    volume = load(only(path))
    data = pydicom.dcmread(path)
    table = np.frombuffer(data.RedPaletteColorLookupTableData, "<u2")
    assert volume.array.dtype == np.uint8
    assert np.array_equal(volume.array[0, :, :, 0], (table >> 8)[data.pixel_array])


def test_dose_is_in_gray(tmp_path: Path) -> None:
    path = get_testdata_file("rtdose.dcm")
    data = pydicom.dcmread(path)
    volume = load(only(path))
    assert data.DoseUnits == "RELATIVE"
    assert volume.unit == ""
    data.DoseUnits = "GY"
    data.save_as(tmp_path / "gray.dcm")
    assert load(only(tmp_path / "gray.dcm")).unit == "Gy"
    assert volume.array == pytest.approx(data.pixel_array * float(data.DoseGridScaling), rel=1e-6)
    offsets = [float(x) for x in data.GridFrameOffsetVector]
    assert volume.index_to_world((4, 0, 0))[2] == pytest.approx(float(data.ImagePositionPatient[2]) + offsets[4])


def pet(folder: Path, **changes: Any) -> Volume:
    """Return a PET volume of 70 kg, 370 MBq of fluorine-18 injected one hour before the scan at noon."""
    dose = Dataset()
    dose.RadionuclideTotalDose = changes.pop("dose", 3.7e8)
    dose.RadionuclideHalfLife = 6586.2
    dose.RadiopharmaceuticalStartTime = changes.pop("injected", "110000.00")
    elements: dict[str, Any] = {
        "Modality": "PT",
        "Units": "BQML",
        "CorrectedImage": ("DECY", "ATTN", "SCAT"),
        "DecayCorrection": "START",
        "PatientWeight": 70.0,
        "SeriesDate": "20240110",
        "SeriesTime": "120000",
        "AcquisitionDate": "20240110",
        "AcquisitionTime": ["120000", "120300", "120600"],
        "RescaleSlope": 2.0,
        "RescaleIntercept": 0.0,
        "RadiopharmaceuticalInformationSequence": Items([dose]),
    }
    stack(folder, along_z([0, 3, 6]), **{**elements, **changes})
    return load(only(folder))


FACTOR = 70_000 / (3.7e8 * 2 ** (-3600 / 6586.2))


def test_suv_by_body_weight(tmp_path: Path) -> None:
    volume = pet(tmp_path)
    assert volume.unit == "g/mL"
    assert volume.array[1, 0, 0] == pytest.approx(200 * FACTOR, rel=1e-6)
    assert "suv" in operations(volume)


def test_suv_when_decay_is_corrected_to_administration(tmp_path: Path) -> None:
    volume = pet(tmp_path, DecayCorrection="ADMIN")
    assert volume.array[1, 0, 0] == pytest.approx(200 * 70_000 / 3.7e8, rel=1e-6)


def test_suv_across_midnight(tmp_path: Path) -> None:
    volume = pet(tmp_path, injected="233000", SeriesTime="003000", AcquisitionTime=["003000", "003300", "003600"])
    assert volume.array[1, 0, 0] == pytest.approx(200 * FACTOR, rel=1e-6)


def test_a_series_time_after_the_scan_is_not_its_start(tmp_path: Path) -> None:
    volume = pet(tmp_path, SeriesTime="150000")
    assert volume.array[1, 0, 0] == pytest.approx(200 * FACTOR, rel=1e-6)


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"PatientWeight": None}, "PatientWeight"),
        ({"dose": 0.0}, "RadionuclideTotalDose"),
        ({"DecayCorrection": "NONE"}, "DecayCorrection"),
        ({"CorrectedImage": ("SCAT", "DECY")}, "ATTN"),
        ({"RadiopharmaceuticalInformationSequence": None}, "RadiopharmaceuticalInformationSequence"),
    ],
)
def test_without_its_preconditions_pet_stays_activity(tmp_path: Path, changes: dict[str, Any], missing: str) -> None:
    volume = pet(tmp_path, **changes)
    assert volume.unit == "Bq/mL"
    assert volume.array[1, 0, 0] == 200.0
    (problem,) = [p for p in only(tmp_path).problems if p.id == "io.dicom.suv_missing"]
    assert missing in str(problem.parameters["missing"])


def test_counts_have_no_unit(tmp_path: Path) -> None:
    volume = pet(tmp_path, Units="CNTS")
    assert volume.unit == ""


PICTURE = {"ImagePositionPatient": None, "ImageOrientationPatient": None, "SliceThickness": None}


@pytest.mark.parametrize(
    ("modality", "elements", "status", "spacing"),
    [
        ("DX", {"PixelSpacing": None, "ImagerPixelSpacing": [0.1, 0.2]}, Spacing.DETECTOR, (0.1, 0.2)),
        ("DX", {"PixelSpacing": [0.1, 0.2], "ImagerPixelSpacing": [0.1, 0.2]}, Spacing.DETECTOR, (0.1, 0.2)),
        ("MG", {"PixelSpacing": [0.08, 0.08], "ImagerPixelSpacing": [0.1, 0.1]}, Spacing.CALIBRATED, (0.08, 0.08)),
        (
            "CR",
            {"PixelSpacing": [0.09, 0.09], "PixelSpacingCalibrationType": "FIDUCIAL"},
            Spacing.CALIBRATED,
            (0.09, 0.09),
        ),
        ("CR", {"PixelSpacing": None}, Spacing.UNKNOWN, None),
        ("XC", {"PixelSpacing": None}, Spacing.UNKNOWN, None),
        ("US", {"PixelSpacing": None}, Spacing.UNKNOWN, None),
    ],
)
def test_how_far_a_pixel_size_is_trusted(
    tmp_path: Path,
    modality: str,
    elements: dict[str, Any],
    status: Spacing,
    spacing: tuple[float, float] | None,
) -> None:
    volume = read(tmp_path, RAMP, Modality=modality, **{**PICTURE, **elements})
    assert volume.spacing is status
    if spacing is not None:
        assert volume.spacing_mm[1:] == pytest.approx(spacing)


def region(delta: float, unit: int = 3) -> Dataset:
    item = Dataset()
    item.RegionSpatialFormat = 1
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = unit
    item.PhysicalDeltaX, item.PhysicalDeltaY = delta, delta * 2
    return item


@pytest.mark.parametrize(
    ("regions", "status"),
    [
        ([region(0.02)], Spacing.CALIBRATED),
        ([region(0.02), region(0.02)], Spacing.CALIBRATED),
        ([region(0.02), region(0.03)], Spacing.UNKNOWN),
        ([region(0.02, unit=4)], Spacing.UNKNOWN),
    ],
)
def test_ultrasound_regions_calibrate_in_centimetres(tmp_path: Path, regions: list[Dataset], status: Spacing) -> None:
    elements = {**PICTURE, "PixelSpacing": None, "SequenceOfUltrasoundRegions": Items(regions)}
    volume = read(tmp_path, RAMP, Modality="US", **elements)
    assert volume.spacing is status
    if status is Spacing.CALIBRATED:
        assert volume.spacing_mm[1:] == pytest.approx((0.4, 0.2))


def test_grey_frames_of_a_cine_are_the_fourth_axis(tmp_path: Path) -> None:
    data = image(RAMP, Modality="XA", NumberOfFrames=3, FrameTime=40.0, **PICTURE)
    data.PixelData = np.stack([RAMP, RAMP + 100, RAMP + 200]).astype(np.uint16).tobytes()
    volume = load(only(write(data, tmp_path / "cine.dcm")))
    assert volume.array.shape == (1, 5, 6, 3)
    assert volume.axis is not None
    assert (volume.axis.kind, volume.axis.values, volume.axis.unit) == (AxisKind.TIME, (0.0, 40.0, 80.0), "ms")
    assert volume.array[0, 0, 1].tolist() == [1, 101, 201]


def test_a_mosaic_without_its_private_header_is_not_taken_apart(tmp_path: Path) -> None:
    data = image(np.zeros((64, 64), np.uint16), ImageType=["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"])
    series = only(write(data, tmp_path / "mosaic.dcm"))
    assert "io.dicom.mosaic_unknown" in [problem.id for problem in series.problems]
    with pytest.raises(UnsupportedError, match="mosaic"):
        load(series)


def test_an_unknown_transfer_syntax_is_named(tmp_path: Path) -> None:
    path = write(image(RAMP), tmp_path / "one.dcm")
    content = path.read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.9\0")
    path.write_bytes(content)
    with pytest.raises(UnsupportedError, match="no decoder"):
        load(only(path))
