"""Hiding places outside the table: private and unknown elements, overlays, file meta, preamble, trailing bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.tag import Tag

from vesalius.privacy.corpus import drawing
from vesalius.privacy.corpus.planting import Hand, identifying
from vesalius.privacy.corpus.truth import Leak, Plant, path_of

PRIVATE: Final = ((0x0029, "SIEMENS CSA HEADER"), (0x0043, "GEMS_PARM_01"), (0x2001, "Philips Imaging DD 001"))
"""Creators of real vendors; some of their elements are listed as safe in PS3.15."""
SAFE_MISUSED: Final = (
    (0x7053, "Philips PET Private Group", 0x00, "DS"),
    (0x00E1, "ELSCINT1", 0x50, "DS"),
    (0x0019, "GEMS_ACQU_01", 0x23, "DS"),
    (0x2005, "Philips MR Imaging DD 001", 0x0D, "FL"),
)
_UNKNOWN: Final = (0x0012F0F0, 0x0020F9F2, 0x0054EEE0, 0x0018FAFA)


def private(dataset: Dataset, hand: Hand) -> Iterator[Plant]:
    """Plant in private blocks of known vendors, of nobody, and at places that are listed as safe."""
    group, creator = hand.rng.choice(PRIVATE)
    block = dataset.private_block(group, creator, create=True)
    for element, vr in ((0x08, "LO"), (0x10, "OB"), (0x77, "PN")):
        value, _, codes = identifying(vr, hand)
        block.add_new(element, vr, value)
        yield Plant(Leak.PRIVATE, hand.instance, path_of(block.get_tag(element)), codes=codes)
    item = Dataset()
    word = hand.codes.word()
    item.PatientComments = word
    block.add_new(0x20, "SQ", [item])
    yield Plant(Leak.PRIVATE, hand.instance, path_of(block.get_tag(0x20), 0, Tag(0x00104000)), codes=(word,))
    group, creator, element, _ = hand.rng.choice(SAFE_MISUSED)
    block = dataset.private_block(group, creator, create=True)
    word = hand.codes.word()
    block.add_new(element, "LO", f"{word} {hand.person.name.family}")
    yield Plant(Leak.PRIVATE, hand.instance, path_of(block.get_tag(element)), codes=(word,))
    own = hand.codes.word()
    dataset.private_block(0x0099, own, create=True).add_new(0x01, "LO", "1")
    yield Plant(Leak.PRIVATE, hand.instance, "00990010", codes=(own,))


def unknown(dataset: Dataset, hand: Hand) -> Iterator[Plant]:
    """Plant in elements of even groups that no dictionary knows, as text and as UN in UTF-16."""
    tag = hand.rng.choice(_UNKNOWN)
    word = hand.codes.word()
    dataset.add(DataElement(tag, "LO", word))
    yield Plant(Leak.UNKNOWN, hand.instance, path_of(Tag(tag)), codes=(word,))
    word = hand.codes.word()
    text = f"{word} {hand.person.name.plain}"
    dataset.add(DataElement(tag + 1, "UN", text.encode(hand.rng.choice(("utf-16-le", "utf-16-be", "utf-8")))))
    yield Plant(Leak.UNKNOWN, hand.instance, path_of(Tag(tag + 1)), codes=(word,))


def encoding(dataset: Dataset, hand: Hand) -> Iterator[Plant]:
    """Plant the family name in bytes of another character set than the data set declares."""
    name = hand.person.name.family
    declared = hand.person.charset[0]
    if declared in ("ISO_IR 100", "ISO_IR 144", "ISO_IR 127"):
        # UTF-8 bytes in an object that says Latin, Cyrillic or Arabic.
        codec = {"ISO_IR 100": "latin-1", "ISO_IR 144": "iso8859_5", "ISO_IR 127": "iso8859_6"}[declared]
        wrong = name.encode("utf-8").decode(codec, "ignore")
    else:
        wrong = name
    dataset.add(DataElement(0x0018FAF4, "UN", name.encode("utf-16-le")))
    yield Plant(Leak.ENCODING, hand.instance, "0018faf4", (name,))
    if wrong.encode("utf-8") != name.encode("utf-8"):
        dataset.ConvolutionKernel = wrong[:16]
        yield Plant(Leak.ENCODING, hand.instance, path_of(Tag(0x00181210)), (wrong[:16],))


def overlay(dataset: Dataset, hand: Hand) -> Iterator[Plant]:
    """Plant a name drawn in an overlay plane, and words in its label, description and comments."""
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    plane = np.zeros((rows, columns), np.uint8)
    drawing.burn(plane, drawing.glyphs(hand.person.name.plain[:8], 10), 1, 1, 1)
    bits = np.packbits(plane.ravel(), bitorder="little").tobytes()
    group = 0x6000
    described = ((0x0010, "US", rows), (0x0011, "US", columns), (0x0040, "CS", "G"), (0x0050, "SS", [1, 1]))
    for element, vr, value in (*described, (0x0100, "US", 1), (0x0102, "US", 0)):
        dataset.add(DataElement(group << 16 | element, vr, value))
    dataset.add(DataElement(group << 16 | 0x3000, "OW", bits + b"\0" * (len(bits) % 2)))
    yield Plant(Leak.OVERLAY, hand.instance, "60003000")
    for element, vr in ((0x0022, "LO"), (0x1500, "LO"), (0x4000, "LT")):
        word = hand.codes.word()
        dataset.add(DataElement(group << 16 | element, vr, word))
        yield Plant(Leak.OVERLAY, hand.instance, path_of(Tag(group << 16 | element)), codes=(word,))


def curve(dataset: Dataset, hand: Hand) -> Iterator[Plant]:
    """Plant words in a curve of the retired group 50xx."""
    word, other = hand.codes.word(), hand.codes.word()
    for element, vr, value in (
        (0x0005, "US", 1),
        (0x0010, "US", 5),
        (0x0022, "LO", word),
        (0x3000, "OW", other.encode()),
    ):
        dataset.add(DataElement(0x50000000 | element, vr, value))
    yield Plant(Leak.CURVE, hand.instance, "50000022", codes=(word,))
    yield Plant(Leak.CURVE, hand.instance, "50003000", codes=(other,))


def icon(dataset: Dataset, hand: Hand) -> Iterator[Plant]:
    """Plant a small picture of the image with a name in it."""
    small = np.full((32, 64), 20, np.uint8)
    drawing.burn(small, drawing.glyphs(hand.person.name.plain[:6], 10), 8, 2, 250)
    item = Dataset()
    item.SamplesPerPixel, item.PhotometricInterpretation, item.Rows, item.Columns = 1, "MONOCHROME2", 32, 64
    item.BitsAllocated, item.BitsStored, item.HighBit, item.PixelRepresentation = 8, 8, 7, 0
    item.PixelData = small.tobytes()
    item["PixelData"].VR = "OB"
    dataset.IconImageSequence = [item]
    yield Plant(Leak.ICON, hand.instance, path_of(Tag(0x00880200), 0, Tag(0x7FE00010)))


def meta(information: FileMetaDataset, hand: Hand) -> Iterator[Plant]:
    """Plant in the titles and the private part of the file meta information."""
    for keyword in ("SourceApplicationEntityTitle", "SendingApplicationEntityTitle", "ReceivingApplicationEntityTitle"):
        word = hand.codes.word()
        setattr(information, keyword, word)
        yield Plant(Leak.META, hand.instance, path_of(information[keyword].tag), codes=(word,))
    word, unique = hand.codes.word(), hand.codes.uid()
    information.PrivateInformationCreatorUID, information.PrivateInformation = unique, word.encode()
    yield Plant(Leak.META, hand.instance, "00020102", codes=(word,))
    yield Plant(Leak.META, hand.instance, "00020100", codes=(unique,))


def preamble(hand: Hand) -> tuple[bytes, Plant]:
    """Return 128 bytes that begin like a TIFF file and hold a word."""
    word = hand.codes.word()
    return (b"II*\0" + word.encode()).ljust(128, b"\0"), Plant(Leak.PREAMBLE, hand.instance, "preamble", codes=(word,))


def directory(hands: Sequence[Hand], objects: Sequence[Dataset]) -> tuple[Dataset, list[Plant]]:
    """Return the data set of a DICOMDIR with a record of each patient and each of the objects, and its plants."""
    data, codes = Dataset(), []
    data.FileSetID, data.FileSetConsistencyFlag = "PLANTED", 0
    records: list[Dataset] = []
    for hand, target in zip(hands, objects, strict=True):
        codes += [hand.codes.word(), hand.codes.word()]
        patient, image = Dataset(), Dataset()
        patient.DirectoryRecordType, patient.SpecificCharacterSet = "PATIENT", target.get("SpecificCharacterSet", "")
        patient.PatientName, patient.PatientID = hand.person.name.person_name, hand.person.patient_id
        patient.PatientComments = codes[-2]
        image.DirectoryRecordType, image.SpecificCharacterSet = "IMAGE", target.get("SpecificCharacterSet", "")
        image.ReferencedFileID, image.ReferencedSOPClassUIDInFile = ["IMAGES", "1"], target.SOPClassUID
        image.ReferencedSOPInstanceUIDInFile, image.ImageComments = target.SOPInstanceUID, codes[-1]
        records += [patient, image]
    for record in records:
        record.OffsetOfTheNextDirectoryRecord, record.RecordInUseFlag = 0, 0xFFFF
        record.OffsetOfReferencedLowerLevelDirectoryEntity = 0
    data.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity = 0
    data.OffsetOfTheLastDirectoryRecordOfTheRootDirectoryEntity = 0
    data.DirectoryRecordSequence = records
    return data, [Plant(Leak.DIRECTORY, 0, "DICOMDIR", codes=(code,)) for code in codes]


def trailing(hand: Hand) -> tuple[bytes, Plant]:
    """Return bytes to stand behind the data set, with a word in them."""
    word: Any = hand.codes.word()
    return b"\0" * 6 + f"{word} {hand.person.patient_id}".encode(), Plant(
        Leak.TRAILING, hand.instance, "trailing", codes=(word,)
    )
