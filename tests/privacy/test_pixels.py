"""Text in pixels: found, blanked without touching another bit, and not found where there is none."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread, uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate

from vesalius.core.errors import ImageContentError, MissingDependencyError, ReadError, UnsupportedError
from vesalius.io.dicom.values import quiet
from vesalius.privacy import pixels
from vesalius.privacy.corpus import drawing, objects
from vesalius.privacy.pixels import lines, model, stored, views

pytest.importorskip("rapidocr", reason="the extra ocr is not installed")

NAME = "KOWALSKI ANNA"
Array = NDArray[Any]


def picture(rows: int = 120, columns: int = 200, *, seed: int = 1, high: float = 180) -> Array:
    return objects.anatomy(rows, columns, seed, low=5, high=high).astype(np.uint8)


def with_text(
    base: Array, value: Any = 255, *, row: int = 8, column: int = 10, text: str = NAME
) -> tuple[Array, Array]:
    changed = base.copy()
    return changed, drawing.burn(changed, drawing.glyphs(text, 12), row, column, value)


def data_set(
    array: Array, *, bits: int, photometric: str = "MONOCHROME2", syntax: str = uid.ExplicitVRLittleEndian
) -> Dataset:
    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID = uid.SecondaryCaptureImageStorage, "1.2.3.4"
    data.SeriesInstanceUID = "1.2.3"
    objects.pixels(data, array, bits=bits, photometric=photometric)
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = syntax
    return data


def mask_of(outcome: pixels.PixelOutcome, shape: tuple[int, ...], frame: int = 0) -> NDArray[np.bool_]:
    covered = np.zeros(shape, bool)
    for one in outcome.boxes:
        if one.frame == frame:
            covered |= one.box.mask(shape)
    return covered


def test_text_is_found_whole_and_nothing_where_there_is_none() -> None:
    plain = picture()
    shown, glyphs = with_text(plain)
    found = pixels.find_text(shown)
    covered = np.zeros(shown.shape, bool)
    for box in found.boxes:
        covered |= box.mask(shown.shape)
    assert covered[glyphs].all()
    assert covered.mean() < 0.4
    assert pixels.find_text(plain) == pixels.Found(())


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_text_in_every_direction_is_found(turns: int) -> None:
    shown, glyphs = with_text(picture())
    shown, glyphs = np.rot90(shown, turns).copy(), np.rot90(glyphs, turns)
    covered = np.zeros(shown.shape, bool)
    for box in pixels.find_text(shown).boxes:
        covered |= box.mask(shown.shape)
    assert covered[glyphs].mean() > 0.9


def test_what_the_text_says_is_not_kept() -> None:
    shown, _ = with_text(picture())
    data = data_set(shown, bits=8)
    assert "KOWALSKI" not in repr(pixels.clean(data)) + repr(pixels.find_text(shown))


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_only_bits_in_boxes_change_and_boxes_are_black(photometric: str) -> None:
    base = (picture().astype(np.uint16) * 5) + 30
    base = 1400 - base if photometric == "MONOCHROME1" else base
    shown, glyphs = with_text(base, 0 if photometric == "MONOCHROME1" else 1900)
    data = data_set(shown, bits=12, photometric=photometric)
    outcome = pixels.clean(data)
    after = data.pixel_array
    covered = mask_of(outcome, shown.shape)
    assert outcome.changed
    assert not outcome.doubtful
    assert covered[glyphs].all()
    assert (after[~covered] == shown[~covered]).all()
    black = shown[~covered].max() if photometric == "MONOCHROME1" else shown[~covered].min()
    assert set(np.unique(after[covered])) == {black}
    assert pixels.find_text(after).boxes == ()


def test_an_object_without_text_is_not_touched() -> None:
    data = data_set(picture(), bits=8)
    before = data.PixelData
    assert pixels.clean(data) == pixels.PixelOutcome(False)
    assert data.PixelData is before


def test_bits_above_the_stored_ones_stay_outside_the_boxes() -> None:
    base = picture().astype(np.uint16) * 8
    shown, _ = with_text(base, 3000)
    high = shown | np.uint16(0x8000)
    data = data_set(high, bits=12)
    outcome = pixels.clean(data)
    after = np.frombuffer(data.PixelData, "<u2").reshape(shown.shape)
    covered = mask_of(outcome, shown.shape)
    assert covered.any()
    assert (after[~covered] == high[~covered]).all()


@pytest.mark.parametrize(
    ("syntax", "kept"),
    [
        (uid.RLELossless, True),
        (uid.JPEGLSLossless, True),
        (uid.ExplicitVRBigEndian, True),
        (uid.ImplicitVRLittleEndian, True),
    ],
)
def test_lossless_objects_stay_lossless_in_their_transfer_syntax(syntax: uid.UID, kept: bool) -> None:
    shown, glyphs = with_text(picture().astype(np.uint16) * 8, 3000)
    data = data_set(shown, bits=12)
    if syntax.is_encapsulated:
        with quiet():
            data.compress(syntax, generate_instance_uid=False)
    elif not syntax.is_little_endian:
        data.PixelData = shown.astype(">u2").tobytes()
    data.file_meta.TransferSyntaxUID = syntax
    outcome = pixels.clean(data)
    assert (data.file_meta.TransferSyntaxUID == syntax) is kept
    after = data.pixel_array
    covered = mask_of(outcome, shown.shape)
    assert covered[glyphs].all()
    assert (after[~covered] == shown[~covered]).all()


def test_a_lossy_object_is_written_lossless_and_its_history_stays() -> None:
    shown, glyphs = with_text(picture())
    stream = io.BytesIO()
    Image.fromarray(shown).save(stream, "JPEG", quality=90)
    data = data_set(shown, bits=8)
    data.PixelData = encapsulate([stream.getvalue()])
    data["PixelData"].is_undefined_length = True
    data.LossyImageCompression, data.LossyImageCompressionRatio = "01", "12"
    data.file_meta.TransferSyntaxUID = uid.JPEGBaseline8Bit
    before = data.pixel_array.copy()
    outcome = pixels.clean(data)
    assert data.file_meta.TransferSyntaxUID == uid.ExplicitVRLittleEndian
    assert (data.LossyImageCompression, str(data.LossyImageCompressionRatio)) == ("01", "12")
    covered = mask_of(outcome, shown.shape)
    assert covered[glyphs].all()
    assert (data.pixel_array[~covered] == before[~covered]).all()
    out = io.BytesIO()
    data.save_as(out, enforce_file_format=True)
    assert (dcmread(io.BytesIO(out.getvalue())).pixel_array == data.pixel_array).all()


def test_a_jpeg_2000_object_keeps_every_value_outside_the_boxes() -> None:
    utils = pytest.importorskip("openjpeg.utils")
    shown, glyphs = with_text(picture().astype(np.uint16) * 8, 3000)
    data = data_set(shown, bits=12)
    data.PixelData = encapsulate([utils.encode_array(shown, bits_stored=12)])
    data["PixelData"].is_undefined_length = True
    data.file_meta.TransferSyntaxUID = uid.JPEG2000Lossless
    outcome = pixels.clean(data)
    covered = mask_of(outcome, shown.shape)
    assert data.file_meta.TransferSyntaxUID in (uid.JPEG2000Lossless, uid.ExplicitVRLittleEndian)
    assert covered[glyphs].all()
    pixels_of = stored.load(data)
    assert pixels_of is not None
    assert (pixels_of.frames[0][~covered] == shown[~covered]).all()


@pytest.mark.parametrize("planar", [0, 1])
def test_colours_by_pixel_or_by_plane(planar: int) -> None:
    base = np.repeat(picture()[..., None], 3, axis=-1)
    shown, glyphs = with_text(base, (255, 255, 0))
    data = data_set(shown, bits=8, photometric="RGB")
    if planar:
        data.PlanarConfiguration = 1
        data.PixelData = np.moveaxis(shown, -1, 0).tobytes()
    outcome = pixels.clean(data)
    after = data.pixel_array
    covered = mask_of(outcome, shown.shape[:2])
    assert covered[glyphs].all()
    assert (after[~covered] == shown[~covered]).all()
    assert (after[covered] == 0).all()


def test_each_frame_is_looked_at() -> None:
    frames = np.stack([picture(seed=seed) for seed in (1, 2, 3)])
    second, glyphs = with_text(frames[1])
    frames[1] = second
    data = data_set(frames, bits=8)
    data.NumberOfFrames = 3
    for every in (True, False):
        again = data_set(frames, bits=8)
        again.NumberOfFrames = 3
        outcome = pixels.clean(again, every_frame=every)
        assert {one.frame for one in outcome.boxes} == {1}
        assert mask_of(outcome, second.shape, 1)[glyphs].all()
        assert (again.pixel_array[[0, 2]] == frames[[0, 2]]).all()


def test_text_that_a_series_shares_is_blanked_where_it_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    series = pixels.SeriesText()
    first, glyphs = with_text(picture(seed=1))
    assert pixels.clean(data_set(first, bits=8), series=series).changed
    second, _ = with_text(picture(seed=1))
    monkeypatch.setattr("vesalius.privacy.pixels.cleaning.find_text", lambda *_, **__: pixels.Found(()))
    data = data_set(second, bits=8)
    assert pixels.clean(data, series=series).changed
    assert (data.pixel_array[glyphs] != second[glyphs]).all()
    without = data_set(picture(seed=4), bits=8)
    assert not pixels.clean(without, series=series).changed


def test_doubt_comes_with_a_picture_for_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    box = pixels.TextBox(((5.0, 5.0), (5.0, 50.0), (20.0, 50.0), (20.0, 5.0)), 0.5)
    monkeypatch.setattr("vesalius.privacy.pixels.cleaning.find_text", lambda *_, **__: pixels.Found((), (box,)))
    outcome = pixels.clean(data_set(picture(), bits=8))
    assert outcome.doubtful
    assert not outcome.changed
    assert outcome.previews[0].startswith(b"\x89PNG")


def test_text_that_cannot_be_removed_is_doubtful(monkeypatch: pytest.MonkeyPatch) -> None:
    box = pixels.TextBox(((5.0, 5.0), (5.0, 50.0), (20.0, 50.0), (20.0, 5.0)), 0.9)
    monkeypatch.setattr("vesalius.privacy.pixels.cleaning.find_text", lambda *_, **__: pixels.Found((box,)))
    outcome = pixels.clean(data_set(picture(), bits=8))
    assert outcome.changed
    assert outcome.doubtful


def test_ultrasound_regions_are_read_and_a_hint_outside_is_enough() -> None:
    frame = _ultrasound_frame()
    data, glyphs = objects.ultrasound(frame)
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    assert pixels.ultrasound_regions(data) == [(48, 0, 240, 320)]
    before = data.pixel_array.copy()
    outcome = pixels.clean(data)
    covered = mask_of(outcome, before.shape[:2])
    assert glyphs is not None
    assert covered[glyphs].mean() > 0.99
    assert (data.pixel_array[60:] == before[60:]).all()


def _ultrasound_frame() -> objects.Frame:
    from datetime import date

    from vesalius.privacy.corpus import people

    (person,) = people(2, 1, languages=("fr",))
    return objects.Frame(person, date(2020, 3, 4), 1, "1.2.1", "1.2.2", "1.2.3", "1.2.4")


def test_labels_and_objects_without_pixels_are_left_alone() -> None:
    data = data_set(picture(), bits=8)
    data.SOPClassUID = uid.SegmentationStorage
    assert pixels.clean(data) == pixels.PixelOutcome(False)
    assert pixels.clean(Dataset()) == pixels.PixelOutcome(False)


def test_bad_pixels_are_refused_by_name() -> None:
    data = data_set(picture(), bits=8)
    data.PixelData = data.PixelData[:100]
    with pytest.raises(ReadError, match="fewer pixels than declared"):
        pixels.clean(data)
    data.BitsAllocated = 1
    with pytest.raises(UnsupportedError, match="whole bytes"):
        pixels.clean(data)
    with pytest.raises(ImageContentError, match="one picture"):
        pixels.find_text(np.zeros((2, 3, 4, 5)))


def test_without_the_models_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vesalius.privacy.pixels.model.util.find_spec", lambda _: None)
    model._session.cache_clear()
    with pytest.raises(MissingDependencyError, match="vesalius\\[ocr\\]"):
        pixels.find_text(picture())


@pytest.mark.parametrize("degrees", [0.0, 25.0, 90.0, -40.0])
def test_a_slanted_bar_gives_its_own_box(degrees: float) -> None:
    angle = np.deg2rad(degrees)
    y, x = np.mgrid[:160, :160].astype(float) - 80
    along, across = x * np.cos(angle) + y * np.sin(angle), -x * np.sin(angle) + y * np.cos(angle)
    (line,) = lines.candidates(((np.abs(along) < 50) & (np.abs(across) < 6)).astype(np.float32))
    assert (line.row, line.column) == pytest.approx((80, 80), abs=1)
    assert (line.length, line.thickness) == pytest.approx((100, 12), abs=2.5)
    assert abs(np.sin(line.angle - angle)) < 0.03


def test_views_of_one_line_become_one_and_neighbours_stay_apart() -> None:
    line = lines.Line(50, 60, 0.0, 80, 10, 1.0, 0.9, 0.9)
    longer = lines.Line(51, 75, 0.0, 80, 11, 0.95, 0.8, 0.9)
    below = lines.Line(70, 60, 0.0, 80, 10, 1.0, 0.9, 0.9)
    merged = lines.merge([[line, below], [longer]])
    assert sorted(one.seen for one in merged) == [1, 2]
    joined = next(one for one in merged if one.seen == 2)
    assert joined.length == pytest.approx(95)
    assert joined.column == pytest.approx(67.5)


def test_upright_undoes_the_turn() -> None:
    shown, glyphs = with_text(np.zeros((60, 180), np.uint8))
    rows, columns = np.nonzero(glyphs)
    centre = (rows.mean(), columns.mean())
    line = lines.Line(*centre, 0.0, float(np.ptp(columns)), float(np.ptp(rows)), 1, 1, 1)
    text, score = model.read(lines.upright(shown, line))
    assert (text.replace(" ", ""), score > 0.9) == (NAME.replace(" ", ""), True)
    down = np.rot90(shown, -1).copy()
    turned = lines.Line(centre[1], 59 - centre[0], np.pi / 2, line.length, line.thickness, 1, 1, 1)
    read = lines.with_text(turned, (down,), model.read)
    assert read.text.replace(" ", "") == NAME.replace(" ", "")


def test_pictures_show_the_window_and_what_lies_beyond_it() -> None:
    values = np.linspace(-1000, 3000, 64 * 64).reshape(64, 64)
    shown = views.pictures(values, (0.0, 400.0))
    assert len(shown) == 2
    assert (shown[0] == 0).mean() == pytest.approx(0.25, abs=0.01)
    assert len(views.pictures(values)) == 1


def test_tiles_cover_every_pixel_once_or_more() -> None:
    for length in (100, 960, 961, 2140):
        starts = model._starts(length, 640, 86)
        covered = np.zeros(length, bool)
        for start in starts:
            assert 0 <= start <= max(0, length - 640)
            covered[start : start + 640] = True
        assert covered.all()


def test_palette_colours_are_seen_as_colours() -> None:
    index = (picture() // 64).astype(np.uint8)
    data = data_set(index, bits=8, photometric="PALETTE COLOR")
    for name in ("Red", "Green", "Blue"):
        setattr(data, f"{name}PaletteColorLookupTableDescriptor", [4, 0, 8])
        setattr(data, f"{name}PaletteColorLookupTableData", bytes((200, 120, 60, 0)))
    pixels_of = stored.load(data)
    assert pixels_of is not None
    table = np.array((200, 120, 60, 0))
    assert (stored.seen(pixels_of, 0, data) == table[index][..., None]).all()
    assert int(stored.blanking_value(pixels_of, np.zeros((1, *index.shape), bool), data)) == index.max()


@pytest.mark.slow
def test_both_real_images_with_invented_names_are_cleaned(data_root: Path) -> None:
    folder = data_root / "dicom_presidio_phi"
    truth = json.loads((folder / "dicom_pii_verify_integration.json").read_text())["ground_truth"]
    for name in ("0_ORIGINAL_compressed.dcm", "2_ORIGINAL.dcm"):
        data = dcmread(folder / name)
        syntax, before = data.file_meta.TransferSyntaxUID, data.pixel_array.copy()
        outcome = pixels.clean(data)
        covered = mask_of(outcome, before.shape)
        assert not outcome.doubtful
        assert data.file_meta.TransferSyntaxUID == syntax
        assert (data.pixel_array[~covered] == before[~covered]).all()
        assert covered.mean() < 0.05
        if name.startswith("0"):
            # The boxes were drawn on the picture with a border of 25 pixels.
            for box in truth:
                top, left = box["top"] - 25, box["left"] - 25
                assert covered[top : top + box["height"], left : left + box["width"]].mean() > 0.95
