"""The error of a training that runs away."""

from __future__ import annotations

from vesalius.core.errors import VesaliusError


class DivergedError(VesaliusError, RuntimeError):
    """The loss or a gradient is not a finite number; the last checkpoint is kept."""

    code = "diverged"
