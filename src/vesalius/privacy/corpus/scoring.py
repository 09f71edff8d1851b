"""What is left in de-identified objects of a corpus: leaks by class, and what of the studies can still be used."""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian

from vesalius.io.dicom.values import PARSE_ERRORS, quiet, value
from vesalius.privacy.corpus.planting import ROOT
from vesalius.privacy.corpus.truth import Corpus, Item, Leak, Plant

Array = NDArray[Any]
ENCODINGS: Final = ("utf-8", "utf-16-le", "utf-16-be", "latin-1", "native")
"""The five encodings in which known values are looked for; native is the patient's own character set."""
NATIVE: Final[Mapping[str, str]] = {
    **{"zh": "gb18030", "ja": "iso2022_jp", "ko": "euc_kr", "ru": "iso8859_5", "ar": "iso8859_6"},
    **dict.fromkeys(("en", "de", "fr", "es"), "latin-1"),
}
SURVIVES: Final = 0.1
"""Text counts as left when more than this part of its glyph pixels survives."""
_LEAST_BYTES: Final = 5
_WORD = re.compile(rb"Q[BCDFGHJKMNPRTVWX]{8}Z", re.IGNORECASE)
_UID = re.compile(re.escape(ROOT).encode() + rb"\d{7}\.\d{6}")
_META_BEGIN: Final = 144
"""Preamble, prefix and the element that holds the length of the rest of the meta information."""


@dataclass(frozen=True)
class Output:
    """One file of the output."""

    path: Path
    name: str
    raw: bytes = field(repr=False)
    dataset: Dataset | None = field(repr=False)
    instance: int | None


@dataclass
class Score:
    """Leaks and utility of one output.

    Args:
        leaks: class -> (left, planted).
        utility: what is measured -> (kept, expected).
        left: the identifiers left, without their values: class, instance, place.
        unread: names of files that are not readable as DICOM.
    """

    leaks: dict[Leak, tuple[int, int]]
    utility: dict[str, tuple[int, int]]
    left: list[tuple[Leak, int, str]] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    @property
    def leaked(self) -> int:
        """Return the number of identifiers left."""
        return sum(left for left, _ in self.leaks.values())

    @property
    def planted(self) -> int:
        """Return the number of identifiers planted."""
        return sum(planted for _, planted in self.leaks.values())

    @property
    def useful(self) -> float:
        """Return the mean over the kinds of utility, 0 to 1."""
        return float(np.mean([kept / expected for kept, expected in self.utility.values() if expected]))


def score(corpus: Corpus, folder: Path) -> Score:
    """Return leaks and utility of the de-identified objects in a folder."""
    from vesalius.privacy.corpus import utility

    outputs = list(_outputs(folder))
    by_instance = {out.instance: out for out in outputs if out.instance is not None}
    words = frozenset(word for out in outputs for word in _planted_words(out))
    items = {item.instance: item for item in corpus.items}
    left = []
    for plant in corpus.plants:
        match = by_instance.get(plant.instance)
        if _is_left(plant, items.get(plant.instance), match, words, corpus, outputs):
            left.append((plant.leak, plant.instance, plant.place))
    left += _elsewhere(corpus, outputs, {instance for _, instance, _ in left})
    counts = corpus.counts() | {Leak.ELSEWHERE: len(outputs)}
    leaks = {leak: (sum(one[0] is leak for one in left), planted) for leak, planted in counts.items()}
    unread = [out.name for out in outputs if out.dataset is None]
    return Score(leaks, utility.measure(corpus, by_instance), left, unread)


def _outputs(folder: Path) -> Iterator[Output]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            raw = path.read_bytes()
            data = read(path)
            number = value(data, "InstanceNumber") if data is not None else None
            yield Output(
                path, str(path.relative_to(folder)), _inflated(raw, data), data, int(number) if number else None
            )


def _inflated(raw: bytes, data: Dataset | None) -> bytes:
    """Return the bytes of a file as they are, a deflated data set inflated."""
    meta = getattr(data, "file_meta", None)
    if meta is None or meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        return raw
    begin = _META_BEGIN + int(meta.FileMetaInformationGroupLength)
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        return raw[:begin] + stream.decompress(raw[begin:]) + stream.unused_data
    except zlib.error:
        return raw


def read(path: Path) -> Dataset | None:
    """Return a file as a data set, None when it is none."""
    try:
        with quiet():
            data = dcmread(path, force=False)
    except PARSE_ERRORS:
        return None
    return data


def _planted_words(out: Output) -> set[str]:
    """Return the made-up words and UIDs in a file, in any encoding: UTF-16 is ASCII with zeros between."""
    found: set[str] = set()
    for raw in (out.raw, out.raw[::2], out.raw[1::2], out.name.encode()):
        found |= {word.decode().upper() for word in _WORD.findall(raw)}
        found |= {unique.decode() for unique in _UID.findall(raw)}
    return found


def _is_left(
    plant: Plant,
    item: Item | None,
    out: Output | None,
    words: frozenset[str],
    corpus: Corpus,
    outputs: Sequence[Output],
) -> bool:
    if any(code in words for code in plant.codes):
        return True
    if plant.leak is Leak.FILE_NAME:
        return any(plain(token) in plain(other.name) for token in plant.tokens for other in outputs)
    if out is None or out.dataset is None or item is None:
        return False
    if plant.leak is Leak.OVERLAY and not plant.codes:
        return (0x6000, 0x3000) in out.dataset
    if plant.leak in (Leak.PIXELS, Leak.HIGH_BITS):
        return _glyphs_left(plant, item, out.dataset, corpus)
    if plant.leak is Leak.ICON:
        return "IconImageSequence" in out.dataset and bool(out.dataset.IconImageSequence)
    texts = texts_at(out.dataset, plant.place)
    if plant.exact:
        return any(
            token == text or (plant.leak is Leak.DATE and token[:8] == text[:8])
            for token in plant.tokens
            for text in texts
        )
    return any(plain(token) in plain(text) for token in plant.tokens if len(token) > 1 for text in texts)


def plain(text: str) -> str:
    """Return a text by which two writings of it compare equal."""
    return unicodedata.normalize("NFKC", text).casefold()


_STEP = re.compile(r"([0-9a-f]{8})(?:\[(\d+)\])?")


def element_at(dataset: Dataset, place: str) -> Any:
    """Return the element at a path, None when there is none."""
    current: Any = dataset
    for step in place.split("."):
        found = _STEP.fullmatch(step)
        if found is None:
            return None
        tag = int(found[1], 16)
        source = current.file_meta if tag >> 16 == 2 else current
        if tag not in source:
            return None
        element = source[tag]
        if found[2] is None:
            return element
        items = element.value
        if element.VR != "SQ" or len(items) <= int(found[2]):
            return None
        current = items[int(found[2])]
    return None


def texts_at(dataset: Dataset, place: str) -> list[str]:
    """Return the values at a path as texts; bytes in every encoding that reads them."""
    try:
        with quiet():
            element = element_at(dataset, place)
    except PARSE_ERRORS:
        return []
    if element is None or element.value is None:
        return []
    if isinstance(element.value, bytes):
        return [element.value.decode(codec, "ignore") for codec in ("utf-8", "utf-16-le", "utf-16-be", "latin-1")]
    many = element.VM > 1 and not isinstance(element.value, str)
    return [str(one) for one in element.value] if many else [str(element.value)]


def _glyphs_left(plant: Plant, item: Item, dataset: Dataset, corpus: Corpus) -> bool:
    """Return whether more than a tenth of the glyph pixels is still there."""
    source = read(corpus.folder / item.path)
    if item.glyphs is None or source is None:
        return False
    try:
        with quiet():
            if plant.leak is Leak.HIGH_BITS:
                bits = np.frombuffer(dataset.PixelData, "<u2")[: item.glyphs.size].reshape(item.glyphs.shape) >> 12
                return bool((bits[item.glyphs] != 0).mean() > SURVIVES)
            before, after = grey(source), grey(dataset)
    except PARSE_ERRORS:
        return False
    if before.shape != after.shape:
        return False
    same = np.abs(before - after)[item.glyphs] < 0.05 * item.window
    return bool(same.mean() > SURVIVES)


def grey(dataset: Dataset) -> Array:
    """Return the pixels of an object as one picture of floating-point grey values."""
    array: Array = dataset.pixel_array.astype(np.float32)
    colour = int(dataset.get("SamplesPerPixel", 1)) > 1
    return array.mean(axis=-1) if colour else array


def _elsewhere(corpus: Corpus, outputs: Sequence[Output], counted: set[int]) -> list[tuple[Leak, int, str]]:
    """Return files without a counted leak that hold a known value of any patient all the same."""
    runs = {run for person in corpus.people for known in person.known for run in _runs(known, person.language)}
    search = re.compile(b"|".join(re.escape(run) for run in sorted(runs, key=len, reverse=True)))
    found = []
    for index, out in enumerate(outputs):
        if out.instance not in counted and search.search(_without_pixels(out)):
            found.append((Leak.ELSEWHERE, out.instance or 0, f"file {index}"))
    return found


def _runs(known: str, language: str) -> set[bytes]:
    """Return a value's bytes in five encodings, those long enough not to occur by chance."""
    found = set()
    for name in ENCODINGS:
        try:
            run = known.encode(NATIVE[language] if name == "native" else name)
        except UnicodeEncodeError:
            continue
        if len(run) >= _LEAST_BYTES:
            found.add(run)
    return found


def _without_pixels(out: Output) -> bytes:
    """Return the bytes of a file without its pixel data, in which short runs occur by chance."""
    if out.dataset is None or "PixelData" not in out.dataset:
        return out.raw
    pixels = out.dataset.PixelData
    at = out.raw.find(pixels) if len(pixels) > 64 else -1
    return out.raw if at < 0 else out.raw[:at] + out.raw[at + len(pixels) :]
