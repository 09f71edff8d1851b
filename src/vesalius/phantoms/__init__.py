"""Images with a known answer, public so that users can test their own methods on them."""

from vesalius.phantoms.geometry import brightest_mm, grid_affine, marker_centre_mm, marker_phantom

__all__ = ["brightest_mm", "grid_affine", "marker_centre_mm", "marker_phantom"]
