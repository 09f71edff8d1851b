"""Identifiers in places and writings that are easily forgotten, and names that are ordinary words."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from deid_objects import HEADERS, cleaned, code, image, settings, stored
from pydicom.dataset import Dataset

from vesalius.core.errors import UnsupportedError
from vesalius.privacy import choose
from vesalius.privacy.known import Known
from vesalius.privacy.sweep import needles


def done(folder: Path, data: Dataset, chosen: Any = None) -> tuple[bytes, Dataset]:
    """Return the bytes of a cleaned object, and what is read of them."""
    raw, _ = cleaned(stored(data, folder / "in.dcm"), settings(chosen or HEADERS, "synthetic"))
    return raw, pydicom.dcmread(io.BytesIO(raw))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("O'Sullivan^Siobhan", "O'Sullivan"),
        ("O'Sullivan^Siobhan", "OSULLIVAN recon"),
        ("O\u2019Sullivan^Siobhan", "o sullivan"),
        ("D'Hautefort^Anne", "Hautefort"),
        ("शर्मा^अनीता", "शर्मा"),
        ("ชัยชนะ^สมชาย", "สมชาย"),
        ("Quimby^Zelda", "zquimby"),
        ("Quimby^Zelda", "QUIMBYZ 3"),
        ("Lüdenscheidt^Jörg", "LUDENSCHEIDT"),
    ],
)
def test_names_are_known_in_other_writings(name: str, text: str) -> None:
    assert needles(Known(names=frozenset((name,)))).in_text(text)


@pytest.mark.parametrize("text", ["sulfur", "shortcut", "anterior", "Siobh"])
def test_what_is_like_a_name_is_none(text: str) -> None:
    assert not needles(Known(names=frozenset(("O'Sullivan^Siobhan",)))).in_text(text)


def test_digits_of_an_id_are_known_alone() -> None:
    found = needles(Known(ids=frozenset(("PAT-778899",))))
    assert found.in_text("no 778899")
    assert not found.in_text("no 77889")


@pytest.mark.parametrize("name", ["Head^John", "Original^Axial", "Chest^May"])
def test_a_name_that_is_an_ordinary_word_costs_no_object(tmp_path: Path, name: str) -> None:
    region = [code("69536005", "SCT", "Head")]
    data = image(PatientName=name, ImageType=["ORIGINAL", "PRIMARY", "AXIAL"], AnatomicRegionSequence=region)
    data.SeriesDescription = "Head chest May AXIAL"
    _, result = done(tmp_path, data)
    assert list(result.ImageType) == ["ORIGINAL", "PRIMARY", "AXIAL"]
    assert result.AnatomicRegionSequence[0].CodeValue == "69536005"
    family = name.split("^")[0].lower()
    assert family not in result.SeriesDescription.lower().split()


def test_a_short_number_as_id_costs_no_object(tmp_path: Path) -> None:
    data = image(PatientID="12345", SeriesNumber="12345", SeriesDescription="Chest 12345", StudyID="12345")
    _, result = done(tmp_path, data)
    assert (result.SeriesNumber, result.SeriesDescription, result.StudyID) == (12345, "Chest", "")


def test_labels_that_people_type_are_cleaned_and_links_stay_links(tmp_path: Path) -> None:
    data = image(BodyPartExamined="KOWALSKA", LUTExplanation="Kowalska soft", BeamName="Beam 1 Kowalska")
    data.WindowCenterWidthExplanation = ["WINDOW", "Kowalska"]
    layer, annotation = Dataset(), Dataset()
    layer.GraphicLayer = annotation.GraphicLayer = "KOWALSKA"
    data.GraphicLayerSequence, data.GraphicAnnotationSequence = [layer], [annotation]
    raw, result = done(tmp_path, data)
    assert b"kowalska" not in raw.lower()
    assert (result.LUTExplanation, result.BeamName) == ("soft", "Beam 1")
    assert result.GraphicLayerSequence[0].GraphicLayer == result.GraphicAnnotationSequence[0].GraphicLayer != ""


def test_a_coded_string_of_the_table_keeps_no_unknown_word(tmp_path: Path) -> None:
    raw, result = done(tmp_path, image(ReasonForTheAttributeModification="KOWALSKA"))
    assert b"KOWALSKA" not in raw
    assert result.ReasonForTheAttributeModification


@pytest.mark.parametrize("term", ["WHOLEBODY", "CTSPINE", "DUODENUM", "HEADNECK", "CIRCLEOFWILLIS", "UPRLIMB", "TMJ"])
def test_defined_terms_of_body_parts_stay(tmp_path: Path, term: str) -> None:
    _, result = done(tmp_path, image(BodyPartExamined=term))
    assert term == result.BodyPartExamined


def test_a_name_of_four_values_in_image_type_goes(tmp_path: Path) -> None:
    _, result = done(tmp_path, image(ImageType=["ORIGINAL", "PRIMARY", "AXIAL", "QUIMBY"]))
    assert list(result.ImageType) == ["ORIGINAL", "PRIMARY", "AXIAL", ""]


def test_text_in_the_disguise_of_binary_numbers_goes(tmp_path: Path) -> None:
    words = np.frombuffer(b"Quimby Zelda", "<f4").tolist()
    profile = choose(less=["clean-pixel-data"], more=["retain-safe-private"])
    data = image()
    data.private_block(0x2005, "Philips MR Imaging DD 001", create=True).add_new(0x0D, "FL", words)
    data.TableOfYBreakPoints = np.frombuffer(b"Quimby Zelda", "<u4").tolist()
    raw, _ = done(tmp_path, data, profile)
    assert b"Quimby" not in raw


@pytest.mark.parametrize("kind", ["1", "2"])
def test_speech_is_dropped_like_a_document(tmp_path: Path, kind: str) -> None:
    data = image(SOPClassUID=f"1.2.840.10008.5.1.4.1.1.9.4.{kind}")
    with pytest.raises(UnsupportedError, match="speech"):
        done(tmp_path, data)
