"""The corpus of planted identifiers and its scorer: a copy leaks all, nothing is of no use, halves score exactly."""

from __future__ import annotations

import hashlib
import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread, uid
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from vesalius.core.errors import OutputExistsError, UnknownNameError, UsageError
from vesalius.io.dicom.values import quiet
from vesalius.privacy import corpus
from vesalius.privacy.corpus import Corpus, Leak, documents, drawing, planting, scoring


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return corpus.generate(tmp_path_factory.mktemp("corpus") / "in", seed=3, patients=1, languages=("de",))


@pytest.fixture(scope="module")
def copied(planted: Corpus) -> corpus.Score:
    return corpus.score(planted, planted.folder)


def edited(
    planted: Corpus, target: Path, edit: Callable[[Dataset, corpus.Item], None], *, directory: bool = True
) -> corpus.Score:
    """Score a copy in which each object was changed; file meta, preamble and trailing bytes stay as planted."""
    for item in planted.items:
        source, out = planted.folder / item.path, target / item.path
        out.parent.mkdir(parents=True, exist_ok=True)
        with quiet():
            data = dcmread(source)
            edit(data, item)
            data.save_as(out, enforce_file_format=True)
    if directory:
        shutil.copy(planted.folder / "DICOMDIR", target)
    return corpus.score(planted, target)


def public(data: Dataset) -> Iterator[DataElement]:
    """Yield the elements of even groups at any depth: private ones may be anything but what their VR says."""
    tags = [tag for tag in data.keys() if not tag.is_private]  # noqa: SIM118 - iterating a data set reads its values
    for element in (data[tag] for tag in tags):
        yield element
        if element.VR == "SQ":
            for item in element.value:
                yield from public(item)


def count(planted: Corpus, leak: Leak) -> int:
    return planted.counts().get(leak, 0)


def test_a_copy_leaks_everything_and_keeps_everything(planted: Corpus, copied: corpus.Score) -> None:
    assert {leak: left for leak, (left, _) in copied.leaks.items() if leak is not Leak.ELSEWHERE} == planted.counts()
    assert not copied.unread
    wrong = {name: pair for name, pair in copied.utility.items() if pair[0] != pair[1] and name != "characteristics"}
    assert not wrong
    assert all(expected > 0 for _, expected in copied.utility.values())


def test_the_corpus_uses_every_class(planted: Corpus) -> None:
    assert set(Leak) - {Leak.ELSEWHERE, Leak.AGE} <= set(planted.counts())


def test_every_attribute_of_the_table_is_planted_at_the_top_and_nested(planted: Corpus) -> None:
    tops = {place[:8] for place in (plant.place for plant in planted.plants) if not place.startswith("00082218")}
    deep = {plant.place.split(".")[2][:8] for plant in planted.plants if plant.place.startswith("00082218")}
    wanted = {f"{tag:08x}" for tag, _, _ in planting.rows()}
    carried = set()
    for item in planted.items:
        data = scoring.read(planted.folder / item.path)
        assert data is not None
        carried |= {f"{int(tag):08x}" for tag in data.keys()}  # noqa: SIM118 - iterating a data set reads its values
    assert wanted <= tops | carried
    assert wanted <= deep


def test_nothing_left_is_no_leak_and_no_use(planted: Corpus, tmp_path: Path) -> None:
    found = corpus.score(planted, tmp_path)
    assert found.leaked == 0
    assert found.useful == 0
    assert all(kept == 0 for kept, _ in found.utility.values())


def test_private_elements_alone_removed_scores_exactly_that(
    planted: Corpus, copied: corpus.Score, tmp_path: Path
) -> None:
    found = edited(planted, tmp_path, lambda data, _: data.remove_private_tags())
    assert found.leaks[Leak.PRIVATE] == (0, count(planted, Leak.PRIVATE))
    # pydicom writes no bytes behind the data set but those of the padding element, which it read as an element;
    # behind a deflated data set they are no element.
    deflated = sum(item.kind == "pet" for item in planted.items)
    assert found.leaks[Leak.TRAILING] == (count(planted, Leak.TRAILING) - deflated, count(planted, Leak.TRAILING))
    alike = set(copied.leaks) - {Leak.PRIVATE, Leak.TRAILING}
    assert all(found.leaks[leak] == copied.leaks[leak] for leak in alike)
    assert found.utility == copied.utility


def test_half_of_the_names_removed_scores_half(planted: Corpus, copied: corpus.Score, tmp_path: Path) -> None:
    def edit(data: Dataset, item: corpus.Item) -> None:
        if item.instance % 2:
            data.PatientName = "V1"

    kept = sum(item.instance % 2 == 0 for item in planted.items)
    found = edited(planted, tmp_path, edit)
    left = sum(leak is Leak.ATTRIBUTE and place == "00100010" for leak, _, place in found.left)
    assert left == kept
    assert copied.leaks[Leak.ATTRIBUTE][0] - found.leaks[Leak.ATTRIBUTE][0] == len(planted.items) - kept


def test_blanked_glyphs_are_no_leak_and_pixels_far_away_count(planted: Corpus, tmp_path: Path) -> None:
    images = [item for item in planted.items if item.kind in ("us", "cr", "sc")]

    def edit(data: Dataset, item: corpus.Item) -> None:
        if item.kind not in ("us", "cr"):
            return
        array = data.pixel_array.copy()
        array[item.glyphs] = 0 if item.kind == "us" else 1023
        if item.kind == "cr":
            array[140, 128] ^= 1
        data.PixelData = array.tobytes()

    found = edited(planted, tmp_path, edit)
    assert len(images) == count(planted, Leak.PIXELS) == 3
    assert found.leaks[Leak.PIXELS] == (1, 3)
    kept, expected = found.utility["pixels"]
    assert kept == expected - 1


def test_a_day_too_many_and_a_lost_reference_are_counted(planted: Corpus, copied: corpus.Score, tmp_path: Path) -> None:
    def edit(data: Dataset, item: corpus.Item) -> None:
        if item.kind == "mg":
            data.StudyDate = "19990101"
        if item.kind == "sr":
            del data.ContentSequence[2].ReferencedSOPSequence

    found = edited(planted, tmp_path, edit)
    assert found.utility["intervals"] == (copied.utility["intervals"][0] - 1, copied.utility["intervals"][1])
    assert found.utility["references"] == (copied.utility["references"][0] - 1, copied.utility["references"][1])


def test_uids_replaced_alike_everywhere_keep_every_reference(planted: Corpus, tmp_path: Path) -> None:
    def edit(data: Dataset, _: corpus.Item) -> None:
        for element in public(data):
            if element.VR == "UI" and str(element.value).startswith(planting.ROOT):
                element.value = "2.25." + str(int(hashlib.sha256(str(element.value).encode()).hexdigest()[:30], 16))
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
        data.file_meta.PrivateInformationCreatorUID = "2.25.1"

    found = edited(planted, tmp_path, edit, directory=False)
    assert found.leaks[Leak.UID][0] == 0
    kept, expected = found.utility["references"]
    assert kept == expected > 0


@pytest.mark.parametrize("codec", ["utf-8", "utf-16-le", "utf-16-be", "latin-1"])
def test_a_known_value_anywhere_in_a_file_is_found(planted: Corpus, tmp_path: Path, codec: str) -> None:
    (tmp_path / "notes.bin").write_bytes(b"\x01\x02" + planted.people[0].patient_id.encode(codec) + b"\xff")
    found = corpus.score(planted, tmp_path)
    assert found.leaks[Leak.ELSEWHERE] == (1, 1)
    assert found.unread == ["notes.bin"]


def test_scores_tell_no_value(planted: Corpus, copied: corpus.Score) -> None:
    text = repr(copied)
    assert planted.people[0].patient_id not in text
    assert planted.people[0].name.family not in text


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    def digest(name: str, seed: int) -> str:
        made = corpus.generate(tmp_path / name, seed=seed, patients=1, languages=("ja",))
        total = hashlib.sha256()
        for item in made.items:
            total.update(item.path.encode() + (made.folder / item.path).read_bytes())
        return total.hexdigest()

    first = digest("a", 5)
    assert digest("b", 5) == first
    assert digest("c", 6) != first


@pytest.mark.parametrize("language", corpus.LANGUAGES)
def test_names_of_every_language_survive_their_character_set(language: str) -> None:
    for seed in range(4):
        (person,) = corpus.people(seed, 1, languages=(language,))
        data = Dataset()
        data.SpecificCharacterSet = list(person.charset) if len(person.charset) > 1 else person.charset[0]
        data.PatientName = person.name.person_name
        stream = io.BytesIO()
        with quiet():
            data.save_as(stream, implicit_vr=False, little_endian=True)
            back = dcmread(io.BytesIO(stream.getvalue()), force=True)
            assert str(back.PatientName) == person.name.person_name


def test_glyphs_are_where_they_are_drawn() -> None:
    picture = np.zeros((40, 120), np.uint8)
    covered = drawing.burn(picture, drawing.glyphs("H", 20), 5, 7, 200)
    rows = np.nonzero(covered.any(axis=1))[0]
    assert abs((rows[-1] - rows[0] + 1) - 20) <= 1
    assert (picture[covered] >= 100).all()
    assert picture[~covered].max() < 100


def test_wrong_use_is_told(planted: Corpus, tmp_path: Path) -> None:
    with pytest.raises(OutputExistsError, match="holds files already"):
        corpus.generate(planted.folder)
    with pytest.raises(UnknownNameError, match="unknown language"):
        corpus.people(0, 1, languages=("klingon",))
    with pytest.raises(UsageError, match="needs patients"):
        corpus.generate(tmp_path / "none", patients=0)


def test_names_from_faker(tmp_path: Path) -> None:
    pytest.importorskip("faker")
    first = corpus.people(1, 9, faker=True)
    assert first == corpus.people(1, 9, faker=True)
    assert {person.language for person in first} == set(corpus.LANGUAGES)
    assert all(person.charset == ("ISO_IR 192",) for person in first)


def test_references_are_listed_with_their_paths(planted: Corpus) -> None:
    report = next(item for item in planted.items if item.kind == "sr")
    data = scoring.read(planted.folder / report.path)
    assert data is not None
    found = dict(documents.iterate_references(data))
    images = [scoring.read(planted.folder / item.path) for item in planted.items if item.kind == "ct"]
    assert images[0] is not None
    assert found["0040a730[2].00081199[0].00081155"] == images[0].SOPInstanceUID


def test_the_copy_command_of_the_system_is_a_copy(planted: Corpus, copied: corpus.Score, tmp_path: Path) -> None:
    shutil.copytree(planted.folder, tmp_path / "out")
    assert corpus.score(planted, tmp_path / "out").leaks == copied.leaks


def test_every_way_to_write_an_object_is_used(planted: Corpus) -> None:
    read = [scoring.read(planted.folder / item.path) for item in planted.items]
    used = {str(data.file_meta.TransferSyntaxUID) for data in read if data is not None}
    assert used == {
        *(uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian),
        *(uid.DeflatedExplicitVRLittleEndian, uid.RLELossless),
    }
    directory = scoring.read(planted.folder / "DICOMDIR")
    assert directory is not None
    assert directory.DirectoryRecordSequence[0].PatientID == planted.people[0].patient_id


def test_words_in_a_deflated_object_are_seen(planted: Corpus, tmp_path: Path) -> None:
    item = next(item for item in planted.items if item.kind == "pet")
    source = planted.folder / item.path
    hidden = [plant for plant in planted.plants if plant.instance == item.instance and plant.leak is Leak.PRIVATE]
    assert not any(code.encode() in source.read_bytes() for plant in hidden for code in plant.codes)
    shutil.copy(source, tmp_path / "image.dcm")
    found = corpus.score(planted, tmp_path)
    assert {(leak, place) for leak, at, place in found.left if at == item.instance} >= {
        (Leak.PRIVATE, plant.place) for plant in hidden
    }
