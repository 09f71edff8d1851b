"""The report as one HTML file: inline style, pictures as data URIs, readable from a file without a network."""

from __future__ import annotations

import base64
import re
from functools import lru_cache
from typing import Any

from vesalius.report.page import SIGNS, Page


def html(page: Page) -> bytes:
    """Return the page as UTF-8 HTML; every text is escaped."""
    text: str = _template().render(page=page, css=style(), signs=SIGNS, footer_css=_css_text(page.footer))
    return re.sub(r"\n\s*\n+", "\n", text).encode("utf-8")


@lru_cache(maxsize=1)
def _template() -> Any:
    import jinja2

    loader = jinja2.PackageLoader("vesalius.report", "templates")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["data_uri"] = data_uri
    return environment.get_template("report.html.j2")


@lru_cache(maxsize=1)
def style() -> Any:
    """Return the style sheet of every page."""
    from importlib import resources

    import markupsafe

    return markupsafe.Markup(
        resources.files("vesalius.report").joinpath("templates", "report.css").read_text(encoding="utf-8")
    )


def data_uri(png: bytes) -> str:
    """Return a PNG as a data URI."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _css_text(text: str) -> Any:
    """Return a string that is safe between the quotes of a CSS string inside a style element."""
    import markupsafe

    return markupsafe.Markup("".join(c if c.isalnum() or c in " .,-·" else f"\\{ord(c):x} " for c in text))
