"""Window and level, CLAHE, gamma and histogram matching."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from filter_phantoms import ball, flat

from vesalius.core import Axis, AxisKind, Volume
from vesalius.core.errors import GeometryError, ImageContentError, UnknownNameError, UnknownSpacingError, UsageError
from vesalius.imaging import contrast


def hounsfield() -> Volume:
    """Return a CT of every value from -1600 to 2495."""
    return Volume(np.arange(-1600, 2496, dtype=np.int16).reshape(4, 32, 32), np.eye(4), modality="CT", unit="[hnsf'U]")


@pytest.mark.parametrize("preset", contrast.PRESETS)
def test_every_preset_runs_black_to_white_over_its_window(preset: str) -> None:
    chosen = contrast.PRESETS[preset]
    result = contrast.window(hounsfield(), preset=preset)
    shown = {int(v): int(s) for v, s in zip(hounsfield().array.ravel(), result.array.ravel(), strict=True)}
    low, high = chosen.centre_hu - chosen.width_hu / 2, chosen.centre_hu + chosen.width_hu / 2
    assert shown[int(np.floor(low))] == 0
    assert shown[int(np.ceil(high))] == 255
    assert abs(shown[int(chosen.centre_hu)] - 127.5) <= 1 + 128 / chosen.width_hu
    assert (result.array.dtype, result.unit, result.modality) == (np.int16, "", "CT")
    assert "doi:" in chosen.source


@pytest.mark.parametrize(("shape", "function"), [("linear", "LINEAR_EXACT"), ("sigmoid", "SIGMOID")])
def test_windows_are_pydicoms(shape: str, function: str) -> None:
    from pydicom.dataset import Dataset
    from pydicom.pixels import apply_windowing

    header = Dataset()
    header.PhotometricInterpretation, header.BitsStored, header.PixelRepresentation = "MONOCHROME2", 16, 1
    header.WindowCenter, header.WindowWidth, header.VOILUTFunction = 50, 400, function
    values = hounsfield().array
    theirs = apply_windowing(values, header)
    scaled = (theirs + 32768) / 65535 * 1000
    floats = Volume(values.astype(np.float32), np.eye(4))
    ours = contrast.window(floats, centre=50, width=400, shape=shape, brightest=1000).array
    assert np.abs(ours - scaled).max() < 0.05


def test_clahe_is_scikit_images_and_keeps_the_range() -> None:
    from skimage.exposure import equalize_adapthist

    picture = np.random.default_rng(0).gamma(2, 20, (64, 80)).clip(0, 255).astype(np.float32)
    result = contrast.clahe(flat(picture), clip=0.02, tile_mm=16).array[0]
    scaled = (picture - picture.min()) / (picture.max() - picture.min())
    theirs = equalize_adapthist(scaled, kernel_size=(16, 16), clip_limit=0.02)
    assert np.allclose((result - picture.min()) / np.ptp(picture), theirs, atol=1e-4)
    assert result.min() == pytest.approx(picture.min(), abs=1e-3)
    assert result.max() == pytest.approx(picture.max(), abs=1e-3)


def test_clahe_raises_local_contrast_in_two_and_three_dimensions_and_keeps_hues() -> None:
    shade = np.tile(np.linspace(20, 200, 64), (64, 1))
    fine = shade + 4 * np.sign(np.sin(np.arange(64))[:, np.newaxis])
    grey = contrast.clahe(flat(fine.astype(np.uint8), None)).array[0].astype(float)
    assert np.abs(np.diff(grey, axis=0)).mean() > 1.5 * np.abs(np.diff(fine, axis=0)).mean()
    volume = Volume(np.stack([fine] * 6).astype(np.int16), np.diag([5.0, 1.0, 1.0, 1.0]))
    assert contrast.clahe(volume, tile_mm=20).array.dtype == np.int16
    whole = contrast.clahe(volume, slicewise=True)
    assert np.array_equal(whole.array[0], whole.array[5])
    colours = np.stack([fine, 0.5 * fine, 0.2 * fine], axis=-1).astype(np.uint8)[np.newaxis]
    picture = Volume(colours, np.eye(4), axis=Axis(AxisKind.RGB, ("r", "g", "b")))
    result = contrast.clahe(picture).array.astype(float)
    inner = (result.min(axis=-1) > 0) & (result.max(axis=-1) < 255)
    difference = colours.astype(float)[..., 0] - colours[..., 1]
    assert np.abs((result[..., 0] - result[..., 1]) - difference)[inner].max() <= 1


def test_gamma_is_the_power_law() -> None:
    values = np.linspace(0, 200, 101, dtype=np.float32).reshape(1, 1, 101)
    result = contrast.gamma(Volume(values, np.eye(4)), exponent=0.5).array
    assert np.allclose(result, 200 * np.sqrt(values / 200), atol=1e-3)
    cut = contrast.gamma(Volume(values, np.eye(4)), exponent=2, low=50, high=150).array
    assert (cut.min(), cut.max()) == (50, 150)


def test_a_matched_histogram_is_the_reference_s() -> None:
    rng = np.random.default_rng(0)
    dark = Volume(rng.normal(50, 5, (4, 40, 40)).astype(np.int16), np.eye(4))
    bright = Volume(rng.gamma(4, 50, (3, 50, 50)).astype(np.int16), np.eye(4), unit="mm")
    result = contrast.match_histogram(dark, reference=bright)
    ranks = (5, 25, 50, 75, 95)
    assert np.allclose(np.percentile(result.array, ranks), np.percentile(bright.array, ranks), rtol=0.25)
    assert (result.array.dtype, result.unit) == (np.int16, "mm")
    again = contrast.match_histogram(dark, reference=dark)
    assert np.array_equal(again.array, dark.array)


def test_a_brain_window_on_real_dicom(data_root: Path) -> None:
    from vesalius import io

    with io.scan(data_root / "lidc_0001_ct") as found:
        volume = io.load(found.studies[0].series[0])
    lung = contrast.window(volume, preset="lung").array
    assert (lung.min(), lung.max()) == (0, 255)
    assert 0 < lung[volume.array < -800].mean() < 60


@pytest.mark.parametrize(
    ("work", "kind", "text"),
    [
        (lambda: contrast.window(hounsfield()), UsageError, "preset: abdomen"),
        (lambda: contrast.window(hounsfield(), preset="lungs"), UnknownNameError, "did you mean 'lung'"),
        (lambda: contrast.window(hounsfield(), preset="lung", width=3), UsageError, "not both"),
        (lambda: contrast.window(hounsfield(), centre=3, width=0), UsageError, "width is out of range"),
        (
            lambda: contrast.window(Volume(np.ones((2, 3, 3), np.int16), np.eye(4), modality="MR"), preset="brain"),
            UsageError,
            "give centre and width",
        ),
        (
            lambda: contrast.window(flat(np.ones((3, 3), np.int8)), centre=1, width=2),
            UsageError,
            "does not hold brightest",
        ),
        (lambda: contrast.clahe(ball(), clip=0), UsageError, "clip"),
        (lambda: contrast.clahe(flat(np.eye(9, dtype=np.uint8), None), tile_mm=3), UnknownSpacingError, "calibrated"),
        (lambda: contrast.clahe(flat(np.ones((9, 9), np.uint8))), ImageContentError, "constant"),
        (lambda: contrast.gamma(ball(), exponent=-1), UsageError, "exponent"),
        (lambda: contrast.gamma(ball(), exponent=2, low=5, high=5), UsageError, "high is not above low"),
        (
            lambda: contrast.match_histogram(
                ball(), reference=Volume(np.ones((1, 2, 2, 2)), np.eye(4), axis=Axis(AxisKind.ECHO, (1.0, 2.0), "ms"))
            ),
            GeometryError,
            "element",
        ),
    ],
)
def test_bad_input_is_refused_with_the_fix(work: Callable[[], Volume], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        work()
