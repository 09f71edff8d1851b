"""De-identification: objects a second on one core, small headers and 512 x 512 slices, against pydicom alone.

    python benchmarks/deidentify.py [--objects 200] [--pixels 40] [--json FILE]

The peer reads and writes every object again with pydicom and changes nothing: no de-identifier in Python is faster.
Equality: pixel data are the same bytes, and no planted value is left. The search for burned-in text is not part of it
(about a second an image, see benchmarks of the pixels); both passes over the files are.
Rates are per second of processor time, so that a busy machine does not matter.
Promise: 60 small objects a second on one core.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from vesalius.pipeline.deidentify import Request, deidentify
from vesalius.privacy import Pseudonyms, choose

PROMISED = 60.0
PLANTED = b"QUIMBYZELDA"


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    work: str
    objects: int
    per_second: float
    pydicom_per_second: float
    ratio: float
    equal: bool


def written(folder: Path, count: int, side: int) -> None:
    """Write CT slices with 200 elements each and a planted name."""
    base = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    rng = np.random.default_rng(0)
    for number in range(count):
        data = Dataset()
        data.update(base)
        data.file_meta = base.file_meta
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{number}"
        data.PatientName, data.InstanceNumber = "QUIMBYZELDA^A", number
        data.Rows = data.Columns = side
        data.PixelData = rng.integers(0, 2000, (side, side), np.uint16).tobytes()
        data.save_as(folder / f"{number:05d}.dcm", enforce_file_format=True)


def ours(source: Path, target: Path) -> float:
    """Return objects per second of processor time of a whole run in one process."""
    started = time.process_time()
    profile = choose(less=["clean-pixel-data"])
    summary = deidentify(Request(source, target, Pseudonyms(bytes(32), "benchmark"), profile, workers=0))
    if summary.error is not None:
        raise SystemExit(str(summary.error))
    return len(summary.lines) / (time.process_time() - started)


def peer(source: Path, target: Path) -> float:
    """Return objects per second of processor time of reading and writing with pydicom."""
    target.mkdir()
    paths = sorted(source.iterdir())
    started = time.process_time()
    for path in paths:
        data = pydicom.dcmread(path)
        for _ in data.iterall():
            pass
        data.save_as(target / path.name)
    return len(paths) / (time.process_time() - started)


def equal(source: Path, target: Path) -> bool:
    """Return whether pixel data are the same and nothing planted is left."""
    before = {pydicom.dcmread(path).InstanceNumber: pydicom.dcmread(path).PixelData for path in source.iterdir()}
    outputs = list(target.rglob("*.dcm"))
    after = {pydicom.dcmread(path).InstanceNumber: pydicom.dcmread(path).PixelData for path in outputs}
    return before == after and not any(PLANTED in path.read_bytes() for path in outputs)


def row(work: str, count: int, side: int) -> Row:
    """Measure one kind of object."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").mkdir()
        written(folder / "in", count, side)
        ours(folder / "in", folder / "warm")
        mine, other = ours(folder / "in", folder / "out"), peer(folder / "in", folder / "peer")
        return Row(work, count, mine, other, other / mine, equal(folder / "in", folder / "out"))


def main() -> int:
    """Print the table; exit 1 when the promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=200)
    parser.add_argument("--pixels", type=int, default=40)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows = [row("small objects (32 x 32)", given.objects, 32), row("slices 512 x 512", given.pixels, 512)]
    print(f"{'work':<26}{'objects':>8}{'ours /s':>10}{'pydicom /s':>12}{'ratio':>8}  equal")
    for one in rows:
        print(
            f"{one.work:<26}{one.objects:>8}{one.per_second:>10.0f}{one.pydicom_per_second:>12.0f}{one.ratio:>8.2f}"
            f"  {one.equal}"
        )
    if given.json:
        given.json.write_text(json.dumps([asdict(one) for one in rows], indent=1) + "\n")
    return 0 if rows[0].per_second >= PROMISED and all(one.equal for one in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
