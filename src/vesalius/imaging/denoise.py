"""Less noise: windows, bilateral and non-local means, total variation, anisotropic diffusion.

Every function takes 2-D (one slice thick) and 3-D images, any components, lengths in mm, and keeps type and geometry.
`slicewise=True` treats each slice by itself. Values are brightness in the image's own unit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.core.errors import ImageContentError, UsageError
from vesalius.core.volume import Volume
from vesalius.imaging import filtering, windowed
from vesalius.imaging.filtering import Radii, Triple

Array = NDArray[Any]

BILATERAL_REACH = 2.5
"""Radius of the bilateral window in standard deviations, as in ITK."""
STEP_SAFETY = 0.9
"""Part of the largest stable time step of the explicit diffusion scheme."""
MOST_STEPS = 1000


def mean(volume: Volume, *, width_mm: float, slicewise: bool = False) -> Volume:
    """Return the mean over a box of edge length `width_mm`; voxels that it cuts count by their part inside.

    Raises:
        UsageError: the box is smaller than a voxel.
        UnknownSpacingError: the image does not tell its pixel size.
    """
    filtering.window_radii(volume, width_mm, slicewise=slicewise)
    width = filtering.in_voxels(volume, width_mm, slicewise=slicewise)

    def work(array: Array) -> Array:
        return windowed.box_mean(array, width)

    return filtering.each_component(volume, work, "mean", width_mm=width_mm, slicewise=slicewise)


def median(volume: Volume, *, width_mm: float, slicewise: bool = False) -> Volume:
    """Return the median over the voxels whose centres lie in a box of edge length `width_mm`.

    Windows of three voxels use a sorting network, larger ones SimpleITK.

    Raises:
        UsageError: the box holds one voxel only.
        UnknownSpacingError: the image does not tell its pixel size.
    """
    reach = filtering.window_radii(volume, width_mm, slicewise=slicewise)
    filtering.check_voxels(volume, "median")
    parts = volume.array if volume.axis is not None else volume.array[..., np.newaxis]
    stacked = np.stack([_median(np.ascontiguousarray(parts[..., i]), reach) for i in range(parts.shape[3])], axis=-1)
    return volume.with_array(stacked.reshape(volume.array.shape), "median", width_mm=width_mm, slicewise=slicewise)


def _median(array: Array, reach: Radii) -> Array:
    if max(reach) <= 1:
        return windowed.median(array, reach)
    import SimpleITK

    plain = array.astype(np.float32) if array.dtype.kind == "f" and array.dtype.itemsize < 4 else array
    image = SimpleITK.GetImageFromArray(plain)
    result: Array = SimpleITK.GetArrayFromImage(SimpleITK.Median(image, list(reversed(reach))))
    return result.astype(array.dtype, copy=False)


def gaussian(volume: Volume, *, sigma_mm: float, slicewise: bool = False) -> Volume:
    """Return the image convolved with a Gaussian of standard deviation `sigma_mm`.

    Raises:
        UsageError: sigma is not positive.
        UnknownSpacingError: the image does not tell its pixel size.
    """
    filtering.positive("sigma_mm", sigma_mm, "mm")
    sigma = filtering.in_voxels(volume, sigma_mm, slicewise=slicewise)

    def work(array: Array) -> Array:
        return windowed.gaussian(array, sigma)

    return filtering.each_component(volume, work, "gaussian", sigma_mm=sigma_mm, slicewise=slicewise)


def bilateral(volume: Volume, *, sigma_mm: float, sigma_value: float | None = None, slicewise: bool = False) -> Volume:
    """Return Gaussian means of neighbours that are alike, so that edges higher than `sigma_value` stay.

    In a colour picture likeness is the distance of colours.

    Args:
        sigma_mm: standard deviation over distance.
        sigma_value: standard deviation over difference of brightness; default three times the noise.

    Raises:
        UsageError: a width that is not positive.
        UnknownSpacingError: the image does not tell its pixel size.

    Source: Tomasi 1998, doi:10.1109/ICCV.1998.710815
    """
    filtering.positive("sigma_mm", sigma_mm, "mm")
    sigma = filtering.in_voxels(volume, sigma_mm, slicewise=slicewise)
    reach = tuple(int(np.ceil(BILATERAL_REACH * s)) for s in sigma)

    def work(array: Array) -> Array:
        width = _noise(volume, array, 3.0, sigma_value, "sigma_value", slicewise)
        near = np.array([s if s else 1.0 for s in sigma])

        def weight(squares: Array, shift: windowed.Shift) -> Array:
            distance = array.dtype.type(-0.5 * float(((np.array(shift) / near) ** 2).sum()))
            return np.asarray(np.exp(np.subtract(distance, squares, out=squares), out=squares))

        box = (reach[0], reach[1], reach[2])
        return windowed.weighted_mean(array, windowed.Likeness(box, (0, 0, 0), np.sqrt(0.5) / width, weight))

    told = {"sigma_mm": sigma_mm, "sigma_value": sigma_value, "slicewise": slicewise}
    return _jointly(volume, work, "bilateral", told)


def non_local_means(
    volume: Volume,
    *,
    strength: float = 1.0,
    patch_mm: float = 3.0,
    search_mm: float = 11.0,
    noise: float | None = None,
    rician: bool | None = None,
    slicewise: bool = False,
) -> Volume:
    """Return the mean of voxels whose surroundings look alike, which keeps texture and edges.

    For magnitude MR images the mean is taken of squares and freed of the bias that Rician noise adds.

    Args:
        strength: decay of the weights in multiples of the noise.
        patch_mm: edge length of the surroundings that are compared.
        search_mm: edge length of the box in which alike voxels are looked for.
        noise: its standard deviation in image units; default estimated from the foreground.
        rician: noise of a magnitude image; default for modality MR without negative values.

    Raises:
        UsageError: a parameter out of range, or a search box without neighbours.
        UnknownSpacingError: the image does not tell its pixel size.
        ImageContentError: no noise was found, or `rician` with negative values.

    Source: Buades 2005, doi:10.1137/040616024; Rician bias: Wiest-Daessle 2008, doi:10.1007/978-3-540-85990-1_21
    """
    filtering.positive("strength", strength)
    patch = filtering.radii(volume, filtering.positive("patch_mm", patch_mm, "mm") / 2, slicewise=slicewise)
    search = filtering.window_radii(volume, filtering.positive("search_mm", search_mm, "mm"), slicewise=slicewise)
    corrected = _is_rician(volume, rician)

    def work(array: Array) -> Array:
        level = _noise(volume, array, 1.0, noise, "noise", slicewise)
        return _non_local(array, (search, patch), strength, level, corrected)

    told = {
        "strength": strength, "patch_mm": patch_mm, "search_mm": search_mm, "noise": noise, "rician": corrected,
        "slicewise": slicewise,
    }  # fmt: skip
    return _jointly(volume, work, "non_local_means", told)


def _non_local(array: Array, boxes: tuple[Radii, Radii], strength: float, level: float, rician: bool) -> Array:
    search, patch = boxes
    components = array.shape[3] if array.ndim == 4 else 1
    count = float(np.prod([2 * r + 1 for r in patch])) * components
    width = strength * level
    # What noise alone makes two equal patches differ by, in the unit of the scaled sums.
    expected = array.dtype.type(2 * (level / width) ** 2)

    def weight(sums: Array, shift: windowed.Shift) -> Array:
        np.subtract(expected, sums, out=sums)
        np.minimum(sums, 0, out=sums)
        return np.asarray(np.exp(sums, out=sums))

    likeness = windowed.Likeness(search, patch, 1 / (np.sqrt(count) * width), weight)
    found = windowed.weighted_mean(array, likeness, power=2 if rician else 1)
    if not rician:
        return found
    return np.asarray(np.sqrt(np.maximum(found - array.dtype.type(2 * level**2), 0)))


def _is_rician(volume: Volume, asked: bool | None) -> bool:
    if asked and filtering.is_colour(volume):
        raise UsageError("a colour picture has no Rician noise", found="rician=True", fix="leave rician out")
    lowest = float(volume.array.min())
    if asked and lowest < 0:
        raise ImageContentError(
            "a magnitude image has no negative values",
            found=f"minimum {lowest:g}",
            fix="set rician=False, or give the image before it was normalised",
        )
    return volume.modality == "MR" and lowest >= 0 if asked is None else asked


def _jointly(volume: Volume, work: filtering.Filter, operation: str, parameters: dict[str, Any]) -> Volume:
    """Return the image with `work` done on the colours together, or on every component by itself."""
    if not filtering.is_colour(volume):
        return filtering.each_component(volume, work, operation, **parameters)
    filtering.check_voxels(volume, operation)
    result = filtering.as_stored(work(filtering.working(volume.array)), volume.array.dtype)
    return volume.with_array(result, operation, **parameters)


def _noise(volume: Volume, array: Array, factor: float, asked: float | None, name: str, slicewise: bool) -> float:
    """Return what was asked for, else a multiple of the noise in the image (the mean of its components)."""
    if asked is not None:
        return filtering.positive(name, asked)
    parts = [array] if array.ndim == 3 else [array[..., c] for c in range(array.shape[3])]
    axes = filtering.active_axes(volume, slicewise=slicewise)
    level = factor * float(np.mean([filtering.noise_level(one, axes) for one in parts]))
    if not level > 0:
        raise ImageContentError(
            "no noise was found in the image", found="equal neighbours", fix=f"give {name} in image units"
        )
    return level


def total_variation(volume: Volume, *, weight: float, iterations: int = 100, slicewise: bool = False) -> Volume:
    """Return the image nearest to the given one plus `weight` times the integral of its gradient's length.

    A ball of radius R mm loses contrast 3 weight / R (a disc in a slice 2 weight / R) and keeps its edge.

    Args:
        weight: in image units times mm.
        iterations: of the accelerated dual scheme.

    Raises:
        UsageError: a parameter out of range.
        UnknownSpacingError: the image does not tell its pixel size.

    Source: Rudin 1992, doi:10.1016/0167-2789(92)90242-F; scheme: Beck 2009, doi:10.1109/TIP.2009.2028250
    """
    filtering.positive("weight", weight, "image units x mm")
    count = int(filtering.between("iterations", iterations, 1, MOST_STEPS))
    axes = filtering.active_axes(volume, slicewise=slicewise)
    spacing = filtering.spacing_along(volume, axes)

    def work(array: Array) -> Array:
        return _least_variation(array, axes, spacing, weight, count)

    told = {"weight": weight, "iterations": count, "slicewise": slicewise}
    return filtering.each_component(volume, work, "total_variation", **told)


def _least_variation(array: Array, axes: tuple[int, ...], spacing: Triple, weight: float, count: int) -> Array:
    """Return the minimiser by fast gradient projection on the dual field."""
    kind = array.dtype.type
    step = kind(1 / (weight * sum(4 / spacing[axis] ** 2 for axis in axes)))
    dual = [np.zeros_like(array) for _ in axes]
    ahead, momentum = [one.copy() for one in dual], 1.0
    for _ in range(count):
        image = _from_dual(array, ahead, axes, spacing, weight)
        fresh = [one + step * _forward(image, axis, spacing) for one, axis in zip(ahead, axes, strict=True)]
        length = np.maximum(np.sqrt(sum((one * one for one in fresh), start=np.zeros_like(array))), 1)
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        part = kind((momentum - 1) / following)
        for place, one in enumerate(fresh):
            one /= length
            ahead[place] = one + part * (one - dual[place])
            dual[place] = one
        momentum = following
    return _from_dual(array, dual, axes, spacing, weight)


def _forward(image: Array, axis: int, spacing: Triple) -> Array:
    """Return the difference to the next voxel per mm, 0 at the last."""
    result = np.zeros_like(image)
    inner = tuple(slice(0, -1) if a == axis else slice(None) for a in range(3))
    result[inner] = np.diff(image, axis=axis) / image.dtype.type(spacing[axis])
    return result


def _from_dual(array: Array, dual: list[Array], axes: tuple[int, ...], spacing: Triple, weight: float) -> Array:
    """Return the image plus `weight` times the divergence of the dual field."""
    result = array.copy()
    for one, axis in zip(dual, axes, strict=True):
        scaled = one * array.dtype.type(weight / spacing[axis])
        result += scaled
        after = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
        before = tuple(slice(0, -1) if a == axis else slice(None) for a in range(3))
        result[after] -= scaled[before]
    return result


def anisotropic_diffusion(
    volume: Volume, *, sigma_mm: float, edge: float | None = None, slicewise: bool = False
) -> Volume:
    """Return the image after diffusion that stops at edges.

    Where the image is even it is smoothed as by a Gaussian of `sigma_mm`. Our own: ITK's anisotropic diffusion divides
    by the spacing once instead of twice, so that it smooths s times too much (as variance) along an axis of s mm.

    Args:
        edge: slope, image units per mm, at which the flow has fallen to 1/e; default three times the median slope of
            the foreground.

    Raises:
        UsageError: a parameter out of range.
        ImageContentError: the image is constant.
        UnknownSpacingError: the image does not tell its pixel size.

    Source: Perona 1990, doi:10.1109/34.56205
    """
    filtering.positive("sigma_mm", sigma_mm, "mm")
    axes = filtering.active_axes(volume, slicewise=slicewise)
    spacing = filtering.spacing_along(volume, axes)
    steps, step = diffusion_steps(sigma_mm, axes, spacing)

    def work(array: Array) -> Array:
        steep = _edge(array, axes, spacing, edge)
        for _ in range(steps):
            flow = np.exp(-squared_slope(array, axes, spacing) / array.dtype.type(steep**2))
            array = diffused(array, flow, axes, spacing, step)
        return array

    told = {"sigma_mm": sigma_mm, "edge": edge, "slicewise": slicewise}
    return filtering.each_component(volume, work, "anisotropic_diffusion", **told)


def diffusion_steps(sigma_mm: float, axes: tuple[int, ...], spacing: Triple) -> tuple[int, float]:
    """Return how many explicit steps of which duration (mm2) diffuse as much as a Gaussian of `sigma_mm`.

    Raises:
        UsageError: far more steps than are sensible.
    """
    largest = STEP_SAFETY / (2 * sum(1 / spacing[axis] ** 2 for axis in axes))
    steps = int(np.ceil(sigma_mm**2 / 2 / largest))
    if steps > MOST_STEPS:
        raise UsageError(
            "so much diffusion takes too many steps",
            found=f"sigma_mm {sigma_mm:g}, {steps} steps",
            expected=f"sigma_mm up to {np.sqrt(2 * largest * MOST_STEPS):.3g} mm for these voxels",
            fix="give a smaller sigma_mm, or resample to larger voxels first",
        )
    return steps, sigma_mm**2 / 2 / steps


def squared_slope(array: Array, axes: tuple[int, ...], spacing: Triple) -> Array:
    """Return the squared length of the gradient by central differences, (image units per mm) squared."""
    total = np.zeros_like(array)
    for axis in axes:
        slope = np.gradient(array, array.dtype.type(spacing[axis]), axis=axis)
        slope *= slope
        total += slope
    return total


def diffused(array: Array, flow: Array, axes: tuple[int, ...], spacing: Triple, step: float) -> Array:
    """Return the array after one explicit step of diffusion with the conductivity `flow`; nothing crosses the border.

    Args:
        step: duration in mm2.
    """
    result = array.copy()
    for axis in axes:
        after = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
        before = tuple(slice(0, -1) if a == axis else slice(None) for a in range(3))
        current = np.diff(array, axis=axis)
        current *= flow[after] + flow[before]
        current *= array.dtype.type(step / (2 * spacing[axis] ** 2))
        result[before] += current
        result[after] -= current
    return result


def _edge(array: Array, axes: tuple[int, ...], spacing: Triple, asked: float | None) -> float:
    if asked is not None:
        return filtering.positive("edge", asked, "image units per mm")
    slopes = np.sqrt(squared_slope(array, axes, spacing))
    steep = slopes[slopes > 0]
    if not steep.size:
        raise ImageContentError("the image is constant: there is nothing to smooth", found="no slope anywhere")
    return 3 * float(np.median(steep))
