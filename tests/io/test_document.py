"""The report as encapsulated PDF and secondary capture."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from written import Tool, dciodvfy_errors, origin, parsed_by_dcmtk, real_series, save, source, uid, volume

from vesalius.core.errors import ImageContentError
from vesalius.io.dicom import document
from vesalius.io.dicom.document import Page

PDF = b"%PDF-1.7\n1 0 obj<<>>endobj\nxref\n%%EOF\n"
ZH = Page("脑部 MRI：组织体积", "zh", 2, shows_identity=True)
EN = Page("Brain MRI: tissue volumes", "en")
PICTURE = np.random.default_rng(1).integers(0, 256, (33, 21, 3), dtype=np.uint8)


@pytest.mark.parametrize("page", [EN, ZH], ids=["en", "zh"])
@pytest.mark.parametrize("pdf", [PDF, PDF + b"\n"], ids=["even", "odd"])
@pytest.mark.parametrize("sourced", [True, False])
def test_dcm2pdf_gives_the_same_pdf_back(page, pdf, sourced, tmp_path: Path, tool: Tool):
    headers = source(volume()) if sourced else None
    path = save(document.encapsulated_pdf(pdf, page, headers, origin=origin()), tmp_path)
    assert dciodvfy_errors(tool, path) == []
    subprocess.run([tool("dcm2pdf"), str(path), str(tmp_path / "back.pdf")], check=True, capture_output=True)
    assert (tmp_path / "back.pdf").read_bytes() == pdf
    data = pydicom.dcmread(path)
    assert data.EncapsulatedDocument[: data.EncapsulatedDocumentLength] == pdf
    assert data.DocumentTitle.startswith(page.title)
    assert "research use" in data.DocumentTitle
    assert data.SpecificCharacterSet == "ISO_IR 192"
    assert data.BurnedInAnnotation == ("YES" if page.shows_identity else "NO")
    assert data.VerificationFlag == "UNVERIFIED"
    assert len(data.get("SourceInstanceSequence", [])) == (5 if sourced else 0)
    assert data.StudyInstanceUID == (uid("source study") if sourced else uid("study"))


@pytest.mark.parametrize("page", [EN, ZH], ids=["en", "zh"])
@pytest.mark.parametrize("sourced", [True, False])
def test_the_capture_shows_the_page(page, sourced, tmp_path: Path, tool: Tool):
    headers = source(volume()) if sourced else None
    path = save(document.secondary_capture(PICTURE, page, headers, origin=origin(draft=True)), tmp_path)
    assert dciodvfy_errors(tool, path) == []
    assert parsed_by_dcmtk(tool, path)
    data = pydicom.dcmread(path)
    np.testing.assert_array_equal(data.pixel_array, PICTURE)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[0], PICTURE)
    assert data.Laterality == ""
    assert data.BurnedInAnnotation == ("YES" if page.shows_identity else "NO")
    assert "DRAFT" in data.ImageComments
    assert page.title in data.ImageComments


def test_both_languages_are_instances_of_one_series():
    first, second = (document.encapsulated_pdf(PDF, page, None, origin=origin()) for page in (EN, ZH))
    assert first.SeriesInstanceUID == second.SeriesInstanceUID
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert (first.InstanceNumber, second.InstanceNumber) == (1, 2)


def test_real_sources(tmp_path: Path, data_root: Path, tool: Tool):
    for name, headers in real_series(data_root).items():
        for dataset in (
            document.encapsulated_pdf(PDF, ZH, headers, origin=origin()),
            document.secondary_capture(PICTURE, ZH, headers, origin=origin()),
        ):
            assert dataset.StudyInstanceUID == headers[0].StudyInstanceUID
            assert dciodvfy_errors(tool, save(dataset, tmp_path)) == [], name


def test_what_is_no_document_is_refused():
    with pytest.raises(ImageContentError, match="not a PDF"):
        document.encapsulated_pdf(b"<html>", EN, None, origin=origin())
    for wrong in (PICTURE[..., 0], PICTURE.astype(np.float32), np.zeros((3, 3, 4), np.uint8)):
        with pytest.raises(ImageContentError, match="RGB"):
            document.secondary_capture(wrong, EN, None, origin=origin())
