"""The report as PDF on A4, laid out by Typst with an embedded font; the same bytes for the same page."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.core.errors import OutputError
from vesalius.report.figures import Picture
from vesalius.report.fonts import FontSet
from vesalius.report.page import Page

CAPTURE_PPI = 150.0
"""Resolution of the secondary capture: A4 becomes 1240 x 1754 pixels."""


def pdf(page: Page, fonts: FontSet) -> bytes:
    """Return the PDF.

    Raises:
        OutputError: Typst could not lay the page out.
    """
    compiled: bytes = _compile(page, fonts, format="pdf")
    return compiled


def page_one_rgb(page: Page, fonts: FontSet) -> NDArray[np.uint8]:
    """Return page one as an RGB picture [row, column, 3], for a secondary capture.

    Raises:
        OutputError: Typst could not lay the page out.
    """
    import io

    from PIL import Image

    pages = _compile(page, fonts, format="png", ppi=CAPTURE_PPI)
    first = pages[0] if isinstance(pages, list) else pages
    with Image.open(io.BytesIO(first)) as picture:
        return np.asarray(picture.convert("RGB"), dtype=np.uint8)


def model(page: Page) -> dict[str, Any]:
    """Return the page as JSON values, each picture by its file name."""
    content = dataclasses.asdict(_without_pixels(page))
    for item in [*content["pictures"], *(item for part in content["annex"] for item in part["pictures"])]:
        item["file"] = f"{item['name']}.png"
        del item["png"], item["dark_png"]
    return content


def _without_pixels(page: Page) -> Page:
    def bare(pictures: tuple[Picture, ...]) -> tuple[Picture, ...]:
        return tuple(dataclasses.replace(item, png=b"", dark_png=b"") for item in pictures)

    annex = tuple(dataclasses.replace(part, pictures=bare(part.pictures)) for part in page.annex)
    return dataclasses.replace(page, pictures=bare(page.pictures), annex=annex)


def _compile(page: Page, fonts: FontSet, **options: Any) -> Any:
    import typst

    inputs = {"page": json.dumps(model(page)), "families": json.dumps(fonts.families(page.language))}
    faces = typst.Fonts(include_system_fonts=False, include_embedded_fonts=False, font_paths=list(fonts.folders()))
    with _workspace(page) as folder:
        try:
            return typst.compile(
                str(folder / "report.typ"), root=str(folder), font_paths=faces, sys_inputs=inputs, **options
            )
        except RuntimeError as error:
            raise OutputError("the PDF could not be laid out", found=str(error)) from error


@contextmanager
def _workspace(page: Page) -> Iterator[Path]:
    """Yield a private folder with template and pictures; the text, which may hold identity, stays in memory."""
    with tempfile.TemporaryDirectory(prefix="vesalius-") as name:
        folder = Path(name)
        template = resources.files("vesalius.report").joinpath("templates", "report.typ")
        (folder / "report.typ").write_bytes(template.read_bytes())
        for item in (*page.pictures, *(item for part in page.annex for item in part.pictures)):
            (folder / f"{item.name}.png").write_bytes(item.png)
        yield folder
