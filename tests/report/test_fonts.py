from __future__ import annotations

from pathlib import Path

from vesalius.report import fonts


def test_latin_is_always_there_and_chinese_is_not(tmp_path: Path) -> None:
    found = fonts.find([tmp_path])
    assert not found.chinese
    assert found.families("en") == ("DejaVu Sans",)
    assert {face.weight for face in found.latin} == {400, 700}


def test_a_chinese_font_of_the_system_is_the_simplified_one(system_fonts: fonts.FontSet) -> None:
    assert system_fonts.families("zh")[0] in fonts.CJK_FAMILIES
    assert all(Path(face.path).is_file() for face in system_fonts.cjk)
    assert "JP" not in system_fonts.families("zh")[0]


def test_the_face_has_every_character_of_the_catalogue(system_fonts: fonts.FontSet) -> None:
    from matplotlib.ft2font import FT2Font

    from vesalius.core import registry
    from vesalius.report import words

    face = system_fonts.cjk[0]
    letters = set(FT2Font(face.path, face_index=face.index).get_charmap())
    texts = [*words.shared()["zh"].values()]
    for name in registry.names("applications"):
        texts += words.of_application(name).get("zh", {}).values()
    missing = {c for text in texts for c in text if ord(c) not in letters and not c.isspace()}
    assert not missing
