"""A folder of planted studies: several visits of each patient, every hiding place used, the same for the same seed."""

from __future__ import annotations

import io
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread, dcmwrite, uid
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.tag import Tag

from vesalius.core.errors import OutputExistsError, UsageError
from vesalius.io.dicom.values import quiet
from vesalius.privacy.corpus import documents, drawing, objects, places
from vesalius.privacy.corpus.objects import Frame
from vesalius.privacy.corpus.people import LANGUAGES, Person, people
from vesalius.privacy.corpus.planting import Codes, Hand, misplaced, plant_row, rows
from vesalius.privacy.corpus.truth import Corpus, Item, Leak, Plant, path_of

VISITS: Final[tuple[tuple[tuple[str, int], ...], ...]] = (
    (("ct", 3), ("sr", 1), ("rtstruct", 1)),
    (("mr", 2), ("enhanced-mr", 1), ("pet", 1), ("pdf", 1)),
    (("us", 1), ("cr", 1), ("sc", 1), ("mg", 1), ("pr", 1)),
)
"""Kinds and numbers of objects of each visit; every kind is a series."""
_SYNTAX: Final[Mapping[str, str]] = MappingProxyType(
    {
        **{"mr": uid.ImplicitVRLittleEndian, "sc": uid.RLELossless},
        **{"pet": uid.DeflatedExplicitVRLittleEndian, "mg": uid.ExplicitVRBigEndian},
    }
)
_NESTED: Final = (Tag(0x00082218), 0, Tag(0x00082220), 0)
"""Anatomic Region Sequence and its modifiers: code sequences that are kept; nothing else should be in them."""
_UNSAFE: Final = re.compile(r"[^\w.-]+")


@dataclass(frozen=True)
class _Visit:
    """One patient's visit as objects are made for it."""

    person: Person
    index: int
    number: int
    day: date
    study_uid: str
    codes: Codes
    attributes: Sequence[tuple[int, str, Any]]


def generate(
    folder: Path,
    *,
    seed: int = 0,
    patients: int = len(LANGUAGES),
    languages: Sequence[str] = LANGUAGES,
    faker: bool = False,
) -> Corpus:
    """Write a corpus into a new folder and return what is planted where.

    Raises:
        OutputExistsError: the folder holds something.
        UnknownNameError: no such language.
        UsageError: no patients, or Faker is asked for and not installed.
    """
    if patients < 1:
        raise UsageError("a corpus needs patients", found=str(patients), expected="1 or more")
    if folder.exists() and any(folder.iterdir()):
        raise OutputExistsError(f"{folder} holds files already", fix="name a new folder")
    rng = random.Random(f"corpus {seed}")
    invented = people(seed, patients, languages=languages, faker=faker)
    days = tuple(_days(rng) for _ in invented)
    corpus = Corpus(folder, seed, invented, days)
    codes = Codes(rng)
    for index, person in enumerate(invented):
        attributes = rows()
        rng.shuffle(attributes)
        for number, day in enumerate(days[index]):
            # What is planted breaks rules of representation on purpose; pydicom would warn of each.
            visit = _Visit(person, index, number, day, codes.uid(), codes, attributes)
            with quiet():
                _write_visit(corpus, visit)
    with quiet():
        _write_directory(corpus, codes)
    return corpus


def _write_directory(corpus: Corpus, codes: Codes) -> None:
    """Write a DICOMDIR that names every patient by an object of theirs."""
    items = {item.person: item for item in corpus.items}
    hands = [Hand(corpus.people[person], corpus.visits[person][0], 0, codes) for person in items]
    data, plants = places.directory(hands, [dcmread(corpus.folder / item.path) for item in items.values()])
    information = FileMetaDataset()
    information.MediaStorageSOPClassUID = uid.MediaStorageDirectoryStorage
    information.MediaStorageSOPInstanceUID = codes.uid()
    information.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    whole = FileDataset("DICOMDIR", data, file_meta=information, preamble=bytes(128))
    dcmwrite(corpus.folder / "DICOMDIR", whole, enforce_file_format=True)
    corpus.plants.extend(plants)


def _days(rng: random.Random) -> tuple[date, ...]:
    first = date(2015, 1, 1) + timedelta(days=rng.randrange(2500))
    second = first + timedelta(days=rng.randrange(20, 400))
    return first, second, second + timedelta(days=rng.randrange(20, 400))


def _write_visit(corpus: Corpus, visit: _Visit) -> None:
    made: dict[str, list[Dataset]] = {}
    frame_uid = visit.codes.uid()
    for kind, count in VISITS[visit.number]:
        series_uid = visit.codes.uid()
        for index in range(count):
            instance = len(corpus.items) + 1
            frame = Frame(
                visit.person, visit.day, instance, visit.study_uid, series_uid, frame_uid, visit.codes.uid(), index
            )
            hand = Hand(visit.person, visit.day, instance, visit.codes)
            data, item, plants = _object(kind, frame, hand, made, visit)
            made.setdefault(kind, []).append(data)
            if kind in objects.IMAGES:
                plants += _planted(data, item, hand, visit, image=_images(corpus, visit.index))
            plants += _write(corpus.folder, data, item, hand)
            corpus.items.append(item)
            corpus.plants.extend(plants)


def _images(corpus: Corpus, person: int) -> int:
    """Return the number of images that a patient has so far."""
    return sum(item.person == person and item.kind in objects.IMAGES for item in corpus.items)


def _object(
    kind: str, frame: Frame, hand: Hand, made: Mapping[str, list[Dataset]], visit: _Visit
) -> tuple[Dataset, Item, list[Plant]]:
    glyphs: NDArray[np.bool_] | None = None
    plants: list[Plant] = []
    if kind == "sr":
        data, plants = documents.report(frame, hand, made["ct"])
    elif kind == "rtstruct":
        data, plants = documents.contours(frame, hand, made["ct"])
    elif kind == "pdf":
        data, plants = documents.pdf(frame, hand)
    elif kind == "pr":
        data, plants = documents.presentation(frame, hand, made["cr"][0])
    else:
        data, glyphs = objects.IMAGES[kind](frame)
        if kind in made:
            data.ReferencedImageSequence = [documents.reference(made[kind][-1])]
    item = Item(hand.instance, kind, _name(hand, visit), visit.index, visit.number, glyphs)
    if glyphs is not None:
        item.window = 255.0 if data.BitsAllocated == 8 else float((1 << data.BitsStored) - 1)
        plants.append(Plant(Leak.PIXELS, hand.instance, "7fe00010"))
    return data, item, plants + list(_own(data, hand))


def _name(hand: Hand, visit: _Visit) -> str:
    person = hand.person
    family = _UNSAFE.sub("_", person.name.latin_family or person.name.family)
    folder = f"{family}_{_UNSAFE.sub('_', person.patient_id)}"
    return f"{folder}/{visit.day:%Y-%m-%d}/{family}_{hand.instance:05d}.dcm"


def _own(data: Dataset, hand: Hand) -> Iterable[Plant]:
    """Yield what every object tells of its patient in the attributes that it must have."""
    person, at = hand.person, hand.instance
    yield Plant(Leak.ATTRIBUTE, at, "00100010", person.name.parts)
    yield Plant(Leak.ATTRIBUTE, at, "00100020", (person.patient_id,))
    yield Plant(Leak.ATTRIBUTE, at, "00100030", (f"{person.birth:%Y%m%d}",))
    for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        yield Plant(Leak.UID, at, path_of(data[keyword].tag), codes=(str(data[keyword].value),))
    for keyword in ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"):
        yield Plant(Leak.DATE, at, path_of(data[keyword].tag), (str(data[keyword].value),), exact=True)
    if int(str(data.PatientAge)[:3]) > 89:
        yield Plant(Leak.AGE, at, "00101010", (str(data.PatientAge),), exact=True)
    name = person.name.latin_family or person.name.family
    yield Plant(Leak.FILE_NAME, at, "file name", (_UNSAFE.sub("_", name),))


def _planted(data: Dataset, item: Item, hand: Hand, visit: _Visit, *, image: int) -> list[Plant]:
    """Plant this image's share of the attributes, at the top and deep inside, and in every other place it has."""
    share = sum(count for kinds in VISITS for kind, count in kinds if kind in objects.IMAGES)
    found: list[Plant | None] = []
    region, modifier = documents.code("51185008", "SCT", "Chest"), documents.code("24028007", "SCT", "Right")
    region.AnatomicRegionModifierSequence = [modifier]
    data.AnatomicRegionSequence = [region]
    for row in visit.attributes[image % share :: share]:
        found.append(plant_row(data, row, hand))
    for row in visit.attributes[(image + 1) % share :: share]:
        found.append(plant_row(modifier, row, hand, _NESTED))
    plants = [plant for plant in found if plant is not None]
    for place in (misplaced, places.private, places.unknown, places.encoding):
        plants += place(data, hand)
    if item.kind in ("ct", "mg"):
        plants += places.overlay(data, hand)
    if item.kind in ("pet", "mr"):
        plants += places.curve(data, hand)
    if item.kind in ("cr", "mg"):
        plants += places.icon(data, hand)
    if item.kind == "mr":
        plants.append(_high_bits(data, item, hand))
    return _latest(plants)


def _latest(plants: Sequence[Plant]) -> list[Plant]:
    """Return the plants without those whose place was written over by a later one."""
    return list({(plant.place, plant.leak is Leak.OVERLAY): plant for plant in plants}.values())


def _high_bits(data: Dataset, item: Item, hand: Hand) -> Plant:
    """Draw a name into the unused bits of 12-bit pixels, where old objects keep overlays."""
    picture = np.frombuffer(data.PixelData, "<u2").reshape(data.Rows, data.Columns).copy()
    plane = np.zeros(picture.shape, np.uint16)
    item.glyphs = drawing.burn(plane, drawing.glyphs(hand.person.name.plain[:5], 10), 4, 2, 1)
    data.PixelData = (picture | plane << 12).tobytes()
    for element, vr, value in (
        (0x10, "US", data.Rows),
        (0x11, "US", data.Columns),
        (0x40, "CS", "G"),
        (0x50, "SS", [1, 1]),
    ):
        data.add_new(0x60020000 | element, vr, value)
    data.add_new(0x60020100, "US", 16)
    data.add_new(0x60020102, "US", 12)
    return Plant(Leak.HIGH_BITS, hand.instance, "high bits")


def _write(folder: Path, data: Dataset, item: Item, hand: Hand) -> list[Plant]:
    """Write one object with planted file meta, preamble and trailing bytes."""
    syntax = _SYNTAX.get(item.kind, uid.ExplicitVRLittleEndian)
    information = FileMetaDataset()
    information.MediaStorageSOPClassUID, information.MediaStorageSOPInstanceUID = data.SOPClassUID, data.SOPInstanceUID
    information.TransferSyntaxUID = uid.ExplicitVRLittleEndian if syntax == uid.RLELossless else syntax
    plants = list(places.meta(information, hand))
    start, plant = places.preamble(hand)
    end, other = places.trailing(hand)
    whole = FileDataset(item.path, data, file_meta=information, preamble=start)
    target = folder / item.path
    target.parent.mkdir(parents=True, exist_ok=True)
    with quiet():
        if syntax == uid.RLELossless:
            whole.compress(syntax, generate_instance_uid=False)
        elif not information.TransferSyntaxUID.is_little_endian:
            whole.PixelData = np.frombuffer(whole.PixelData, "<u2").astype(">u2").tobytes()
        stream = io.BytesIO()
        dcmwrite(stream, whole, enforce_file_format=True)
    target.write_bytes(stream.getvalue() + _padding(information.TransferSyntaxUID, end))
    return [*plants, plant, other]


def _padding(syntax: uid.UID, end: bytes) -> bytes:
    """Return bytes as a padding element: DICOM readers stop at an element that is cut. A deflated stream has ended."""
    if syntax == uid.DeflatedExplicitVRLittleEndian:
        return end
    end += b" " * (len(end) % 2)
    order: Literal["little", "big"] = "little" if syntax.is_little_endian else "big"
    tag = b"".join(part.to_bytes(2, order) for part in (0xFFFC, 0xFFFC))
    return tag + (b"" if syntax.is_implicit_VR else b"OB\0\0") + len(end).to_bytes(4, order) + end
