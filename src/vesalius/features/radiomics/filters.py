"""Image filters of IBSI's chapter 2: mean, Laplacian of Gaussian, Laws, Gabor, separable and Simoncelli wavelets.

Filters work along the axes of the array (slice, row, column). Letters and kernels are named in IBSI's order: the first
goes along columns (x), the second along rows (y), the third along slices (z).

Source: IBSI chapter 2, doi:10.48550/arXiv.2006.05470; Whybra et al. 2024, doi:10.1148/radiol.231319.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from vesalius.core.errors import GeometryError, ImageContentError, UsageError
from vesalius.core.volume import Volume
from vesalius.features.radiomics.kernels import laws_kernel, wavelet_kernel

__all__ = [
    "Boundary",
    "Filter",
    "GaborFilter",
    "LaplacianOfGaussianFilter",
    "LawsFilter",
    "MeanFilter",
    "SimoncelliFilter",
    "WaveletFilter",
    "filter_response",
]

Boundary = Literal["zero", "nearest", "periodic", "mirror"]
"""What lies outside the image; "mirror" repeats the outermost voxel (d c b a | a b c d)."""
Pooling = Literal["max", "mean", "min"]
Array = NDArray[np.float64]

_MODES = {"zero": "constant", "nearest": "nearest", "periodic": "grid-wrap", "mirror": "reflect"}
_PADS: dict[str, Any] = {"zero": "constant", "nearest": "edge", "periodic": "wrap", "mirror": "symmetric"}
_ISOTROPIC = 0.01
_GABOR_REACH = 6.0
"""Half the size of a Gabor kernel in standard deviations of its longer axis."""


@dataclass(frozen=True, slots=True)
class MeanFilter:
    """Mean over a cube (a square in each slice when planar) of `support` voxels, an odd number (IBSI S60F)."""

    support: int
    planar: bool = False
    boundary: Boundary = "mirror"

    def __post_init__(self) -> None:
        """Check the support."""
        if self.support < 1 or self.support % 2 == 0:
            raise UsageError("the support of a mean filter is an odd number of voxels", found=str(self.support))


@dataclass(frozen=True, slots=True)
class LaplacianOfGaussianFilter:
    """Laplacian of a Gaussian of `sigma_mm`, cut off at `cutoff` standard deviations (IBSI L6PA).

    The Laplacian is taken per squared voxel; where voxels are not cubes, per square of their geometric mean size.
    """

    sigma_mm: float
    cutoff: float = 4.0
    planar: bool = False
    boundary: Boundary = "mirror"


@dataclass(frozen=True, slots=True)
class LawsFilter:
    """Response to products of Laws kernels such as "L5E5" (in each slice) or "L5E5S5" (in space) (IBSI JTXT).

    Args:
        kernels: two or three of L3 E3 S3 L5 E5 S5 W5 R5, normalised.
        rotation_invariant: pool over the 4 or 24 right-angled rotations.
        pooling: how the rotations are pooled.
        energy_distance: Chebyshev distance in voxels over which the absolute response is averaged into a texture
            energy map; None gives the response itself.
        boundary: what lies outside the image.
    """

    kernels: str
    rotation_invariant: bool = False
    pooling: Pooling = "max"
    energy_distance: int | None = None
    boundary: Boundary = "mirror"


@dataclass(frozen=True, slots=True)
class GaborFilter:
    """Modulus of the response to a complex Gabor kernel in planes (IBSI Q88H).

    Args:
        sigma_mm: standard deviation of the Gaussian along the wave.
        wavelength_mm: length of the wave.
        aspect: gamma, the ratio of the deviations along and across the wave.
        theta_rad: direction of the wave in the plane, from columns towards rows.
        theta_step_rad: pool over directions this far apart, all round; None uses `theta_rad` alone.
        orthogonal: pool over the planes across all three axes; False stays within slices.
        pooling: how directions and planes are pooled.
        boundary: what lies outside the image.
    """

    sigma_mm: float
    wavelength_mm: float
    aspect: float = 1.0
    theta_rad: float = 0.0
    theta_step_rad: float | None = None
    orthogonal: bool = False
    pooling: Pooling = "mean"
    boundary: Boundary = "mirror"


@dataclass(frozen=True, slots=True)
class WaveletFilter:
    """Response of an undecimated separable wavelet (a trous), such as bands "LH" in slices or "LLH" in space.

    Args:
        wavelet: haar, db2, db3 or coif1.
        bands: L or H for columns, rows and, in space, slices.
        level: decomposition level, from 1.
        rotation_invariant: pool over the 4 or 24 right-angled rotations.
        pooling: how the rotations are pooled.
        boundary: what lies outside the image.
    """

    wavelet: str
    bands: str
    level: int = 1
    rotation_invariant: bool = False
    pooling: Pooling = "mean"
    boundary: Boundary = "mirror"


@dataclass(frozen=True, slots=True)
class SimoncelliFilter:
    """Response of the non-separable Simoncelli wavelet's band-pass of a level, from 1; the image is periodic."""

    level: int = 1
    planar: bool = False


Filter = MeanFilter | LaplacianOfGaussianFilter | LawsFilter | GaborFilter | WaveletFilter | SimoncelliFilter


def filter_response(volume: Volume, how: Filter) -> Volume:
    """Return the response map of a filter on the same grid, float32, in the unit of the image.

    Raises:
        GeometryError: a fourth axis, or voxels of different sizes along axes that the filter treats alike.
        UnknownSpacingError: a filter in millimetres and an image without pixel size.
        ImageContentError: the image holds values that are not finite.
        UsageError: no such kernel, wavelet, band or boundary.
    """
    if volume.array.ndim == 4:
        raise GeometryError("a filter works on one 3-D image", fix="choose one: volume.element(index)")
    if volume.array.dtype.kind == "f" and not np.isfinite(volume.array).all():
        raise ImageContentError("the image holds values that are not finite", fix="replace NaN before filtering")
    if getattr(how, "boundary", "mirror") not in _MODES:
        raise UsageError("no such boundary", found=str(how.boundary), expected=", ".join(_MODES))  # type: ignore[union-attr]
    compute = _COMPUTE[type(how)]
    response = compute(volume.array.astype(np.float64), volume, how)
    parameters = {name: getattr(how, name) for name in how.__dataclass_fields__}
    return volume.with_array(response.astype(np.float32), type(how).__name__, **parameters)


def _axes(planar: bool) -> tuple[int, ...]:
    return (1, 2) if planar else (0, 1, 2)


def _require_cubes(volume: Volume, axes: Iterable[int], what: str) -> None:
    """Raise unless voxels have one size along the axes; grids of unknown size count in voxels."""
    lengths = np.linalg.norm(volume.affine[:3, :3], axis=0)[list(axes)]
    if lengths.max() > lengths.min() * (1 + _ISOTROPIC):
        raise GeometryError(
            f"{what} needs voxels of one size along the axes that it works on",
            found=" x ".join(f"{s:g}" for s in lengths) + " mm",
            fix="interpolate first: Settings(interpolation=Interpolation((1, 1, 1))), or filter within slices",
        )


def _along(array: Array, kernels: dict[int, Array], boundary: Boundary) -> Array:
    """Return the array convolved with one kernel along each named axis."""
    for axis, kernel in kernels.items():
        array = ndimage.convolve1d(array, kernel, axis=axis, mode=_MODES[boundary])
    return array


def _pooled(responses: Iterator[Array], pooling: Pooling) -> Array:
    combine: Callable[..., Array] = {"max": np.maximum, "min": np.minimum, "mean": np.add}[pooling]
    total = next(responses)
    number = 1
    for response in responses:
        total = combine(total, response, out=total)
        number += 1
    return total / number if pooling == "mean" else total


def _mean(array: Array, volume: Volume, how: MeanFilter) -> Array:
    return _along(array, {a: np.full(how.support, 1 / how.support) for a in _axes(how.planar)}, how.boundary)


def _laplacian(array: Array, volume: Volume, how: LaplacianOfGaussianFilter) -> Array:
    axes = _axes(how.planar)
    spacing = np.array([volume.spacing_mm[a] for a in axes])
    unit = float(np.prod(spacing)) ** (1 / len(axes))
    smooth, curved = {}, {}
    for axis, size in zip(axes, spacing, strict=True):
        sigma = how.sigma_mm / size
        k = np.arange(-_reach(how.cutoff * sigma), _reach(how.cutoff * sigma) + 1, dtype=np.float64)
        smooth[axis] = np.exp(-(k**2) / (2 * sigma**2)) / (math.sqrt(2 * math.pi) * sigma)
        curved[axis] = smooth[axis] * (k**2 / sigma**4 - 1 / sigma**2) * (unit / size) ** 2
    parts = [_along(array, smooth | {axis: curved[axis]}, how.boundary) for axis in axes]
    return np.asarray(np.sum(parts, axis=0))


def _reach(voxels: float) -> int:
    return math.floor(voxels + 0.5)


def _turns(dimensions: int) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Return (axis taken, sign) for each axis of every right-angled rotation that mirrors nothing."""
    found = []
    for order in itertools.permutations(range(dimensions)):
        for signs in itertools.product((1, -1), repeat=dimensions):
            matrix = np.zeros((dimensions, dimensions))
            matrix[range(dimensions), order] = signs
            if np.linalg.det(matrix) > 0:
                found.append((order, signs))
    return found


def _turned(kernels: list[tuple[Array, ...]], invariant: bool) -> list[list[tuple[Array, ...]]]:
    """Return the kernels of each axis in every distinct right-angled rotation, or as they are.

    Kernels in one tuple turn together.
    """
    if not invariant:
        return [kernels]
    unique: dict[bytes, list[tuple[Array, ...]]] = {}
    for order, signs in _turns(len(kernels)):
        turned = [tuple(np.ascontiguousarray(k[::s]) for k in kernels[o]) for o, s in zip(order, signs, strict=True)]
        unique.setdefault(b"|".join(k.tobytes() for each in turned for k in each), turned)
    return list(unique.values())


def _letters(text: str, size: int, what: str) -> tuple[list[str], tuple[int, ...]]:
    """Return the names in the order of the array's axes, and the axes."""
    names = [text[i : i + size].upper() for i in range(0, len(text), size)]
    if len(names) not in (2, 3) or any(len(name) != size for name in names):
        raise UsageError(f"{what} takes two names (in slices) or three (in space)", found=text)
    return names[::-1], _axes(len(names) == 2)


def _laws(array: Array, volume: Volume, how: LawsFilter) -> Array:
    names, axes = _letters(how.kernels, 2, "a Laws filter")
    if how.rotation_invariant or how.energy_distance is not None:
        _require_cubes(volume, axes, "a Laws filter")
    turned = _turned([(laws_kernel(name),) for name in names], how.rotation_invariant)
    chosen = ({axis: kernel for axis, (kernel,) in zip(axes, kernels, strict=True)} for kernels in turned)
    responses = (_along(array, kernels, how.boundary) for kernels in chosen)
    response = _pooled(responses, how.pooling)
    if how.energy_distance is None:
        return response
    width = 2 * how.energy_distance + 1
    return _along(np.abs(response), {a: np.full(width, 1 / width) for a in axes}, how.boundary)


def _wavelet(array: Array, volume: Volume, how: WaveletFilter) -> Array:
    names, axes = _letters(how.bands, 1, "a separable wavelet")
    if how.level < 1:
        raise UsageError("a decomposition level is at least 1", found=str(how.level))
    _require_cubes(volume, axes, "a separable wavelet")
    pairs = [(wavelet_kernel(how.wavelet, "L"), wavelet_kernel(how.wavelet, name)) for name in names]
    turned = _turned(list(pairs), how.rotation_invariant)
    return _pooled((_cascade(array, kernels, axes, how) for kernels in turned), how.pooling)


def _cascade(array: Array, pairs: list[tuple[Array, ...]], axes: tuple[int, ...], how: WaveletFilter) -> Array:
    """Return the band of a level: low-pass before it, holes between coefficients doubling from level to level."""
    for level in range(1, how.level + 1):
        kernels = {}
        for axis, (low, band) in zip(axes, pairs, strict=True):
            chosen = band if level == how.level else low
            spread = np.zeros((chosen.size - 1) * 2 ** (level - 1) + 1)
            spread[:: 2 ** (level - 1)] = chosen
            kernels[axis] = spread
        array = _along(array, kernels, how.boundary)
    return array


def _gabor(array: Array, volume: Volume, how: GaborFilter) -> Array:
    across = (0, 1, 2) if how.orthogonal else (0,)
    _require_cubes(volume, (0, 1, 2) if how.orthogonal else (1, 2), "a Gabor filter")
    spacing = volume.spacing_mm[2]
    if how.theta_step_rad is None:
        angles = [how.theta_rad]
    else:
        # The modulus is the same for opposite directions: half a turn is enough.
        angles = [how.theta_rad + n * how.theta_step_rad for n in range(max(1, round(math.pi / how.theta_step_rad)))]
    kernels = [_gabor_kernel(how, angle, spacing) for angle in angles]
    return _pooled(
        (np.moveaxis(_moduli(np.moveaxis(array, a, 0), k, how.boundary), 0, a) for a in across for k in kernels),
        how.pooling,
    )


def _gabor_kernel(how: GaborFilter, theta: float, spacing: float) -> NDArray[np.complex128]:
    sigma, wave = how.sigma_mm / spacing, how.wavelength_mm / spacing
    reach = math.ceil(_GABOR_REACH * sigma * max(1.0, 1 / how.aspect))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float64)
    along = x * math.cos(theta) + y * math.sin(theta)
    beside = x * math.sin(theta) - y * math.cos(theta)
    gaussian = np.exp(-(along**2 + (how.aspect * beside) ** 2) / (2 * sigma**2))
    keep = np.flatnonzero(gaussian.max(axis=0) > math.exp(-(_GABOR_REACH**2) / 2))
    part = slice(int(keep[0]), int(keep[-1]) + 1) if keep.size % 2 else slice(None)
    rows = np.flatnonzero(gaussian.max(axis=1) > math.exp(-(_GABOR_REACH**2) / 2))
    tall = slice(int(rows[0]), int(rows[-1]) + 1) if rows.size % 2 else slice(None)
    return np.asarray((gaussian * np.exp(2j * math.pi * along / wave))[tall, part])


def _moduli(planes: Array, kernel: NDArray[np.complex128], boundary: Boundary) -> Array:
    """Return the modulus of each plane convolved with a complex kernel, a few planes at a time."""
    rows, columns = (n // 2 for n in kernel.shape)
    height, width = planes.shape[1:]
    size = [fft.next_fast_len(n + 2 * r) for n, r in ((height, rows), (width, columns))]
    spectrum = fft.fft2(kernel, size)
    result = np.empty(planes.shape)
    block = max(1, (1 << 20) // (size[0] * size[1]))
    for start in range(0, planes.shape[0], block):
        part = planes[start : start + block]
        padded = np.pad(part, ((0, 0), (rows, rows), (columns, columns)), mode=_PADS[boundary])
        response = fft.ifft2(fft.fft2(padded, size) * spectrum, overwrite_x=True)
        result[start : start + block] = np.abs(
            response[:, 2 * rows : 2 * rows + height, 2 * columns : 2 * columns + width]
        )
    return result


def _simoncelli(array: Array, volume: Volume, how: SimoncelliFilter) -> Array:
    axes = _axes(how.planar)
    _require_cubes(volume, axes, "a Simoncelli wavelet")
    if how.level < 1:
        raise UsageError("a decomposition level is at least 1", found=str(how.level))
    highest = 1 / 2 ** (how.level - 1)
    squares = [_centred(array.shape[a]).reshape([-1 if b == a else 1 for b in range(3)]) ** 2 for a in axes]
    frequency = np.sqrt(sum(squares[1:], squares[0]))
    inside = (frequency >= highest / 4) & (frequency <= highest)
    band = np.where(inside, np.cos(math.pi / 2 * np.log2(2 * np.where(inside, frequency, highest) / highest)), 0.0)
    return np.asarray(fft.ifftn(fft.fftn(array, axes=axes) * band, axes=axes).real)


def _centred(size: int) -> Array:
    """Return frequencies as parts of the highest, in the order of the transform.

    Symmetric about the middle of the image as IBSI's reference implementation has them: for an even number of voxels
    no frequency is exactly zero.
    """
    middle = max((size - 1) / 2, 0.5)
    return np.asarray(fft.ifftshift((np.arange(size) - middle) / middle))


_COMPUTE: dict[type, Callable[..., Array]] = {
    MeanFilter: _mean,
    LaplacianOfGaussianFilter: _laplacian,
    LawsFilter: _laws,
    GaborFilter: _gabor,
    WaveletFilter: _wavelet,
    SimoncelliFilter: _simoncelli,
}
