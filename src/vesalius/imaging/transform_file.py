"""Transforms as text that other programs read."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from vesalius.core.errors import GeometryError


def itk_affine(matrix: ArrayLike) -> str:
    """Return an affine transform as the text of an ITK transform file (.tfm, .txt).

    Args:
        matrix: 4x4, point of the output grid (LPS mm) to point of the input image (LPS mm), which is how ITK, ANTs and
            3D Slicer resample.

    Raises:
        GeometryError: not a finite 4x4 matrix with last row 0 0 0 1.
    """
    values = np.asarray(matrix, dtype=np.float64)
    if values.shape != (4, 4) or not np.isfinite(values).all() or not np.allclose(values[3], (0, 0, 0, 1)):
        raise GeometryError("an affine is a 4x4 matrix whose last row is 0 0 0 1", found=f"shape {values.shape}")
    numbers = " ".join(f"{v:.17g}" for v in (*values[:3, :3].ravel(), *values[:3, 3]))
    lines = ("#Insight Transform File V1.0", "#Transform 0", "Transform: AffineTransform_double_3_3",
             f"Parameters: {numbers}", "FixedParameters: 0 0 0", "")  # fmt: skip
    return "\n".join(lines)
