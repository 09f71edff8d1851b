"""Real files cut and flipped at random: only errors of ours come out, and quickly."""

from __future__ import annotations

import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from pydicom.data import get_testdata_file

from vesalius.core.errors import VesaliusError
from vesalius.io import describe, load, scan, source_headers

NAMES = (
    "CT_small.dcm",
    "MR_small_implicit.dcm",
    "MR_small_bigendian.dcm",
    "MR_small_RLE.dcm",
    "MR_small_jp2klossless.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "SC_rgb_small_odd_jpeg.dcm",
    "image_dfl.dcm",
    "JPGExtended.dcm",
    "SC_rgb_jpeg_gdcm.dcm",
    "GDCMJ2K_TextGBR.dcm",
    "JPEGLSNearLossless_16.dcm",
    "liver_1frame.dcm",
    "rtdose_rle.dcm",
    "rtplan.dcm",
    "examples_palette.dcm",
    "nested_priv_SQ.dcm",
    "UN_sequence.dcm",
    "no_meta_group_length.dcm",
)


def everything(path: Path) -> None:
    """Read all that can be read; any exception that is not ours escapes."""
    for work in (describe, read_all):
        try:
            work(path)
        except VesaliusError as problem:
            assert "\n" not in str(problem)  # noqa: PT017


def read_all(path: Path) -> None:
    for study in scan(path).studies:
        for series in study.series:
            load(series)
            source_headers(series)


@pytest.mark.parametrize("name", NAMES)
def test_truncated_anywhere(tmp_path: Path, name: str) -> None:
    content = Path(get_testdata_file(name)).read_bytes()
    rng = np.random.default_rng(7)
    path = tmp_path / "cut.dcm"
    for size in sorted({0, 1, 127, 131, 132, 133, *rng.integers(1, len(content), 20).tolist()}):
        path.write_bytes(content[:size])
        everything(path)


@pytest.mark.parametrize("name", NAMES)
def test_flipped_bytes(tmp_path: Path, name: str) -> None:
    content = Path(get_testdata_file(name)).read_bytes()
    rng = np.random.default_rng(11)
    path = tmp_path / "flipped.dcm"
    start = time.process_time()
    for round_number in range(40):
        changed = bytearray(content)
        # The header decides what happens, so most damage is put there.
        limit = min(len(content), 1500) if round_number % 4 else len(content)
        for at in rng.integers(128, limit, int(rng.integers(1, 12))):
            changed[at] = int(rng.integers(0, 256))
        path.write_bytes(changed)
        everything(path)
    assert time.process_time() - start < 60


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_many_more_flipped_bytes(tmp_path: Path, name: str) -> None:
    content = Path(get_testdata_file(name)).read_bytes()
    rng = np.random.default_rng(2024)
    path = tmp_path / "flipped.dcm"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(300):
            changed = bytearray(content)
            for at in rng.integers(128, min(len(content), 3000), int(rng.integers(1, 30))):
                changed[at] = int(rng.integers(0, 256))
            path.write_bytes(changed)
            everything(path)
