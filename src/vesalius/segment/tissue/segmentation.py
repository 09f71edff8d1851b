"""Volume in, tissue segmentation out: the face of the tissue engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vesalius.core.axis import Axis, AxisKind
from vesalius.core.code import Code
from vesalius.core.errors import GeometryError, ImageContentError
from vesalius.core.grid import Frame
from vesalius.core.mask import Mask, Segment
from vesalius.core.volume import Volume
from vesalius.phantoms.heads import TISSUE_SEGMENTS
from vesalius.segment.tissue import engine
from vesalius.segment.tissue.atlas import Atlas, load_atlas
from vesalius.segment.tissue.diagnostics import diagnose
from vesalius.segment.tissue.labels import tissue_labels
from vesalius.segment.tissue.mixture import Fit, Template
from vesalius.segment.tissue.native import NativeOptions, NativeResult
from vesalius.segment.tissue.repeat import relative_spread, rerun_volumes
from vesalius.segment.tissue.result import TissueOptions, TissueSegmentation

BRAIN_SEGMENT = Segment("brain", Code("12738006", "SCT", "Brain"), (250, 180, 120))
INTRACRANIAL_SEGMENT = Segment("intracranial", Code("1101003", "SCT", "Intracranial structure"), (230, 200, 120))
HEMISPHERE_SEGMENTS = MappingProxyType({
    1: Segment("left_hemisphere", Code("72792005", "SCT", "Left cerebral hemisphere"), (120, 200, 120)),
    2: Segment("right_hemisphere", Code("5228007", "SCT", "Right cerebral hemisphere"), (200, 120, 200)),
})  # fmt: skip
TISSUES = ("gray_matter", "white_matter", "csf")

MINIMUM_EXTENT_MM = 60.0


def segment_tissue(
    volume: Volume,
    options: TissueOptions | None = None,
    progress: Callable[[str, float], None] | None = None,
    atlas: Atlas | None = None,
    pose: NDArray[np.float64] | None = None,
) -> TissueSegmentation:
    """Return grey matter, white matter and CSF of a T1-weighted head, skull on or stripped, in any orientation.

    Args:
        volume: 3-D MR image in patient space, 0.7-3 mm, or slices up to 5 mm.
        options: see `TissueOptions`.
        progress: called with a stage name and the fraction done, 0..1.
        atlas: another atlas than the shipped one.
        pose: 4x4 template LPS mm to patient LPS mm, when the atlas has been aligned already (`measure_head`); it is
            refined, which saves the search of 3-4 s.

    Raises:
        GeometryError: not a 3-D image in patient space, or too small for a head.
        ImageContentError: no finite voxel or no contrast.
    """
    chosen = options or TissueOptions()
    report = progress or (lambda stage, fraction: None)
    image = _checked(volume)
    reference = atlas or load_atlas()
    settings = engine.Settings(
        expectation_steps=chosen.expectation_steps,
        native=NativeOptions(chosen.native_steps, chosen.field_strength),
        start=pose,
        skull={"auto": None, "present": True, "stripped": False}[chosen.skull],
    )
    affine = np.asarray(volume.affine)
    head, fit, native = engine.run(image, affine, reference, settings, report)
    report("repeat", 0.5)
    repeated = rerun_volumes(image, affine, reference, settings, (head, fit), chosen.reruns, chosen.seed)
    report("volumes", 0.9)
    tissue = tissue_labels(image, affine, native, fit)
    _, scalp = engine.skull_evidence(head, reference)
    diagnostics = diagnose(volume, image, reference, head, fit, native, scalp)
    result = _assembled(volume, image, reference, (head, fit, native), tissue)
    spread = MappingProxyType(relative_spread(repeated))
    report("volumes", 1.0)
    return TissueSegmentation(
        **result,  # type: ignore[arg-type]
        skull_present=not fit.stripped,
        affine_log_likelihood=fit.pose.log_likelihood,
        diagnostics=diagnostics,
        volume_spread=spread,
        options=chosen,
    )


BASE_BYTES = 250 << 20
"""The process with every package of an analysis imported."""

TEMPLATE_BYTES = 280 << 20
NATIVE_BYTES = 129 << 20
NATIVE_FACTOR = 9.1
"""Peak of the results on the input grid, as a multiple of the input as float32."""


def estimate_memory(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]) -> int:
    """Return the expected peak of the process in bytes for an image of this shape and voxel size.

    Either the fit in template space, whose size is fixed, or the results on the input grid set the peak. Below 1 mm the
    brain fills more voxels, but so does the image: the voxel size itself does not matter.
    """
    native = NATIVE_BYTES + NATIVE_FACTOR * 4 * float(np.prod(shape))
    return int(BASE_BYTES + max(TEMPLATE_BYTES, native) + 2 * float(np.prod(shape)))


def _checked(volume: Volume) -> NDArray[np.float32]:
    if volume.axis is not None or volume.frame is not Frame.PATIENT:
        raise GeometryError("tissue is segmented on one 3-D image in patient space", found=repr(volume))
    volume.require_spacing()
    extent = np.array(volume.shape) * np.array(volume.spacing_mm)
    if extent.min() < MINIMUM_EXTENT_MM or min(volume.shape) < 8:
        raise GeometryError(
            "the image is too small to hold a head",
            found=f"{extent.round().tolist()} mm in {volume.shape} voxels",
            expected=f"at least {MINIMUM_EXTENT_MM:g} mm and 8 voxels along each axis",
        )
    image = np.array(volume.array, dtype=np.float32)
    np.nan_to_num(image, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    low, high = np.percentile(image[::2, ::2, ::2], (0.1, 99.5))
    if not high > low:
        raise ImageContentError("the image holds no contrast", found=f"values from {low:g} to {high:g}")
    if low < 0:
        image -= np.float32(low)
    return np.maximum(image, 0, out=image)


def _assembled(
    volume: Volume,
    image: NDArray[np.float32],
    atlas: Atlas,
    parts: tuple[Template, Fit, NativeResult],
    tissue: NDArray[np.uint8],
) -> dict[str, object]:
    head, fit, native = parts
    inside = tissue > 0
    above = np.zeros(volume.shape, dtype=bool)
    above[native.box] = native.dense(~native.below)
    left = np.zeros(volume.shape, dtype=bool)
    left[native.box] = native.dense(native.left)
    sides = np.where(inside, np.where(left, 1, 2), 0).astype(np.uint8)
    bias = _bias(volume, atlas, head, fit, native)
    return {
        "tissue": _mask(volume, tissue, TISSUE_SEGMENTS, "segment_tissue"),
        "brain": _mask(volume, inside.astype(np.uint8), {1: BRAIN_SEGMENT}, "brain_mask"),
        "intracranial": _mask(volume, (inside & above).astype(np.uint8), {1: INTRACRANIAL_SEGMENT}, "intracranial"),
        "hemispheres": _mask(volume, sides, HEMISPHERE_SEGMENTS, "hemispheres"),
        "probabilities": _probabilities(volume, native),
        "bias_corrected": volume.with_array(image / bias, "bias_corrected"),
        "bias_field": volume.with_array(bias, "bias_field"),
        "affine_to_template": np.linalg.inv(fit.pose.matrix),
        "displacement": _displacement(atlas, fit),
    }


def _mask(volume: Volume, array: NDArray[np.uint8], segments: Mapping[int, Segment], name: str) -> Mask:
    return Mask(array, volume.affine, volume.frame, volume.spacing, volume.done(name), segments)


def _probabilities(volume: Volume, native: NativeResult) -> Mapping[str, Volume]:
    found = {}
    for index, name in enumerate(TISSUES):
        array = np.zeros(volume.shape, dtype=np.float32)
        array[native.box] = native.dense(native.groups[index])
        found[name] = volume.with_array(array, "tissue_probability", tissue=name)
    return MappingProxyType(found)


def _bias(volume: Volume, atlas: Atlas, head: Template, fit: Fit, native: NativeResult) -> NDArray[np.float32]:
    to_template = np.linalg.inv(atlas.affine) @ np.linalg.inv(fit.pose.matrix) @ volume.affine
    field = head.basis.field(fit.coefficients)
    out = ndimage.affine_transform(
        field, to_template[:3, :3], to_template[:3, 3], output_shape=volume.shape, order=1, mode="nearest",
        prefilter=False, output=np.float32,
    )  # fmt: skip
    out -= np.float32(np.median(native.log_bias)) if native.log_bias.size else np.float32(0)
    return np.asarray(np.exp(out, out=out))


def _displacement(atlas: Atlas, fit: Fit) -> Volume:
    # Array order is (slice, row, column) = (z, y, x) of the template; the feature axis is x, y, z.
    field = np.moveaxis(fit.displacement[::-1], 0, -1) * np.float32(atlas.spacing_mm)
    return Volume(np.ascontiguousarray(field), atlas.affine, axis=Axis(AxisKind.FEATURE, ("x", "y", "z")), unit="mm")
