"""One object at a time: what stays, what goes, and that the file is whole."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from deid_objects import HEADERS, KEYED, MR, PDF, cleaned, code, content, image, settings, stored
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian, JPEGBaseline8Bit

from vesalius.core.errors import DeidentificationError, ReadError, UnsupportedError
from vesalius.privacy import choose

PLANTED = (
    b"Quimby",
    b"QUIMBY",
    b"Zelda",
    b"778899",
    b"19340312",
    b"Larkspur",
    b"Ostervik",
    b"81234",
    b"Brandvold",
    b"4711777",
)


def again(raw: bytes) -> Dataset:
    """Return a new file as pydicom reads it, warnings being errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return pydicom.dcmread(io.BytesIO(raw))


def done(
    data: Dataset, folder: Path, *, profile: Any = HEADERS, no_face: str = "", **extra: Any
) -> tuple[bytes, Dataset]:
    """Return the new file of a data set, as bytes and as read."""
    raw, _ = cleaned(stored(data, folder / "in.dcm", **extra), settings(profile, no_face))
    return raw, again(raw)


def test_nothing_that_was_planted_is_left_and_the_image_is_whole(tmp_path: Path) -> None:
    before = image()
    raw, after = done(before, tmp_path)
    assert [word for word in PLANTED if word in raw] == []
    assert after.PixelData == before.PixelData
    for keyword in ("Rows", "PixelSpacing", "ImagePositionPatient", "RescaleIntercept", "SliceThickness", "Modality"):
        assert after[keyword].value == before[keyword].value
    assert (after.SeriesDescription, after.StudyDescription) == ("Chest 1.0 B70f", "CT chest")
    assert (after.PatientAge, after.PatientSex, after.PatientWeight) == ("089Y", "F", 61.5)
    assert after.PatientID == after.PatientName == KEYED.patient("PAT-778899")


def test_dates_of_a_patient_move_together_and_times_stay(tmp_path: Path) -> None:
    _, after = done(image(), tmp_path)
    assert after.StudyDate != "20230105"
    assert after.AcquisitionDateTime == f"{after.StudyDate}101530.5"
    assert after.StudyTime == "101530"
    assert after.PatientBirthDate == ""


def test_marks_say_what_was_done_and_not_more(tmp_path: Path) -> None:
    _, after = done(image(), tmp_path)
    codes = [item.CodeValue for item in after.DeidentificationMethodCodeSequence]
    assert after.PatientIdentityRemoved == "YES"
    assert codes == ["113100", "113103", "113104", "113105", "113107", "113108"]
    assert f"key {KEYED.key_id}" in after.DeidentificationMethod
    assert after.LongitudinalTemporalInformationModified == "MODIFIED"
    assert after.ContributingEquipmentSequence[0].PurposeOfReferenceCodeSequence[0].CodeValue == "109104"
    assert "BurnedInAnnotation" not in after


def test_strict_profile_keeps_neither_dates_nor_descriptions(tmp_path: Path) -> None:
    _, after = done(image(), tmp_path, profile=choose("basic"))
    assert after.StudyDate == ""
    assert "SeriesDescription" not in after
    assert "PatientAge" not in after
    assert [item.CodeValue for item in after.DeidentificationMethodCodeSequence] == ["113100"]
    assert after.LongitudinalTemporalInformationModified == "REMOVED"


def test_options_keep_what_they_name(tmp_path: Path) -> None:
    profile = choose("basic", ["retain-full-dates", "retain-uids", "retain-institution", "retain-device-identity"])
    _, after = done(image(StationName="CT-77"), tmp_path, profile=profile)
    assert (after.StudyDate, after.SOPInstanceUID) == ("20230105", "1.2.3.4.1")
    assert (after.InstitutionName, after.StationName) == ("Ostervik General", "CT-77")
    assert after.PatientBirthDate == ""


@pytest.mark.parametrize("depth", [1, 3, 30])
def test_sequences_are_cleaned_at_every_depth(tmp_path: Path, depth: int) -> None:
    data = image()
    inner = Dataset()
    inner.PatientName, inner.ImageComments, inner.SliceThickness = "Quimby^Zelda", "call Quimby", "3"
    inner.add_new(0x00091010, "LO", "Quimby")
    inner.add_new(0x00180009, "LO", "Quimby")
    for _ in range(depth):
        item = Dataset()
        item.ReferencedSeriesSequence = Sequence([inner])
        inner = item
    data.ReferencedSeriesSequence = Sequence([inner])
    raw, after = done(data, tmp_path)
    assert b"Quimby" not in raw
    item = after
    for _ in range(depth + 1):
        item = item.ReferencedSeriesSequence[0]
    assert item.SliceThickness == 3


def test_private_and_unknown_elements_overlays_curves_and_icons_go(tmp_path: Path) -> None:
    data = image()
    data.add_new(0x00090010, "LO", "ACME 1.0")
    data.add_new(0x00091001, "LO", "anything")
    data.add_new(0x00180009, "LO", "no such attribute")
    data.add_new(0x60003000, "OW", bytes(32))
    data.add_new(0x60000010, "US", 16)
    data.add_new(0x50003000, "OW", bytes(8))
    icon = Dataset()
    icon.Rows = icon.Columns = 1
    data.IconImageSequence = Sequence([icon])
    _, after = done(data, tmp_path)
    assert not [tag for tag in after if tag.tag.group & 1 or 0x5000 <= tag.tag.group <= 0x60FF]
    assert 0x00180009 not in after
    assert "IconImageSequence" not in after


def test_safe_private_attributes_stay_by_option_and_are_looked_at_again(tmp_path: Path) -> None:
    def made() -> Dataset:
        data = image()
        data.add_new(0x00190010, "LO", "SIEMENS MR HEADER")
        data.add_new(0x0019100C, "IS", "1000")
        data.add_new(0x0019100D, "CS", "QUIMBY")
        data.add_new(0x00191015, "LO", "not listed")
        return data

    _, after = done(made(), tmp_path, profile=choose(more=["retain-safe-private"], less=["clean-pixel-data"]))
    assert after[0x0019100C].value == 1000
    assert 0x0019100D not in after
    assert 0x00191015 not in after
    _, without = done(made(), tmp_path / "without")
    assert 0x0019100C not in without


def test_known_values_are_found_where_no_rule_expects_them(tmp_path: Path) -> None:
    data = image(ConvolutionKernel="Quimby", SequenceName="QUIMBY_Z", SoftwareVersions="V1 PAT-778899")
    data.add_new(0x00281201, "OW", b"\1\2" * 20 + "Zelda Quimby".encode("utf-16-le") + b"\1\2" * 20)
    raw, after = done(data, tmp_path)
    assert not [word for word in PLANTED if word in raw]
    assert "Zelda".encode("utf-16-le") not in raw
    assert len(after[0x00281201].value) == 104


def test_text_in_pixel_data_behind_it_and_in_front_of_it_goes(tmp_path: Path) -> None:
    data = image()
    data.PixelData = data.PixelData[:100] + b"Zelda Quimby" + data.PixelData[112:] + b"Quimby's tail "
    path = stored(data, tmp_path / "in.dcm")
    raw = path.read_bytes()
    path.write_bytes(b"QUIMBY ZELDA".ljust(128, b"\0") + raw[128:] + b"\xfc\xff\xfc\xffOB\0\0\6\0\0\0Quimby")
    out, _ = cleaned(path)
    assert not [word for word in PLANTED if word in out]
    assert out[:128] == bytes(128)
    assert len(again(out).PixelData) == 512


def test_overlay_planes_hidden_in_unused_bits_go_and_stored_bits_stay(tmp_path: Path) -> None:
    values = np.arange(256, dtype="<u2")
    data = image()
    data.PixelData = (values | 0x8000).tobytes()
    _, after = done(data, tmp_path)
    assert np.array_equal(np.frombuffer(after.PixelData, "<u2"), values)


def test_signed_pixels_keep_their_sign(tmp_path: Path) -> None:
    values = np.arange(-128, 128, dtype="<i2")
    data = image(PixelRepresentation=1)
    data.PixelData = values.tobytes()
    _, after = done(data, tmp_path)
    assert after.PixelData == values.tobytes()


def test_comments_in_compressed_frames_go_and_pixels_decode_the_same(tmp_path: Path) -> None:
    from PIL import Image

    buffer = io.BytesIO()
    picture = Image.fromarray((np.arange(256, dtype=np.uint8)).reshape(16, 16))
    picture.save(buffer, "JPEG", comment=b"taken of Quimby")
    frame = buffer.getvalue() + b"Quimby"
    data = image(BitsAllocated=8, BitsStored=8, HighBit=7, LossyImageCompression="01")
    data.PixelData = encapsulate([frame])
    data["PixelData"].VR = "OB"
    data["PixelData"].is_undefined_length = True
    raw, after = done(data, tmp_path, syntax=JPEGBaseline8Bit)
    assert b"Quimby" not in raw
    kept = next(pydicom.encaps.generate_frames(after.PixelData, number_of_frames=1))
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(kept))), np.asarray(Image.open(io.BytesIO(frame))))


def test_file_meta_information_is_new(tmp_path: Path) -> None:
    data = image()
    path = stored(data, tmp_path / "in.dcm")
    source = pydicom.dcmread(path)
    source.file_meta.SourceApplicationEntityTitle = "OSTERVIK"
    source.file_meta.ImplementationVersionName = "ACME_77"
    source.save_as(path)
    raw, result = cleaned(path)
    assert b"OSTERVIK" not in raw
    meta = again(raw).file_meta
    assert meta.MediaStorageSOPInstanceUID == result.uid
    assert "SourceApplicationEntityTitle" not in meta


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_other_encodings_of_the_data_set(tmp_path: Path, syntax: str) -> None:
    data = image()
    if syntax == ExplicitVRBigEndian:
        data.PixelData = np.frombuffer(data.PixelData, "<u2").astype(">u2").tobytes()
    raw, after = done(data, tmp_path, syntax=syntax)
    assert not [word for word in PLANTED if word in raw]
    assert after.file_meta.TransferSyntaxUID == syntax
    assert after.PixelData == data.PixelData


def test_names_in_any_script_go(tmp_path: Path) -> None:
    data = image(SpecificCharacterSet="ISO_IR 192", PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう")
    data.SeriesDescription, data.ProtocolName = "胸部平扫 山田太郎", "T1 Tarou"
    raw, after = done(data, tmp_path)
    assert "山田".encode() not in raw
    assert b"Tarou" not in raw
    assert (after.SeriesDescription, after.ProtocolName) == ("胸部平扫", "T1")
    assert after.SpecificCharacterSet == "ISO_IR 192"


def report(**values: Any) -> Dataset:
    """Return a structured report."""
    data = image(SOPClassUID="1.2.840.10008.5.1.4.1.1.88.22", Modality="SR", ValueType="CONTAINER", **values)
    del data.PixelData
    finding, length = code("121071", "DCM", "Finding"), code("410668003", "SCT", "Length")
    measured = Dataset()
    measured.NumericValue, measured.MeasurementUnitsCodeSequence = "12.5", Sequence([code("mm", "UCUM", "millimeter")])
    named = content("PNAME", code("121008", "DCM", "Person Observer Name"), PersonName="Brandvold^Ivar")
    data.ContentSequence = Sequence(
        [
            content("CODE", finding, ConceptCodeSequence=Sequence([code("39607008", "SCT", "Lung")])),
            content("NUM", length, MeasuredValueSequence=Sequence([measured])),
            content("TEXT", finding, TextValue="Quimby has a nodule"),
            named,
            content("CODE", finding, ConceptCodeSequence=Sequence([code("Q77", "99LOCAL", "Room of Quimby")])),
        ]
    )
    return data


def test_reports_keep_codes_and_numbers_and_lose_words(tmp_path: Path) -> None:
    raw, after = done(report(), tmp_path)
    assert not [word for word in PLANTED if word in raw]
    kinds = [item.ValueType for item in after.ContentSequence]
    assert kinds == ["CODE", "NUM", "CODE"]
    assert after.ContentSequence[0].ConceptCodeSequence[0].CodeValue == "39607008"
    assert after.ContentSequence[1].MeasuredValueSequence[0].NumericValue == 12.5
    assert after.ContentSequence[2].ConceptCodeSequence[0].CodeValue == "Q77"


def test_references_meet_the_objects_they_name(tmp_path: Path) -> None:
    data = image()
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = MR, "1.2.3.4.9"
    data.ReferencedImageSequence = Sequence([item])
    _, after = done(data, tmp_path)
    _, other = done(image(9), tmp_path / "other")
    assert after.ReferencedImageSequence[0].ReferencedSOPInstanceUID == other.SOPInstanceUID
    assert after.ReferencedImageSequence[0].ReferencedSOPClassUID == MR
    assert after.StudyInstanceUID == other.StudyInstanceUID


def test_documents_and_directories_are_dropped(tmp_path: Path) -> None:
    data = image(SOPClassUID=PDF)
    with pytest.raises(UnsupportedError, match="document"):
        cleaned(stored(data, tmp_path / "in.dcm"))


@pytest.mark.parametrize("told", [{"BodyPartExamined": "HEAD"}, {"SeriesDescription": "T1 MPRAGE SAG"}])
def test_heads_are_refused_unless_they_have_no_face(tmp_path: Path, told: dict[str, str]) -> None:
    path = stored(image(SOPClassUID=MR, Modality="MR", **told), tmp_path / "in.dcm")
    with pytest.raises(DeidentificationError, match="face"):
        cleaned(path)
    _, after = done(image(**told), tmp_path / "said", no_face="skull-stripped")
    assert "no face: skull-stripped" in after.DeidentificationMethod


def test_pictures_prone_to_text_go_to_a_person_where_nothing_can_read_them(tmp_path: Path) -> None:
    path = stored(image(Modality="US", SOPClassUID="1.2.840.10008.5.1.4.1.1.6.1"), tmp_path / "in.dcm")
    _, result = cleaned(path, settings(choose()))
    assert result.quarantine
    assert "113101" not in result.report.codes


def test_the_same_object_gives_the_same_bytes(tmp_path: Path) -> None:
    path = stored(image(), tmp_path / "in.dcm")
    assert cleaned(path)[0] == cleaned(path)[0]


def test_report_of_an_object_holds_no_value_of_it(tmp_path: Path) -> None:
    _, result = cleaned(stored(image(), tmp_path / "in.dcm"))
    written = repr(result.report.actions)
    assert "00100010" in written
    assert not [word for word in PLANTED if word.decode() in written]


def test_damaged_objects_are_refused(tmp_path: Path) -> None:
    path = stored(image(), tmp_path / "in.dcm")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ReadError, match="cut short"):
        cleaned(path)


KINDS = ("ct_image", "dx_image", "seg_image_ct_binary", "sm_annotations", "sm_image_jpegls", "sr_document")


def test_real_objects_of_many_kinds_come_out_readable(data_root: Path) -> None:
    for path in (data_root / "dicom_highdicom" / f"{kind}.dcm" for kind in KINDS):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            before = pydicom.dcmread(path)
            raw, _ = cleaned(path)
            after = pydicom.dcmread(io.BytesIO(raw))
        assert after.SOPClassUID == before.SOPClassUID
        assert after.get("Rows") == before.get("Rows")
        assert after.PatientIdentityRemoved == "YES"


def test_identifiers_of_real_objects_are_gone(data_root: Path) -> None:
    raw, _ = cleaned(data_root / "dicom_presidio_phi" / "2_ORIGINAL.dcm")
    for word in (b"KAUFMAN", b"SCOTT", b"BAILEY", b"6774825273", b"PSC 7523", b"Boyer"):
        assert word not in raw
