"""The gallery shows pictures that exist, credited, small enough to clone."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "explanation" / "gallery.md"
FOLDER = ROOT / "docs" / "images" / "gallery"


def test_every_picture_is_shown_and_credited() -> None:
    text = PAGE.read_text()
    shown = re.findall(r"!\[\w+\]\(\.\./images/gallery/(\w+)\.jpg\)", text)
    there = {path.stem for path in FOLDER.iterdir()}
    assert set(shown) == there
    credited = set(
        re.findall(r"\w+", "".join(line.split("|")[1] for line in text.splitlines() if line.count("|") == 4))
    )
    assert there <= credited


def test_the_pictures_together_stay_below_a_megabyte_and_a_half() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 1_500_000
