"""Rigid, affine and deformable registration of two volumes in patient space.

Source: SimpleITK (ITKv4 framework: Mattes mutual information, regular-step gradient descent; symmetric-forces demons).
Mattes mutual information is not repeatable with several threads, so registration runs on one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from vesalius.core.axis import Axis, AxisKind
from vesalius.core.errors import GeometryError
from vesalius.core.grid import Frame
from vesalius.core.volume import Volume

if TYPE_CHECKING:
    import SimpleITK

Metric = Literal["mutual-information", "correlation", "mean-squares"]
Kind = Literal["rigid", "affine"]


@dataclass(frozen=True)
class RegistrationOptions:
    """How to register.

    Args:
        metric: mutual information across contrasts, correlation within one, mean squares for equal intensities.
        levels_mm: voxel sizes of the resolutions, coarse to fine.
        iterations: largest number of steps per resolution.
        sampling: fraction of the voxels that the metric sees.
        seed: seed of the sampling, not negative.
    """

    metric: Metric = "mutual-information"
    levels_mm: tuple[float, ...] = (8.0, 4.0, 2.0)
    iterations: int = 100
    sampling: float = 0.3
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Alignment:
    """Where a point of the fixed image lies in the moving image.

    Args:
        matrix: 4x4, fixed LPS mm to moving LPS mm.
        displacement: None, or a volume on the fixed grid with a feature axis x, y, z in mm, added to a fixed point
            before `matrix`.
        metric: value of the metric at the end (smaller is better).
    """

    matrix: NDArray[np.float64]
    displacement: Volume | None
    metric: float

    def transform(self, point_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return moving LPS mm of fixed LPS mm points, shape (..., 3)."""
        points = np.asarray(point_mm, dtype=np.float64)
        if self.displacement is not None:
            points = points + _sample(self.displacement, points)
        return points @ self.matrix[:3, :3].T + self.matrix[:3, 3]


def register(
    fixed: Volume, moving: Volume, *, kind: Kind = "rigid", options: RegistrationOptions | None = None
) -> Alignment:
    """Return the rigid (6 parameters) or affine (12) alignment of a moving with a fixed volume.

    Raises:
        GeometryError: a volume is not 3-D in calibrated patient space.
    """
    import SimpleITK as sitk

    chosen = options or RegistrationOptions()
    with _one_thread():
        still, mobile = _image(fixed), _image(moving)
        start = sitk.CenteredTransformInitializer(
            still, mobile, sitk.Euler3DTransform(), sitk.CenteredTransformInitializerFilter.GEOMETRY
        )
        rigid, value = _optimised(still, mobile, sitk.Euler3DTransform(start), chosen)
        if kind == "rigid":
            return Alignment(_matrix(rigid), None, value)
        affine = sitk.AffineTransform(3)
        affine.SetMatrix(rigid.GetMatrix())
        affine.SetTranslation(rigid.GetTranslation())
        affine.SetCenter(rigid.GetCenter())
        result, value = _optimised(still, mobile, affine, chosen)
        return Alignment(_matrix(result), None, value)


def register_deformable(
    fixed: Volume, moving: Volume, *, start: Alignment | None = None, iterations: int = 60, smoothing_mm: float = 3.0
) -> Alignment:
    """Return a smooth deformable alignment of images of one contrast, after an affine start.

    Intensities are matched by histogram first. Symmetric-forces demons with Gaussian smoothing of the field.

    Args:
        fixed: target.
        moving: image to be moved.
        start: affine alignment to start from; None registers affinely first.
        iterations: demons steps.
        smoothing_mm: standard deviation of the field's smoothing.

    Raises:
        GeometryError: a volume is not 3-D in calibrated patient space.
    """
    import SimpleITK as sitk

    begun = start or register(fixed, moving, kind="affine")
    with _one_thread():
        still = _image(fixed)
        carried = sitk.Resample(_image(moving), still, _affine(begun.matrix), sitk.sitkLinear, 0.0)
        matched = sitk.HistogramMatching(carried, still, 256, 15, True)
        demons = sitk.FastSymmetricForcesDemonsRegistrationFilter()
        demons.SetNumberOfIterations(iterations)
        demons.SetSmoothDisplacementField(True)
        demons.SetStandardDeviations([smoothing_mm / s for s in still.GetSpacing()])
        field = demons.Execute(still, matched)
        array = sitk.GetArrayFromImage(field).astype(np.float32)
        value = float(demons.GetMetric())
    axis = Axis(AxisKind.FEATURE, ("x", "y", "z"))
    ordered = array.reshape(*fixed.shape, 3)
    displacement = Volume(ordered, fixed.affine, axis=axis, unit="mm", history=fixed.done("register_deformable"))
    return Alignment(begun.matrix, displacement, value)


def apply_alignment(
    moving: Volume, fixed: Volume, alignment: Alignment, *, order: int = 1, fill: float = 0.0
) -> Volume:
    """Return the moving volume on the fixed grid.

    Args:
        moving: image to be moved.
        fixed: gives the grid.
        alignment: from `register` or `register_deformable` with the same fixed volume.
        order: 0 nearest, 1 linear, 3 cubic spline.
        fill: value outside the moving image.
    """
    from scipy.ndimage import map_coordinates

    index = np.stack(np.meshgrid(*[np.arange(n, dtype=np.float64) for n in fixed.shape], indexing="ij"), axis=-1)
    points = fixed.index_to_world(index)
    if alignment.displacement is not None:
        points = points + alignment.displacement.array
    points = points @ alignment.matrix[:3, :3].T + alignment.matrix[:3, 3]
    place = np.moveaxis(moving.world_to_index(points), -1, 0)
    source = moving.array.astype(np.float32)
    array = map_coordinates(source, place, order=order, mode="constant", cval=fill, output=np.float32)
    result = fixed.with_array(array, "apply_alignment", order=order)
    return Volume(
        result.array,
        result.affine,
        result.frame,
        result.spacing,
        moving.history + result.history[-1:],
        moving.modality,
        None,
        moving.unit,
    )


def _sample(field: Volume, points: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.ndimage import map_coordinates

    place = np.moveaxis(field.world_to_index(points), -1, 0)
    parts = [map_coordinates(field.array[..., i], place, order=1, mode="nearest") for i in range(3)]
    return np.stack(parts, axis=-1)


def _optimised(
    fixed: SimpleITK.Image, moving: SimpleITK.Image, transform: Any, options: RegistrationOptions
) -> tuple[Any, float]:
    import SimpleITK as sitk

    method = sitk.ImageRegistrationMethod()
    set_metric: dict[str, Callable[[], None]] = {
        "mutual-information": lambda: method.SetMetricAsMattesMutualInformation(48),
        "correlation": method.SetMetricAsCorrelation,
        "mean-squares": method.SetMetricAsMeanSquares,
    }
    set_metric[options.metric]()
    method.SetMetricSamplingStrategy(method.REGULAR)
    # SimpleITK takes seed 0 for the wall clock.
    method.SetMetricSamplingPercentage(options.sampling, options.seed + 1)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(2.0, 1e-3, options.iterations, relaxationFactor=0.6)
    method.SetOptimizerScalesFromPhysicalShift()
    spacing = float(min(fixed.GetSpacing()))
    method.SetShrinkFactorsPerLevel([max(1, round(mm / spacing)) for mm in options.levels_mm])
    method.SetSmoothingSigmasPerLevel([mm / 2 for mm in options.levels_mm])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    method.SetInitialTransform(transform, inPlace=True)
    method.Execute(fixed, moving)
    return transform, float(method.GetMetricValue())


def _image(volume: Volume) -> SimpleITK.Image:
    import SimpleITK as sitk

    if volume.axis is not None or volume.frame is not Frame.PATIENT or volume.is_sheared:
        raise GeometryError(
            "registration works on 3-D volumes in patient space with orthogonal axes",
            found=repr(volume),
            fix="take one element of the fourth axis, or resample a sheared volume first",
        )
    image = sitk.GetImageFromArray(np.ascontiguousarray(volume.array, dtype=np.float32))
    spacing = np.array(volume.spacing_mm)
    image.SetSpacing([float(s) for s in spacing[::-1]])
    direction = (volume.affine[:3, :3] / spacing)[:, ::-1]
    image.SetDirection([float(v) for v in direction.ravel()])
    image.SetOrigin([float(v) for v in volume.affine[:3, 3]])
    return image


def _matrix(transform: Any) -> NDArray[np.float64]:
    linear = np.array(transform.GetMatrix()).reshape(3, 3)
    centre, shift = np.array(transform.GetCenter()), np.array(transform.GetTranslation())
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    matrix[:3, 3] = centre + shift - linear @ centre
    return matrix


def _affine(matrix: NDArray[np.float64]) -> Any:
    import SimpleITK as sitk

    transform = sitk.AffineTransform(3)
    transform.SetMatrix([float(v) for v in matrix[:3, :3].ravel()])
    transform.SetTranslation([float(v) for v in matrix[:3, 3]])
    return transform


@contextmanager
def _one_thread() -> Iterator[None]:
    import SimpleITK as sitk

    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)
