"""Text drawn into pixels, with the exact pixels of its glyphs."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Bits = NDArray[np.bool_]


@lru_cache(maxsize=1)
def latin_font() -> Path:
    """Return the font file that Matplotlib carries: Latin, Greek, Cyrillic and Arabic letters."""
    import matplotlib

    return Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")


def glyphs(text: str, capitals: int, *, font: Path | None = None, degrees: float = 0.0) -> Array:
    """Return the coverage of a line of text, 0 to 1, float32, just large enough.

    Args:
        capitals: height of a capital H in pixels.
        degrees: turned by this angle, against the clock.
    """
    from PIL import Image, ImageDraw

    face = _face(font or latin_font(), capitals)
    left, top, right, bottom = (round(edge) for edge in face.getbbox(text))
    image = Image.new("L", (right - left + 4, bottom - top + 4))
    ImageDraw.Draw(image).text((2 - left, 2 - top), text, fill=255, font=face)
    if degrees:
        image = image.rotate(degrees, expand=True, resample=Image.Resampling.BICUBIC)
    return np.asarray(image, np.float32) / 255


@lru_cache(maxsize=256)
def _face(font: Path, capitals: int) -> Any:
    from PIL import ImageFont

    for size in range(max(6, capitals), 4 * capitals + 8):
        face = ImageFont.truetype(str(font), size)
        _, top, _, bottom = face.getbbox("H")
        if bottom - top >= capitals:
            break
    return face


def burn(picture: Array, line: Array, row: int, column: int, value: Any) -> Bits:
    """Draw glyphs into a picture in place and return which pixels they cover by half or more.

    Args:
        picture: (rows, columns) or (rows, columns, samples), writable.
        line: coverage as `glyphs` returns it; what leaves the picture is cut.
        value: what a fully covered pixel becomes.
    """
    rows, columns = picture.shape[:2]
    line = line[: rows - row, : columns - column]
    part = picture[row : row + line.shape[0], column : column + line.shape[1]]
    cover = line[..., None] if picture.ndim == 3 else line
    mixed = part * (1 - cover) + np.asarray(value) * cover
    part[...] = np.rint(mixed).astype(picture.dtype) if picture.dtype.kind in "iu" else mixed
    covered = np.zeros((rows, columns), bool)
    covered[row : row + line.shape[0], column : column + line.shape[1]] = line >= 0.5
    return covered
