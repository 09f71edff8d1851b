"""A transform that we write moves points in ITK as it should."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vesalius.core.errors import GeometryError
from vesalius.imaging.transform_file import itk_affine


def test_itk_moves_points_by_the_same_matrix(tmp_path: Path) -> None:
    import SimpleITK

    matrix = np.array([[1.1, 0.1, 0, 5], [-0.1, 0.9, 0.2, -7], [0, -0.2, 1.05, 11], [0, 0, 0, 1]])
    path = tmp_path / "affine.tfm"
    path.write_text(itk_affine(matrix))
    point = np.array([3.0, -20.0, 40.0])
    expected = matrix[:3, :3] @ point + matrix[:3, 3]
    np.testing.assert_allclose(SimpleITK.ReadTransform(str(path)).TransformPoint(point.tolist()), expected, atol=1e-9)


def test_only_affines_are_written() -> None:
    with pytest.raises(GeometryError, match="4x4"):
        itk_affine(np.ones((3, 3)))
