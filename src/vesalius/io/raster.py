"""Pictures: PNG, JPEG and TIFF, 8 and 16 bit, grey and colour, one page or several.

A picture has no patient frame and no spacing: resolution in dots per inch describes paper or a screen, so the spacing
stays unknown whatever the file says.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vesalius.core import Axis, Frame, Geometry, Message, Series, Spacing, Step, Verdict, Volume
from vesalius.core.errors import LimitError, ReadError, UnsupportedError
from vesalius.io.inflate import LARGEST_RATIO, reading, truncated
from vesalius.io.single import FLAT, Found, check_sizes, colours, path_of, read_step, series_of

if TYPE_CHECKING:
    from PIL.Image import Exif, Image

FORMAT = "raster"
LARGEST_PAGES = 10_000
FREE_BYTES = 128 * 2**20
"""A picture may always inflate to this much; above it `LARGEST_RATIO` of its file holds. Decoding takes three times."""
_EXIF_BYTES = 2**16
_ORIENTATION, _BITS, _COMPRESSION, _CHANNELS = 0x0112, 258, 259, 277
_RESOLUTION, _PLANES, _SAMPLES = 282, 284, 339
_GREY = {"L", "I;16", "I;16B", "I;16L", "I;16N", "I", "F", "1"}
_EXACT = {*_GREY, "RGB"}
_SILENT = logging.NullHandler()


@dataclass(frozen=True, eq=False)
class _Picture:
    """What the header tells: size as shown, pages read, colour or not, 16-bit colour, its planes, oddities."""

    rows: int
    columns: int
    pages: int
    colour: bool
    dtype: str
    turned: int
    deep_colour: bool
    planar: bool
    problems: tuple[Message, ...]


def describe_file(path: str | Path) -> Series:
    """Return the descriptor of a picture from its header, its declared size checked against the limits.

    Raises:
        ReadError: no PNG, JPEG or TIFF, or damaged.
        LimitError: it would inflate beyond the limit.
    """
    path = Path(path)
    with _opened(path) as image:
        return series_of(path, FORMAT, _found(_picture(image, path)))


def read(source: Series | Path | str) -> Volume:
    """Return the picture as [1, row, column], [1, row, column, 3] or, of a TIFF with pages, [page, row, column(, 3)].

    8 and 16-bit values stay as stored; palettes become colour (or grey when all entries are), alpha is dropped, the
    EXIF orientation is applied. Frame `image`, spacing `unknown`.

    Raises:
        ReadError: no PNG, JPEG or TIFF, truncated or damaged.
        LimitError: it would inflate beyond the limit.
    """
    path = path_of(source)
    with _opened(path) as image:
        picture = _picture(image, path)
        if picture.deep_colour:
            array = _deep_pages(path, picture)
        else:
            pages = [_page(image, page, picture) for page in range(picture.pages)]
            array = np.stack(pages) if len(pages) > 1 else pages[0][np.newaxis]
    found = _found(picture)
    steps: tuple[Step, ...] = read_step(FORMAT, array)
    if picture.turned > 1:
        steps = (*steps, Step("exif_orientation", {"value": picture.turned}))
    modality = source.modality if isinstance(source, Series) else ""
    return Volume(array, FLAT, Frame.IMAGE, Spacing.UNKNOWN, steps, modality, found.axis)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Image]:
    from PIL import Image, UnidentifiedImageError

    # Without a handler Pillow's complaints about damaged files go to stderr beside our error.
    logging.getLogger("PIL").addHandler(_SILENT)
    with reading(path, "PNG, JPEG or TIFF"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(path, formats=("PNG", "JPEG", "TIFF")) as image:
                yield image
        except Image.DecompressionBombError as problem:
            raise _too_large(path, "far more pixels than a picture has", "179 million pixels") from problem
        except UnidentifiedImageError as problem:
            raise ReadError(
                f"{path.name} is no PNG, JPEG or TIFF picture",
                expected="a complete PNG, JPEG or TIFF file",
                fix="check that the file is complete and is what its name says",
            ) from problem


def _too_large(path: Path, found: str, limit: str) -> LimitError:
    return LimitError(
        f"{path.name} would inflate beyond the limit",
        found=found,
        expected=f"at most {limit}",
        fix="if you trust the file, write it uncompressed or in parts first",
    )


def _picture(image: Image, path: Path) -> _Picture:
    pages, problems = _pages(image, path)
    image.seek(0)
    turned = _exif_orientation(image, path)
    rows, columns = image.height, image.width
    if turned >= 5 and image.format != "TIFF":
        rows, columns = columns, rows
    deep = _bits(image, path) > 8 and image.mode in ("RGB", "RGBA")
    colour, dtype = _kind(image)
    stored = rows * columns * pages * (3 if colour else 1) * np.dtype("uint16" if deep else dtype).itemsize
    check_sizes((pages, rows, columns), path)
    limit = max(FREE_BYTES, LARGEST_RATIO * path.stat().st_size)
    if stored > limit:
        raise _too_large(path, f"{stored} bytes of pixels", f"{limit} bytes")
    _check_raw(image, path, rows * columns * pages)
    problems += _oddities(image, turned, deep)
    planar = getattr(image, "tag_v2", {}).get(_PLANES, 1) != 1
    dtype = "uint16" if deep else dtype
    return _Picture(rows, columns, pages, colour, dtype, turned, deep, planar, tuple(problems))


def _check_raw(image: Image, path: Path, pixels: int) -> None:
    """Raise when an uncompressed TIFF declares more pixels than its file holds."""
    tags = getattr(image, "tag_v2", {})
    declared = pixels * _bits(image, path) * int(tags.get(_CHANNELS, 1)) // 8
    if tags.get(_COMPRESSION) == 1 and declared > path.stat().st_size:
        raise truncated(path, "picture", f"{path.stat().st_size} bytes", f"{declared} bytes of pixels")


def _pages(image: Image, path: Path) -> tuple[int, list[Message]]:
    """Return how many pages belong to the picture: those of a TIFF that are like the first."""
    count = int(getattr(image, "n_frames", 1)) if image.format == "TIFF" else 1
    if count > LARGEST_PAGES:
        raise _too_large(path, f"{count} pages", f"{LARGEST_PAGES} pages")
    if count == 1:
        return 1, []
    kinds = set()
    for page in range(count):
        image.seek(page)
        kinds.add((image.size, image.mode, _bits(image, path)))
    if len(kinds) > 1:
        return 1, [Message("raster.pages_left_out", {"count": count - 1})]
    return count, [Message("raster.pages_as_slices", {"count": count})]


def _exif_orientation(image: Image, path: Path) -> int:
    exif = image.getexif() if image.format != "PNG" else _png_exif(path)
    told = exif.get(_ORIENTATION, 1)
    return told if isinstance(told, int) and 1 <= told <= 8 else 1


def _png_exif(path: Path) -> Exif:
    """Return the EXIF chunk of a PNG; Pillow inflates the whole picture to look for it."""
    from PIL.Image import Exif

    exif = Exif()
    with open(path, "rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8 and head[4:] != b"IEND":
            length = int.from_bytes(head[:4], "big")
            if head[4:] == b"eXIf":
                exif.load(file.read(min(length, _EXIF_BYTES)))
                break
            file.seek(length + 4, 1)
    return exif


def _bits(image: Image, path: Path) -> int:
    """Return the bits per channel; Pillow hands out 16-bit colour as 8-bit without a word."""
    if image.format == "PNG":
        with open(path, "rb") as file:
            return file.read(25)[24]
    if image.format == "TIFF":
        return int(max(getattr(image, "tag_v2", {}).get(_BITS, (1,))))
    return 8


def _kind(image: Image) -> tuple[bool, str]:
    """Return whether the picture becomes colour, and its NumPy type."""
    if image.mode in _GREY or image.mode in ("LA", "La"):
        if image.mode.startswith("I;16"):
            return False, "uint16"
        if image.mode == "I" and image.format == "TIFF" and getattr(image, "tag_v2", {}).get(_SAMPLES, (1,))[0] == 1:
            return False, "uint32"
        return False, {"I": "int32", "F": "float32"}.get(image.mode, "uint8")
    if image.mode in ("P", "PA"):
        return not _grey_palette(image), "uint8"
    return True, "uint8"


def _grey_palette(image: Image) -> bool:
    entries = np.array(image.getpalette("RGB") or [], dtype=np.int64).reshape(-1, 3)
    return bool((entries == entries[:, :1]).all())


def _oddities(image: Image, turned: int, deep: bool) -> list[Message]:
    problems = [Message("raster.spacing_unknown")]
    if turned > 1:
        problems.append(Message("raster.exif_applied", {"value": turned}))
    if image.mode in ("LA", "La", "RGBA", "RGBa", "PA") or "transparency" in image.info:
        problems.append(Message("file.alpha_dropped"))
    if "dpi" in image.info or _RESOLUTION in getattr(image, "tag_v2", {}):
        problems.append(Message("raster.resolution_ignored"))
    if image.mode not in _EXACT and image.mode not in ("LA", "La", "RGBA", "RGBa", "P", "PA"):
        problems.append(Message("raster.colours_converted", {"mode": image.mode}))
    return problems


def _found(picture: _Picture) -> Found:
    shape = (picture.pages, picture.rows, picture.columns)
    geometry = Geometry(shape, FLAT, Verdict.UNKNOWN, Frame.IMAGE, Spacing.UNKNOWN)
    axis: Axis | None = colours() if picture.colour else None
    attributes = {"exif_orientation": picture.turned} if picture.turned > 1 else {}
    return Found(geometry, picture.dtype, axis, "", picture.problems, attributes)


def _page(image: Image, page: int, picture: _Picture) -> NDArray[Any]:
    image.seek(page)
    exact = image.mode in _EXACT and image.mode != "1"
    shown = image if exact else image.convert("RGB" if picture.colour else "L")
    array = np.asarray(shown)[np.newaxis]
    # Pillow turns a TIFF itself while it loads, and leaves PNG and JPEG as stored.
    array = array if image.format == "TIFF" else _turned(array, picture.turned)
    wanted = (picture.rows, picture.columns, 3) if picture.colour else (picture.rows, picture.columns)
    # Pillow keeps unsigned 32-bit numbers in signed ones.
    array = array.view(np.uint32) if picture.dtype == "uint32" else array
    return array.astype(picture.dtype, copy=False).reshape(wanted)


def _deep_pages(path: Path, picture: _Picture) -> NDArray[Any]:
    """Return 16-bit colour, which Pillow would cut to 8 bits, by ITK's readers."""
    import SimpleITK

    if picture.planar:
        raise UnsupportedError(
            f"{path.name} stores 16-bit colour in separate planes",
            expected="interleaved colour (PlanarConfiguration 1)",
            fix="save it with interleaved channels, or its channels as separate grey pictures",
        )
    image = SimpleITK.ReadImage(str(path))
    array = SimpleITK.GetArrayFromImage(image)
    array = array if image.GetDimension() == 3 else array[np.newaxis]
    if array.ndim != 4 or array.shape[:1] != (picture.pages,) or array.dtype != np.uint16:
        raise truncated(path, "picture", f"{array.shape} {array.dtype}", f"{picture.pages} pages of 16-bit colour")
    return np.ascontiguousarray(_turned(array[..., :3], picture.turned))


def _turned(array: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return pages as they are meant to be seen (EXIF tag 0x0112)."""
    if orientation >= 5:
        array = array.swapaxes(1, 2)
    flips = {2: (2,), 3: (1, 2), 4: (1,), 5: (), 6: (2,), 7: (1, 2), 8: (1,)}.get(orientation, ())
    return np.flip(array, flips) if flips else array
