"""Frequency filters: known gain of waves, no ringing, no leaking borders, millimetres."""

from __future__ import annotations

import numpy as np
import pytest
from filter_phantoms import COARSE, FINE, ball, bright_ml, disagreement, flat

from vesalius.core import Volume
from vesalius.core.errors import ImageContentError, UnknownNameError, UnknownSpacingError, UsageError
from vesalius.imaging import frequency
from vesalius.imaging.frequency import WINDOWS


def wave(wavelength_mm: float, spacing_mm: float = 0.5, axis: int = 2, length: int = 256) -> Volume:
    """Return a wave of amplitude 100 around 1000 along one axis."""
    line = 1000 + 100 * np.sin(2 * np.pi * np.arange(length) * spacing_mm / wavelength_mm)
    shape = [4, 4, 4]
    shape[axis] = length
    steps = [1.0, 1.0, 1.0, 1.0]
    steps[axis] = spacing_mm
    form = [-1 if a == axis else 1 for a in range(3)]
    return Volume(np.broadcast_to(line.reshape(form), shape).astype(np.float64), np.diag(steps))


def amplitude(volume: Volume) -> float:
    """Return the amplitude around the mean away from the borders."""
    values = volume.array.squeeze().max(axis=tuple(a for a, n in enumerate(volume.shape) if n == 4))
    inner = values[64:-64]
    return float(inner.max() - inner.min()) / 2


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("window", WINDOWS)
def test_a_wave_at_the_cutoff_keeps_half_its_amplitude(window: str, axis: int) -> None:
    volume = wave(8.0, axis=axis)
    low = frequency.low_pass(volume, cutoff_mm=8, window=window)
    high = frequency.high_pass(volume, cutoff_mm=8, window=window)
    assert amplitude(low) == pytest.approx(50, rel=0.03)
    assert amplitude(high) == pytest.approx(50, rel=0.03)
    assert np.allclose(low.array + high.array - 1000, volume.array, atol=2)


@pytest.mark.parametrize("window", WINDOWS)
def test_band_pass_keeps_what_lies_between(window: str) -> None:
    gains = [
        amplitude(frequency.band_pass(wave(length), shortest_mm=4, longest_mm=32, window=window)) / 100
        for length in (1.5, 11.0, 120.0)
    ]
    assert gains[0] < 0.1
    assert gains[1] > 0.75
    assert gains[2] < 0.15


@pytest.mark.parametrize(("window", "most"), [("gaussian", 0.001), ("butterworth", 0.05), ("hann", 0.08)])
def test_an_edge_does_not_ring(window: str, most: float) -> None:
    array = np.zeros((1, 32, 256), np.float32)
    array[..., 128:] = 1000
    result = frequency.low_pass(flat(array[0]), cutoff_mm=12, window=window).array
    assert (result.max() - 1000) / 1000 < most
    far = result[0, 16, 128 + 60 : 240]
    assert np.abs(far - 1000).max() < 5


def test_opposite_borders_do_not_leak() -> None:
    ramp = np.tile(np.linspace(0, 1000, 64, dtype=np.float32), (48, 1))
    result = frequency.low_pass(flat(ramp), cutoff_mm=8).array[0]
    assert abs(result[20, 0] - ramp[20, 0]) < 40
    assert abs(result[20, -1] - ramp[20, -1]) < 40


def test_a_constant_stays_and_high_pass_adds_the_mean_when_asked() -> None:
    volume = Volume(np.full((5, 20, 20), 70, np.uint8), np.eye(4))
    assert (frequency.low_pass(volume, cutoff_mm=5).array == 70).all()
    assert (frequency.high_pass(volume, cutoff_mm=5).array == 70).all()
    assert (frequency.high_pass(volume, cutoff_mm=5, keep_mean=False).array == 0).all()


@pytest.mark.parametrize("window", WINDOWS)
def test_one_scene_gives_one_answer_at_two_spacings(window: str) -> None:
    difference, change = disagreement(lambda v: frequency.low_pass(v, cutoff_mm=16, window=window))
    assert difference < 0.06 * change
    difference, change = disagreement(lambda v: frequency.band_pass(v, shortest_mm=10, longest_mm=40, window=window))
    assert difference < 0.06 * change
    volumes = [bright_ml(frequency.low_pass(ball(s), cutoff_mm=16, window=window)) for s in (FINE, COARSE)]
    assert volumes[0] == pytest.approx(volumes[1], rel=0.03)


def test_a_tilted_grid_is_filtered_in_patient_space() -> None:
    """The same wave along the patient's axis keeps half its amplitude on a sheared grid too."""
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    affine[1, 0] = 0.5
    index = np.moveaxis(np.indices((24, 96, 8)), 0, -1)
    along = (index @ affine[:3, :3].T)[..., 1]
    volume = Volume(1000 + 100 * np.sin(2 * np.pi * along / 12), affine)
    inner = frequency.low_pass(volume, cutoff_mm=12).array[10:14, 40:60]
    assert (inner.max() - inner.min()) / 2 == pytest.approx(50, rel=0.06)


def test_type_geometry_and_components_are_kept() -> None:
    rng = np.random.default_rng(0)
    volume = Volume(rng.integers(0, 255, (4, 18, 15)).astype(np.int16), np.diag([5.0, 0.8, 0.8, 1.0]), modality="CT")
    for result in (
        frequency.low_pass(volume, cutoff_mm=4),
        frequency.high_pass(volume, cutoff_mm=4, slicewise=True),
        frequency.band_pass(volume, shortest_mm=3, longest_mm=9),
    ):
        assert result.array.dtype == np.int16
        assert result.shape == volume.shape
        assert np.array_equal(result.affine, volume.affine)


def test_bad_input_is_refused_with_the_fix() -> None:
    volume = ball()
    with pytest.raises(UsageError, match="at least 2 mm"):
        frequency.low_pass(volume, cutoff_mm=1)
    with pytest.raises(UsageError, match="exchange"):
        frequency.band_pass(volume, shortest_mm=20, longest_mm=10)
    with pytest.raises(UnknownNameError, match="did you mean 'butterworth'"):
        frequency.low_pass(volume, cutoff_mm=8, window="butterwort")
    with pytest.raises(UnknownSpacingError):
        frequency.low_pass(flat(np.zeros((9, 9), np.float32), None), cutoff_mm=5)
    broken = volume.array.copy()
    broken[0, 0, 0] = np.inf
    with pytest.raises(ImageContentError, match="1 of"):
        frequency.high_pass(volume.with_array(broken, "x"), cutoff_mm=8)
