"""Fonts that carry Latin and Chinese, found on the system without fontconfig.

Matplotlib brings DejaVu Sans, so Latin text is always there; Chinese needs a font of the system.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

CJK_FAMILIES = (
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "Source Han Sans CN",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "PingFang SC",
    "Microsoft YaHei",
)
"""Families with simplified Chinese, in order of preference."""

LATIN_FAMILIES = ("Noto Sans",)
"""Families preferred for Latin text when the system has them; DejaVu Sans is always there."""

CJK_PACKAGE = "fonts-noto-cjk"
"""Debian package that brings the first of them."""

_CJK_FILES = ("notosanscjk", "notosanssc", "sourcehansans", "wqy-", "pingfang", "msyh")
_LATIN_FILES = ("notosans-regular", "notosans-bold", "notosans-italic")
_SUFFIXES = (".ttf", ".otf", ".ttc", ".otc")


@dataclass(frozen=True, slots=True)
class Face:
    """One face in a font file; `index` counts the faces of a collection."""

    family: str
    path: str
    index: int
    weight: int


@dataclass(frozen=True)
class FontSet:
    """The faces found: Latin first choice and, when there is one, Chinese."""

    latin: tuple[Face, ...]
    cjk: tuple[Face, ...]

    @property
    def chinese(self) -> bool:
        """Return whether Chinese text can be drawn."""
        return bool(self.cjk)

    def families(self, language: str) -> tuple[str, ...]:
        """Return family names in order of preference, for a renderer that falls back glyph by glyph.

        Noto Sans first for English when it is there, else the Chinese family: its Latin letters belong to it.
        """
        named = [face.family for face in self.latin if face.family in LATIN_FAMILIES and language == "en"]
        return tuple(dict.fromkeys([*named, *(face.family for face in (*self.cjk, *self.latin))]))

    def faces(self, language: str) -> tuple[Face, ...]:
        """Return the regular and bold face of the first family for a language."""
        family = self.families(language)[0]
        return tuple(face for face in (*self.latin, *self.cjk) if face.family == family)

    def folders(self) -> tuple[str, ...]:
        """Return the folders that hold the faces."""
        return tuple(dict.fromkeys(str(Path(face.path).parent) for face in (*self.latin, *self.cjk)))


def system_folders() -> tuple[Path, ...]:
    """Return the folders where fonts lie: XDG, the usual Unix places, macOS and Windows."""
    home = Path.home()
    shared = os.environ.get("XDG_DATA_DIRS", "/usr/local/share:/usr/share").split(":")
    own = Path(os.environ.get("XDG_DATA_HOME", home / ".local" / "share"))
    folders = [own / "fonts", home / ".fonts", *(Path(part) / "fonts" for part in shared if part)]
    folders += [Path("/usr/share/fonts"), Path("/Library/Fonts"), Path("/System/Library/Fonts"), home / "Library/Fonts"]
    if windows := os.environ.get("WINDIR"):
        folders.append(Path(windows) / "Fonts")
    return tuple(dict.fromkeys(folder for folder in folders if folder.is_dir()))


def find(folders: Sequence[str | Path] | None = None) -> FontSet:
    """Return the fonts in the given folders, by default those of the system, and Matplotlib's own."""
    return _find(tuple(str(folder) for folder in (system_folders() if folders is None else folders)))


@lru_cache(maxsize=8)
def _find(folders: tuple[str, ...]) -> FontSet:
    files = [file for folder in folders for file in _files(Path(folder))]
    cjk = _best(_faces(_named(files, _CJK_FILES)), CJK_FAMILIES)
    latin = _best(_faces(_named(files, _LATIN_FILES)), ("Noto Sans",))
    dejavu = _best(_faces([_matplotlib_fonts() / "DejaVuSans.ttf"]), ("DejaVu Sans",))
    return FontSet(latin=(*latin, *dejavu), cjk=cjk)


def _files(folder: Path) -> list[Path]:
    found = [Path(root) / name for root, _, names in os.walk(folder) for name in names]
    return sorted(file for file in found if file.suffix.lower() in _SUFFIXES)


def _named(files: Sequence[Path], stems: tuple[str, ...]) -> list[Path]:
    return [file for file in files if file.name.lower().startswith(stems)]


def _faces(files: Sequence[Path]) -> tuple[Face, ...]:
    """Return every face of the folders that hold these files."""
    import typst

    if not files:
        return ()
    folders = sorted({str(file.parent) for file in files})
    listed = typst.Fonts(include_system_fonts=False, include_embedded_fonts=False, font_paths=folders).fonts()
    return tuple(Face(font.family, font.path or "", font.index, font.weight) for font in listed if _upright(font))


def _upright(font: Any) -> bool:
    return font.style == "normal" and bool(font.path)


def _best(faces: Sequence[Face], families: Sequence[str]) -> tuple[Face, ...]:
    """Return the regular and bold faces of the first family that is there."""
    for family in families:
        members = [face for face in faces if face.family == family]
        if members:
            near = [min(members, key=lambda face: abs(face.weight - weight)) for weight in (400, 700)]
            return tuple(dict.fromkeys(near))
    return ()


def _matplotlib_fonts() -> Path:
    import matplotlib

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf"
