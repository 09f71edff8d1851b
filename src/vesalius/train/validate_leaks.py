"""A test of the guards themselves: leaks and shortcuts are planted in real images, and `check` must find each.

Every planted cohort has a clean twin, in which the same marks are there but know nothing of the label (or the same
copies stay with their patient, in one split): there nothing may be said.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vesalius.core.cohort import Cohort
from vesalius.core.errors import UsageError, VesaliusError
from vesalius.evaluate.duplicates import find_duplicates, thumbnail
from vesalius.io.cohort import load_case
from vesalius.train.check import CheckOptions, CheckReport, check
from vesalius.train.facts import middle

Bits = NDArray[np.bool_]
Image = NDArray[np.uint8]

SIDE = 112
CASES = 96
LEAST = 48
COPIES = 6
ALARMS = ("shortcut", "neighbours", "label_told", "patient_split", "duplicate_split", "duplicate_label",
          "duplicate_patient", "duplicate_unknown")  # fmt: skip


@dataclass(frozen=True)
class Planted:
    """What became of one planted leak.

    Args:
        kind: what was planted; its title is the message `evaluation.leak.<kind>`.
        expected: what must be found, "kind" or "shortcut:mechanism".
        found: everything that was said of the planted cohort.
        caught: whether the expected is among it.
        false_alarms: what was said of the clean twin.
    """

    kind: str
    expected: str
    found: tuple[str, ...]
    caught: bool
    false_alarms: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Base:
    """Clean real images, one per patient, with labels that were drawn."""

    images: tuple[Image, ...]
    ill: Bits
    numbers: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Written:
    """A cohort being written: the folder, the images, and which cases are marked."""

    folder: Path
    base: Base
    marks: Bits
    planted: bool

    def cohort(self, paths: list[str] | None = None) -> Cohort:
        """Return the cohort; without paths the images are written as they are."""
        names = paths or [_png(self.folder, one, n) for one, n in zip(self.base.images, self.base.numbers, strict=True)]
        count = len(names)
        return Cohort({
            "path": np.array(names), "label": np.where(self.base.ill, "a", "b"),
            "patient_id": np.array([f"p{row}" for row in range(count)]), "basis": np.full(count, "licence:test"),
            "split": np.where(np.arange(count) % 4 == 0, "test", "train"),
        }, self.folder)  # fmt: skip

    def each(self, change: Callable[[Image, bool], Image]) -> Cohort:
        """Return the cohort with every image changed by its mark."""
        pairs = zip(self.base.images, self.marks.tolist(), self.base.numbers, strict=True)
        return self.cohort([_png(self.folder, change(image, mark), number) for image, mark, number in pairs])


def planted_leaks(
    cohort: Cohort, seed: int = 0, *, draws: int = 2000, progress: Callable[[int, int], None] | None = None
) -> tuple[Planted, ...]:
    """Return, for each kind of leak, whether `check` finds it and stays silent on its clean twin.

    Args:
        cohort: with images; their labels are not used, new ones are drawn.
        seed: of the sample, of the labels and of what is planted.
        progress: called with (kinds done, kinds in all).

    Raises:
        UsageError: too few images that can be read and differ.
    """
    base, made = clean(cohort, seed), []
    rng = np.random.default_rng(seed + 1)
    by_chance = rng.permutation(base.ill)
    for done, (kind, (expected, plant)) in enumerate(KINDS.items()):
        with tempfile.TemporaryDirectory(prefix="vesalius-") as name:
            reports = []
            for planted in (True, False):
                folder = Path(name) / ("planted" if planted else "clean")
                folder.mkdir()
                written = _Written(folder, base, base.ill if planted else by_chance, planted)
                reports.append(check(plant(written, np.random.default_rng(seed + 2)), CheckOptions(draws=draws)))
        found, alarms = (tuple(dict.fromkeys(_told(report))) for report in reports)
        made.append(Planted(kind, expected, found, expected in found, alarms))
        if progress is not None:
            progress(done + 1, len(KINDS))
    return tuple(made)


def clean(cohort: Cohort, seed: int) -> Base:
    """Return a sample of different images of different patients, of one size and mode, with labels that were drawn.

    Raises:
        UsageError: too few of them.
    """
    if not cohort.has("path"):
        raise UsageError("leaks are planted in images", found="a table without the column path", expected="images")
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(cohort))
    patients = cohort.text("patient_id")
    seen: set[str] = set()
    images: list[Image] = []
    for row in order.tolist():
        if (patients[row] and patients[row] in seen) or len(images) >= 2 * CASES:
            continue
        try:
            images.append(_standard(middle(load_case(cohort, row))))
        except VesaliusError:
            continue
        seen.add(patients[row])
    small = [thumbnail(one) for one in images]
    copies = {pair.second for pair in find_duplicates(small, [one.tobytes().hex() for one in images])}
    kept = [one for k, one in enumerate(images) if k not in copies and one.std() > 0][:CASES]
    if len(kept) < LEAST:
        raise UsageError("too few images for the self-test", found=f"{len(kept)} that differ and can be read",
                         expected=f"{LEAST} or more")  # fmt: skip
    ill = rng.permutation(np.arange(len(kept)) % 2 == 0)
    return Base(tuple(kept), ill, rng.permutation(10 * len(kept))[: len(kept)].astype(np.int64))


def _standard(plane: NDArray[np.float64]) -> Image:
    from PIL import Image as Pillow

    low, high = np.percentile(plane, (0.5, 99.5))
    grey = np.clip((plane - low) / max(high - low, 1e-9), 0, 1) * 255
    return np.asarray(Pillow.fromarray(grey.astype(np.uint8)).resize((SIDE, SIDE), Pillow.Resampling.BILINEAR))


def _told(report: CheckReport) -> list[str]:
    """Return what a check says that would be an alarm, as "kind" or "shortcut:mechanism"."""
    return [f"{one.kind}:{one.mechanism}" if one.kind == "shortcut" else one.kind for one in report.findings
            if one.level != "note" and one.kind in ALARMS]  # fmt: skip


def _png(folder: Path, image: Image, number: int, **options: object) -> str:
    from PIL import Image as Pillow

    suffix = str(options.pop("suffix", "png"))
    path = folder / f"image_{number:05d}.{suffix}"
    Pillow.fromarray(image).save(path, **options)  # type: ignore[arg-type]
    return path.name


def _copied(written: _Written, change: Callable[[Image], Image] | None, suffix: str = "png") -> Cohort:
    """Return the cohort with copies of its first images: of other patients in the other split, or within both."""
    plain = written.cohort()
    chosen = list(range(COPIES))
    names = [str(plain.text("path")[k]) for k in chosen]
    if change is not None:
        options = {"suffix": suffix, "quality": 70} if suffix == "jpg" else {"suffix": suffix}
        high = 20 * len(plain)
        names = [_png(written.folder, change(written.base.images[k]), high + k, **options) for k in chosen]
    columns = {}
    for name in plain.names:
        values = plain.text(name)
        columns[name] = np.concatenate([values, values[chosen]])
    columns["path"] = np.concatenate([plain.text("path"), names])
    if written.planted:
        other = np.where(plain.text("split")[chosen] == "test", "train", "test")
        columns["split"] = np.concatenate([plain.text("split"), other])
        columns["patient_id"] = np.concatenate([plain.text("patient_id"), [f"q{k}" for k in chosen]])
    return Cohort(columns, written.folder)


def _renamed(written: _Written, rng: np.random.Generator) -> Cohort:
    return _copied(written, None)


def _exact(written: _Written, rng: np.random.Generator) -> Cohort:
    """Copy files; planted, under the other label."""
    made = _copied(written, lambda image: image)
    if not written.planted:
        return made
    labels = made.text("label").astype("U1")
    labels[-COPIES:] = np.where(labels[-COPIES:] == "a", "b", "a")
    return made.with_columns(label=labels, split=np.full(len(made), "train"))


def _reencoded(written: _Written, rng: np.random.Generator) -> Cohort:
    return _copied(written, lambda image: image, "jpg")


def _turned(written: _Written, rng: np.random.Generator) -> Cohort:
    return _copied(written, lambda image: np.ascontiguousarray(np.rot90(image[:, ::-1])))


def _twice(written: _Written, rng: np.random.Generator) -> Cohort:
    """Give two cases of different splits one patient; in the twin two of one split."""
    plain = written.cohort()
    patients = plain.text("patient_id").astype("U8")
    patients[1 if written.planted else 4] = patients[0]
    return plain.with_columns(patient_id=patients)


def _size(written: _Written, rng: np.random.Generator) -> Cohort:
    return written.each(lambda image, mark: image if mark else image[:, 4:-4])


def _corner(written: _Written, rng: np.random.Generator) -> Cohort:
    def change(image: Image, mark: bool) -> Image:
        found = image.copy()
        if mark:
            found[4:14:2, 4:20] = 255
            found[4:14, 4:20:4] = 0
        return found

    return written.each(change)


def _border(written: _Written, rng: np.random.Generator) -> Cohort:
    def change(image: Image, mark: bool) -> Image:
        found = image.copy()
        if mark:
            found[:5], found[-5:] = 0, 0
        return found

    return written.each(change)


def _mode(written: _Written, rng: np.random.Generator) -> Cohort:
    return written.each(lambda image, mark: np.stack([image] * 3, axis=-1) if mark else image)


def _quality(written: _Written, rng: np.random.Generator) -> Cohort:
    pairs = zip(written.base.images, written.marks.tolist(), written.base.numbers, strict=True)
    return written.cohort([_png(written.folder, image, n, suffix="jpg", quality=75 if mark else 92)
                           for image, mark, n in pairs])  # fmt: skip


def _order(written: _Written, rng: np.random.Generator) -> Cohort:
    """Number the files of one mark before those of the other."""
    place = np.argsort(np.argsort(written.marks, kind="stable"), kind="stable")
    mixed = rng.permutation(10_000)[: len(place)]
    numbers = np.sort(mixed)[place]
    return written.cohort([_png(written.folder, image, int(n)) for image, n in
                           zip(written.base.images, numbers, strict=True)])  # fmt: skip


def _column(name: str, values: Callable[[Bits, np.random.Generator], NDArray[np.generic]]) -> Plant:
    def plant(written: _Written, rng: np.random.Generator) -> Cohort:
        return written.cohort().with_columns(**{name: values(written.marks, rng)})

    return plant


Plant = Callable[[_Written, np.random.Generator], Cohort]
KINDS: Mapping[str, tuple[str, Plant]] = {
    "renamed_patient": ("duplicate_split", _renamed),
    "exact_copy": ("duplicate_label", _exact),
    "reencoded_copy": ("duplicate_split", _reencoded),
    "turned_copy": ("duplicate_split", _turned),
    "patient_twice": ("patient_split", _twice),
    "size": ("shortcut:size", _size),
    "corner": ("shortcut:corner", _corner),
    "border": ("shortcut:border", _border),
    "mode": ("shortcut:mode", _mode),
    "quality": ("shortcut:encoding", _quality),
    "order": ("shortcut:order", _order),
    "site": ("shortcut:site", _column("site", lambda marks, rng: np.where(marks, "north", "south"))),
    "scanner": ("shortcut:scanner", _column("scanner", lambda marks, rng: np.where(marks, "A", "B"))),
    "missing": ("shortcut:missing", _column("bmi", lambda marks, rng: np.where(
        marks & (rng.random(len(marks)) < 0.7), np.nan, rng.normal(26, 4, len(marks)).round(1)))),
    "computed": ("label_told", _column("marker", lambda marks, rng: np.round(
        np.where(marks, 5.2, 2.0) + 3 * rng.random(len(marks)), 2))),
}  # fmt: skip
"""What is planted -> what `check` must say, and how it is planted."""
