"""Text burned into pixels: found, blanked, looked for again; what cannot be decided goes to a person."""

from __future__ import annotations

from vesalius.privacy.pixels.cleaning import FrameBox, PixelOutcome, SeriesText, clean, ultrasound_regions
from vesalius.privacy.pixels.find import Found, TextBox, find_text
from vesalius.privacy.pixels.model import versions

__all__ = [
    "Found",
    "FrameBox",
    "PixelOutcome",
    "SeriesText",
    "TextBox",
    "clean",
    "find_text",
    "ultrasound_regions",
    "versions",
]
