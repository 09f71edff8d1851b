from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import zlib
from dataclasses import replace

import numpy as np
import pytest
import sample
from PIL import Image

from vesalius.core import Identity, Result
from vesalius.core.errors import UnknownNameError, UsageError
from vesalius.report import FORMATS, RenderLog, Words, fonts, render, render_files, say

IDENTITY = Identity("PLANTED-ID-4711", "Planted^Petra^Quux", "1931-12-24", "PLANTED-ACC", "1.2.3.4711")
SECRETS = (b"PLANTED-ID-4711", b"Planted", b"Petra", b"Quux", b"1931", b"PLANTED-ACC", b"1.2.3.4711")
DOCUMENTS = ("html", "pdf", "csv", "fhir", "nifti")
PICTURES = ("tissue", "tissue_plain", "montage", "montage_plain", "volumes")


def test_files_have_the_names_and_the_order_of_the_contract(
    completed: Result, using: Words, system_fonts: fonts.FontSet
) -> None:
    names = [name for name, _ in render_files(completed, using=using, formats=DOCUMENTS)]
    documents = [
        name
        for language in ("en", "zh")
        for name in (
            f"report.{language}.html",
            f"report.{language}.pdf",
            *(f"figures/{language}/{picture}.png" for picture in PICTURES),
        )
    ]
    masks = [f"masks/tissue.{ending}" for ending in ("nii.gz", "labels.json", "ctbl")]
    assert names == ["report.json", *documents, "measurements.csv", "fhir.json", *masks]


@pytest.mark.slow
def test_all_formats_are_made(completed: Result, using: Words, system_fonts: fonts.FontSet) -> None:
    log = RenderLog()
    names = set(render(completed, using=using, log=log))
    assert log.skipped == []
    expected = {"dicom/tissue_seg.dcm", "dicom/measurements_sr.dcm"}
    expected |= {f"dicom/{stem}.{lang}.dcm" for stem in ("report_pdf", "capture_sc") for lang in ("en", "zh")}
    assert expected <= names
    assert any(name.startswith("dicom/derived/") for name in names)


def test_report_json_is_always_written_and_alone_when_nothing_else_is_asked(completed: Result) -> None:
    assert list(render(completed, formats=())) == ["report.json"]


def test_masks_are_referenced_by_path_and_hash(completed: Result, using: Words) -> None:
    files = render(completed, formats=("nifti",), using=using)
    (mask,) = json.loads(files["report.json"])["masks"]
    assert mask["path"] in files
    assert mask["sha256"] == completed.masks["tissue"].sha256
    assert mask["segments"] == {"1": "gray_matter", "2": "white_matter", "3": "csf"}
    without = json.loads(render(completed, formats=(), using=using)["report.json"])["masks"]
    assert without[0]["path"] == ""


def test_identity_reaches_only_the_documents_that_show_it(completed: Result, using: Words) -> None:
    files = render(completed, IDENTITY, language="en", formats=DOCUMENTS, using=using)
    assert b"Planted Petra Quux" in files["report.en.html"]
    for name, data in files.items():
        if name in ("report.en.html", "report.en.pdf", "fhir.json"):
            continue
        plain = zlib.decompress(data, 31) if name.endswith(".gz") else data
        assert not [secret for secret in SECRETS if secret in plain], name


def test_without_identity_no_output_holds_any(completed: Result, using: Words) -> None:
    for name, data in render(completed, language="en", formats=DOCUMENTS, using=using).items():
        assert not [secret for secret in SECRETS if secret in data], name


def test_without_a_chinese_font_html_is_written_and_the_rest_is_listed(completed: Result) -> None:
    log = RenderLog()
    formats = ("html", "pdf", "dicom-pdf", "sc")
    bare = Words(sample.CATALOGUE, fonts.find([]))
    files = render(completed, using=bare, formats=formats, log=log)
    assert "灰质" in files["report.zh.html"].decode()
    assert "report.en.pdf" in files
    assert not [name for name in files if "zh" in name and name != "report.zh.html"]
    skipped = ["report.zh.pdf", "figures/zh", "dicom/report_pdf.zh.dcm", "dicom/capture_sc.zh.dcm"]
    assert [one.name for one in log.skipped] == skipped
    assert "fonts-noto-cjk" in say(log.skipped[0].reason, "en")
    assert "fonts-noto-cjk" in say(log.skipped[0].reason, "zh")


def test_a_refusal_has_a_report_in_both_languages(refused: Result, using: Words, system_fonts: fonts.FontSet) -> None:
    files = render(refused, using=using, formats=DOCUMENTS)
    assert {"report.en.html", "report.zh.pdf", "figures/zh/input.png", "fhir.json"} <= set(files)
    assert json.loads(files["report.json"])["outcome"] == "refused"


def test_an_unknown_application_gives_a_legible_report(completed: Result) -> None:
    report = replace(completed.report, application="nobody-knows-it")
    files = render(replace(completed, report=report), language="en", formats=("html", "csv"))
    assert "volume: gray matter" in files["report.en.html"].decode()


def test_two_renderings_are_the_same_bytes(completed: Result, using: Words) -> None:
    def hashes() -> dict[str, str]:
        files = render(completed, language="en", formats=DOCUMENTS, using=using)
        return {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}

    assert hashes() == hashes()


def test_figures_are_png_files(completed: Result, using: Words) -> None:
    files = render(completed, language="en", formats=("html",), using=using)
    picture = np.asarray(Image.open(io.BytesIO(files["figures/en/tissue.png"])))
    assert picture.shape[1] == 1370


@pytest.mark.parametrize(("language", "formats"), [("de", FORMATS), ("en", ("html", "docx"))])
def test_unknown_names_are_refused(completed: Result, language: str, formats: tuple[str, ...]) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown (language|format)"):
        render_files(completed, language=language, formats=formats)


def test_a_mask_name_cannot_leave_the_folder(completed: Result) -> None:
    with pytest.raises(UsageError, match="cannot be written under this name"):
        render_files(replace(completed, masks={"../evil": completed.masks["tissue"]}))


def test_importing_the_room_loads_nothing_heavy() -> None:
    code = "import sys, vesalius.report; print(','.join(sorted(m.split('.')[0] for m in sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.strip().split(","))
    assert not loaded & {"matplotlib", "typst", "jinja2", "scipy", "PIL", "highdicom", "pydicom", "nibabel"}
