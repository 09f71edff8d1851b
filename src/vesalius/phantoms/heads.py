"""T1-weighted heads with a known answer, simulated from label maps.

A label map says what every voxel is (FreeSurfer numbers, 502-530 outside the brain); the simulator gives each label a
brightness with true T1 contrast, above all compact bone as dark as fluid, and adds what a scanner adds: texture,
blur, a smooth bias field and Rician noise. The truth stays exactly the label map.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from vesalius.core.code import Code
from vesalius.core.errors import LabelError
from vesalius.core.mask import Mask, Segment
from vesalius.core.volume import Volume

GREY_LABELS = (3, 42, 8, 47, 10, 49, 11, 50, 12, 51, 13, 52, 17, 53, 18, 54, 26, 58)
WHITE_LABELS = (2, 41, 7, 46, 16, 28, 60, 25, 57, 77, 85, 251, 252, 253, 254, 255)
FLUID_LABELS = (24, 4, 43, 5, 44, 14, 15, 72, 136, 137, 163, 164, 31, 63)
"""Fluid with the labels that line the ventricles (136 137 163 164, choroid plexus)."""

FORAMEN_LABELS = (16, 7, 8, 46, 47)
"""Brain stem and cerebellum: the lowest of them stands for the foramen magnum."""

T1_BRIGHTNESS: Mapping[int, tuple[float, float]] = MappingProxyType({
    0: (0.02, 0.01),
    2: (1.00, 0.02), 41: (1.00, 0.02), 7: (0.96, 0.02), 46: (0.96, 0.02), 85: (0.90, 0.03), 25: (0.85, 0.04),
    57: (0.85, 0.04), 77: (0.85, 0.04), 16: (0.91, 0.02), 28: (0.90, 0.02), 60: (0.90, 0.02),
    3: (0.66, 0.02), 42: (0.66, 0.02), 8: (0.65, 0.02), 47: (0.65, 0.02), 10: (0.80, 0.02), 49: (0.80, 0.02),
    11: (0.70, 0.02), 50: (0.70, 0.02), 12: (0.74, 0.02), 51: (0.74, 0.02), 13: (0.87, 0.02), 52: (0.87, 0.02),
    17: (0.67, 0.02), 53: (0.67, 0.02), 18: (0.66, 0.02), 54: (0.66, 0.02), 26: (0.69, 0.02), 58: (0.69, 0.02),
    24: (0.26, 0.02), 4: (0.24, 0.02), 43: (0.24, 0.02), 5: (0.26, 0.02), 44: (0.26, 0.02), 14: (0.26, 0.02),
    15: (0.26, 0.02), 72: (0.26, 0.02), 136: (0.38, 0.04), 137: (0.38, 0.04), 163: (0.38, 0.04), 164: (0.38, 0.04),
    31: (0.38, 0.04), 63: (0.38, 0.04), 30: (0.50, 0.05), 62: (0.50, 0.05), 502: (0.50, 0.10), 506: (0.22, 0.03),
    507: (0.58, 0.08), 508: (0.75, 0.10), 509: (0.50, 0.08), 511: (0.85, 0.15), 512: (0.82, 0.05),
    514: (0.45, 0.08), 515: (0.25, 0.02), 516: (0.85, 0.15), 530: (1.00, 0.15),
})  # fmt: skip
"""Mean and spread between heads of the T1 brightness of each label, in units of cerebral white matter.

Set by hand after magnitude MPRAGE at 1.5 and 3 T; bone (515) equals fluid (24) on purpose: on real T1 only place tells
them apart. The two sides of a structure share one draw.
"""

_PAIRS = {41: 2, 46: 7, 42: 3, 47: 8, 49: 10, 50: 11, 51: 12, 52: 13, 53: 17, 54: 18, 58: 26, 60: 28, 57: 25,
          43: 4, 44: 5, 62: 30, 63: 31, 163: 136, 164: 137}  # fmt: skip


@dataclass(frozen=True)
class HeadOptions:
    """How a head is imaged.

    Args:
        brightness: label -> (mean, spread between heads), white matter = 1.
        texture: standard deviation inside a label as a fraction of its brightness, before blurring.
        blur_mm: standard deviation of the point spread in mm.
        noise: Rician noise as a fraction of white matter.
        bias: smallest and largest value of the multiplicative field inside the head.
        scale: image units of white matter.
        seed: seed of every random draw.
    """

    brightness: Mapping[int, tuple[float, float]] = field(default_factory=lambda: T1_BRIGHTNESS)
    texture: float = 0.09
    blur_mm: float = 0.5
    noise: float = 0.03
    bias: tuple[float, float] = (0.8, 1.2)
    scale: float = 400.0
    seed: int = 0


EASY_BRIGHTNESS: Mapping[int, tuple[float, float]] = MappingProxyType(
    {**T1_BRIGHTNESS, 515: (0.55, 0.02), 24: (0.28, 0.02)}
)
"""The easy simulator: bone far brighter than fluid. Figures on it say little about patients."""


@dataclass(frozen=True, eq=False)
class SimulatedHead:
    """An image and its known answer on one grid.

    Args:
        image: float32 T1-weighted image.
        tissue: 1 grey matter, 2 white matter, 3 CSF.
        intracranial: the tissue that counts for the intracranial volume: down to the lowest brain stem.
        bias: the multiplicative field that was applied, without unit.
    """

    image: Volume
    tissue: Mask
    intracranial: Mask
    bias: Volume


def tissue_truth(labels: Mask) -> Mask:
    """Return grey matter (1), white matter (2) and CSF (3) of a label map."""
    table = np.zeros(1024, dtype=np.uint8)
    for value, group in enumerate((GREY_LABELS, WHITE_LABELS, FLUID_LABELS), start=1):
        table[list(group)] = value
    array = table[np.clip(labels.array, 0, 1023)]
    return Mask(array, labels.affine, labels.frame, labels.spacing, labels.done("tissue_truth"), TISSUE_SEGMENTS)


def intracranial_truth(labels: Mask) -> Mask:
    """Return the tissue above the foramen magnum, taken as the lowest height of brain stem and cerebellum.

    Raises:
        LabelError: the map holds neither.
    """
    stem = np.argwhere(np.isin(labels.array, FORAMEN_LABELS))
    if not len(stem):
        raise LabelError(
            "the label map holds no brain stem and no cerebellum, so the foramen magnum is unknown",
            expected=f"one of the labels {FORAMEN_LABELS}",
        )
    lowest_mm = float(labels.index_to_world(stem)[:, 2].min())
    heights = _heights_mm(labels)
    inside = (tissue_truth(labels).array > 0) & (heights >= lowest_mm - 1e-3)
    segments = {1: Segment("intracranial", Code("1101003", "SCT", "Intracranial structure"), (230, 200, 120))}
    history = labels.done("intracranial_truth")
    return Mask(inside.astype(np.uint8), labels.affine, labels.frame, labels.spacing, history, segments)


def simulate_head(labels: Mask, options: HeadOptions | None = None) -> SimulatedHead:
    """Return a T1-weighted head with the label map as its exact answer.

    Args:
        labels: whole-head label map (FreeSurfer numbers, 502-530 outside the brain) in patient space.
        options: how it is imaged; the defaults are true T1 contrast.
    """
    chosen = options or HeadOptions()
    rng = np.random.default_rng(chosen.seed)
    clean = _painted(labels.array, chosen, rng)
    clean = _blurred(clean, np.asarray(labels.spacing_mm), chosen.blur_mm)
    bias = smooth_field(labels.shape, rng, chosen.bias)
    clean *= bias
    image = _rician(clean, chosen.noise, rng)
    image *= np.float32(chosen.scale)
    volume = Volume(
        image, labels.affine, labels.frame, labels.spacing, labels.done("simulate_head", seed=chosen.seed), "MR"
    )
    return SimulatedHead(volume, tissue_truth(labels), intracranial_truth(labels), volume.with_array(bias, "bias"))


def smooth_field(
    shape: tuple[int, int, int], rng: np.random.Generator, limits: tuple[float, float]
) -> NDArray[np.float32]:
    """Return a random field of low spatial frequency that spans the limits, float32."""
    total = np.zeros(shape, dtype=np.float32)
    axes = [np.linspace(-1, 1, n, dtype=np.float32) for n in shape]
    for _ in range(6):
        waves = [np.cos(rng.uniform(0.3, 1.5) * np.pi * a + rng.uniform(0, 2 * np.pi)) for a in axes]
        outer = np.einsum("i,j,k->ijk", *[w.astype(np.float32) for w in waves])
        total += np.float32(rng.normal()) * outer
    total -= total.min()
    total /= max(float(total.max()), 1e-6)
    low, high = limits
    spanned: NDArray[np.float32] = total * np.float32(high - low) + np.float32(low)
    return spanned


def _painted(array: NDArray[np.generic], options: HeadOptions, rng: np.random.Generator) -> NDArray[np.float32]:
    means = np.full(1024, options.brightness[507][0] if 507 in options.brightness else 0.5, dtype=np.float32)
    for label in sorted(options.brightness):
        if label not in _PAIRS:
            mean, spread = options.brightness[label]
            means[label] = max(0.0, mean + spread * rng.normal())
    for right, left in _PAIRS.items():
        if right in options.brightness and left in options.brightness:
            means[right] = means[left]
    clean: NDArray[np.float32] = means[np.clip(array, 0, 1023).astype(np.int32)]
    texture = rng.standard_normal(clean.shape, dtype=np.float32)
    clean *= 1 + np.float32(options.texture) * texture
    return clean


def _blurred(image: NDArray[np.float32], spacing_mm: NDArray[np.float64], blur_mm: float) -> NDArray[np.float32]:
    from scipy.ndimage import gaussian_filter

    if blur_mm <= 0:
        return image
    smooth: NDArray[np.float32] = gaussian_filter(image, blur_mm / spacing_mm, truncate=4.0)
    return smooth


def _rician(image: NDArray[np.float32], noise: float, rng: np.random.Generator) -> NDArray[np.float32]:
    real = image + np.float32(noise) * rng.standard_normal(image.shape, dtype=np.float32)
    real *= real
    imaginary = rng.standard_normal(image.shape, dtype=np.float32)
    imaginary *= np.float32(noise)
    imaginary *= imaginary
    real += imaginary
    magnitude: NDArray[np.float32] = np.sqrt(real, out=real)
    return magnitude


def _heights_mm(grid: Mask) -> NDArray[np.float32]:
    parts = [np.arange(n, dtype=np.float32) * np.float32(grid.affine[2, i]) for i, n in enumerate(grid.shape)]
    heights: NDArray[np.float32] = parts[0][:, None, None] + parts[1][None, :, None] + parts[2][None, None, :]
    return heights + np.float32(grid.affine[2, 3])


TISSUE_SEGMENTS: Mapping[int, Segment] = MappingProxyType({
    1: Segment("gray_matter", Code("389081007", "SCT", "Gray Matter"), (220, 80, 80)),
    2: Segment("white_matter", Code("389080008", "SCT", "White Matter"), (240, 240, 240)),
    3: Segment("csf", Code("65216001", "SCT", "Cerebrospinal Fluid"), (70, 130, 230)),
})  # fmt: skip
"""Names, codes and colours of the tissue mask. Codes: SNOMED CT."""
