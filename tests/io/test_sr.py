"""Measurements as TID 1500: what highdicom reads back is what went in."""

from __future__ import annotations

import subprocess
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from written import SEGMENTS, Tool, dciodvfy_errors, origin, parsed_by_dcmtk, save, source, uid, volume

from vesalius.core import Code, Interval, Mask, Measurement, Message
from vesalius.core.errors import ImageContentError
from vesalius.io.dicom import seg, sr

VOLUME = Code("118565006", "SCT", "Volume")
BRAIN = Code("12738006", "SCT", "Brain")
MEASUREMENTS = (
    Measurement("volume.white", 412.3456789012345, "mL", VOLUME, mask="tissue", segment="white_matter", site=BRAIN,
                laterality="L", interval=Interval(398.25, 430.5)),
    Measurement("volume.gray", 1 / 3, "mL", VOLUME, mask="tissue", segment="灰质", site=BRAIN),
    Measurement("fraction", 0.7, "1", Code("brain_parenchymal_fraction", "99VESALIUS", "Brain parenchymal fraction")),
    Measurement("asymmetry", -12.5, "%", Code("asym", "99VESALIUS", "Asymmetry index"), laterality="R"),
    Measurement("volume.icv", None, "mL", VOLUME, reason=Message("stripped")),
)  # fmt: skip


@pytest.fixture
def written(tmp_path: Path) -> Path:
    image = volume()
    headers = source(image)
    mask = Mask(np.full(image.shape, 41, np.uint8), image.affine, segments=SEGMENTS)
    segmentation = seg.from_mask(mask, headers, name="tissue", origin=origin())
    evidence = sr.Evidence(headers, {"tissue": segmentation})
    return save(sr.measurement_report(MEASUREMENTS, evidence, origin=origin()), tmp_path, "measurements_sr.dcm")


def test_validator_and_dcmtk_accept_it(written: Path, tool: Tool):
    assert dciodvfy_errors(tool, written) == []
    assert parsed_by_dcmtk(tool, written)
    said = subprocess.run([tool("dsrdump"), str(written)], capture_output=True, text=True, check=True)
    assert "PRELIMINARY" in said.stdout
    assert "UNVERIFIED" in said.stdout


def test_highdicom_parses_the_same_values_units_codes_and_places(written: Path):
    content = highdicom.sr.srread(written).content
    white, gray = content.get_volumetric_roi_measurement_groups()
    (one,) = white.get_measurements()
    assert one.value == MEASUREMENTS[0].value
    assert (one.name.value, one.name.scheme_designator) == ("118565006", "SCT")
    assert (one.unit.value, one.unit.scheme_designator) == ("mL", "UCUM")
    assert one.finding_sites[0].topographical_modifier is None
    assert one.finding_sites[0].value.meaning == "Brain"
    assert one.finding_sites[0].laterality.meaning == "Left"
    assert gray.get_measurements()[0].value == 1 / 3
    assert gray.tracking_identifier == "灰质"
    (images,) = content.get_image_measurement_groups()
    assert [(m.value, m.unit.value) for m in images.get_measurements()] == [(0.7, "1"), (-12.5, "%")]
    assert images.get_measurements()[0].name.value == "brain_parenchymal_fraction"


def test_an_interval_is_the_range_of_uncertainty(written: Path):
    group = highdicom.sr.srread(written).content.get_volumetric_roi_measurement_groups()[0]
    item = next(i for i in group[0].ContentSequence if i.ValueType == "NUM")
    found = {
        part.ConceptNameCodeSequence[0].CodeValue: part.MeasuredValueSequence[0]
        for part in item.ContentSequence
        if part.ValueType == "NUM"
    }
    value = MEASUREMENTS[0].value or 0
    assert value + found["371886008"].FloatingPointValue == pytest.approx(430.5)
    assert value - found["371885007"].FloatingPointValue == pytest.approx(398.25)
    assert found["371886008"].MeasurementUnitsCodeSequence[0].CodeValue == "mL"


def test_segments_sources_and_algorithm_are_referenced(written: Path):
    data = pydicom.dcmread(written)
    groups = highdicom.sr.srread(written).content.get_volumetric_roi_measurement_groups()
    assert [g.referenced_segment[0].referenced_sop_instance_uid for g in groups] == [uid("instance seg tissue")] * 2
    assert [list(g.referenced_segment[0].referenced_segment_numbers) for g in groups] == [[1], [2]]
    evidence = {
        item.ReferencedSOPInstanceUID
        for study in data.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    assert evidence == {header.SOPInstanceUID for header in source(volume())} | {uid("instance seg tissue")}
    text = str(data)
    assert "'brain-mri'" in text
    assert data.PreliminaryFlag == "PRELIMINARY"
    assert data.VerificationFlag == "UNVERIFIED"
    assert "Research use" in data.CompletionFlagDescription
    assert str(data.PatientName) == "王^小東=Müller^Jörg"
    assert not [e for e in data.iterall() if e.VR == "UI" and str(e.value).startswith("1.2.826.0.1.3680043.10.511")]


def test_without_segmentations_all_measurements_stand_on_the_images(tmp_path: Path, tool: Tool):
    path = save(sr.measurement_report(MEASUREMENTS, sr.Evidence(source(volume())), origin=origin()), tmp_path)
    assert dciodvfy_errors(tool, path) == []
    (group,) = highdicom.sr.srread(path).content.get_image_measurement_groups()
    assert len(group.get_measurements()) == 4


def test_the_same_report_gives_the_same_bytes(written: Path, tmp_path: Path):
    image = volume()
    headers = source(image)
    mask = Mask(np.full(image.shape, 41, np.uint8), image.affine, segments=SEGMENTS)
    segmentation = seg.from_mask(mask, headers, name="tissue", origin=origin())
    again = sr.measurement_report(MEASUREMENTS, sr.Evidence(headers, {"tissue": segmentation}), origin=origin())
    assert save(again, tmp_path, "again.dcm").read_bytes() == written.read_bytes()


def test_nothing_measured_is_no_report():
    with pytest.raises(ImageContentError, match="at least one"):
        sr.measurement_report(MEASUREMENTS[4:], sr.Evidence(source(volume())), origin=origin())
