"""Registration finds a known transform again, and gives the same answer twice."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from vesalius.core import Frame, Volume
from vesalius.core.errors import GeometryError
from vesalius.imaging.registration import (
    RegistrationOptions,
    apply_alignment,
    register,
    register_deformable,
)

SPACING = 4.0
OPTIONS = RegistrationOptions(levels_mm=(12.0, 8.0, 4.0))


@pytest.fixture(scope="module")
def blobs() -> Volume:
    rng = np.random.default_rng(0)
    array = np.zeros((36, 40, 44), dtype=np.float32)
    array[6:30, 7:33, 8:36] = gaussian_filter(rng.normal(size=(24, 26, 28)), 2.5) * 600 + 200
    array = gaussian_filter(array, 0.7)
    affine = np.zeros((4, 4))
    affine[2, 0] = affine[1, 1] = affine[0, 2] = SPACING
    affine[3, 3] = 1
    affine[:3, 3] = (-80, -70, -60)
    return Volume(np.maximum(array, 0), affine, modality="MR")


def moved(volume: Volume, degrees: tuple[float, float, float], shift: tuple[float, float, float]) -> np.ndarray:
    """Return a rigid motion about the middle of the volume, 4x4 in LPS mm."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    centre = volume.centre_mm()
    matrix[:3, 3] = centre + np.array(shift) - matrix[:3, :3] @ centre
    return matrix


def probes(volume: Volume) -> np.ndarray:
    return volume.index_to_world(np.random.default_rng(1).uniform((8, 9, 10), (28, 31, 34), size=(50, 3)))


@pytest.mark.parametrize("kind", ["rigid", "affine"])
def test_a_known_motion_is_found_again(blobs: Volume, kind: str) -> None:
    motion = moved(blobs, (6, -4, 8), (5, -7, 4))
    moving = Volume(blobs.array, motion @ blobs.affine, modality="MR")
    found = register(blobs, moving, kind=kind, options=OPTIONS)  # type: ignore[arg-type]
    expected = probes(blobs) @ motion[:3, :3].T + motion[:3, 3]
    error = np.linalg.norm(found.transform(probes(blobs)) - expected, axis=1)
    assert error.max() < 0.5 * SPACING


def test_the_same_answer_twice(blobs: Volume) -> None:
    moving = Volume(blobs.array, moved(blobs, (4, 0, 0), (3, 2, 1)) @ blobs.affine, modality="MR")
    first, second = (register(blobs, moving, options=OPTIONS).matrix for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_apply_brings_the_moving_image_onto_the_fixed_grid(blobs: Volume) -> None:
    motion = moved(blobs, (5, 5, 0), (4, 0, -4))
    moving = Volume(blobs.array, motion @ blobs.affine, modality="MR")
    found = register(blobs, moving, options=OPTIONS)
    carried = apply_alignment(moving, blobs, found)
    assert carried.same_grid(blobs)
    inner = (slice(8, 28), slice(9, 31), slice(10, 34))
    assert np.corrcoef(carried.array[inner].ravel(), blobs.array[inner].ravel())[0, 1] > 0.97


def test_deformable_improves_on_affine(blobs: Volume) -> None:
    index = np.stack(np.meshgrid(*[np.arange(n, dtype=np.float64) for n in blobs.shape], indexing="ij"))
    wave = index.copy()
    wave[0] += 1.5 * np.sin(index[1] / 6)
    from scipy.ndimage import map_coordinates

    moving = blobs.with_array(map_coordinates(blobs.array, wave, order=1).astype(np.float32), "wave")
    start = register(blobs, moving, kind="affine", options=OPTIONS)
    bent = register_deformable(blobs, moving, start=start, iterations=60, smoothing_mm=4.0)
    inner = (slice(8, 28), slice(9, 31), slice(10, 34))
    scores = [
        np.corrcoef(apply_alignment(moving, blobs, a).array[inner].ravel(), blobs.array[inner].ravel())[0, 1]
        for a in (start, bent)
    ]
    assert scores[1] > scores[0]
    assert scores[1] > 0.95
    assert bent.displacement is not None
    assert bent.displacement.array.shape == (*blobs.shape, 3)


def test_pictures_are_refused(blobs: Volume) -> None:
    picture = Volume(blobs.array, blobs.affine, Frame.IMAGE)
    with pytest.raises(GeometryError, match="patient space"):
        register(picture, blobs)
