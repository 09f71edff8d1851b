"""The second opinion on a brain with known shares."""

from __future__ import annotations

import numpy as np
import pytest

from vesalius.core import Volume
from vesalius.core.errors import ImageContentError
from vesalius.segment.agreement import white_share_by_brightness

AFFINE = np.diag([1.0, 1.0, 1.0, 1.0])


@pytest.mark.parametrize("share", [0.3, 0.45, 0.6])
def test_the_share_of_white_matter_is_found(share: float) -> None:
    rng = np.random.default_rng(0)
    levels = rng.choice([25.0, 66.0, 100.0], p=[0.15, 0.85 * (1 - share), 0.85 * share], size=(40, 40, 40))
    volume = Volume((levels + rng.normal(0, 5, levels.shape)).astype(np.float32), AFFINE, modality="MR")
    assert white_share_by_brightness(volume, np.ones(levels.shape, bool)) == pytest.approx(share, abs=0.04)


def test_too_little_to_judge() -> None:
    volume = Volume(np.ones((20, 20, 20), np.float32), AFFINE)
    with pytest.raises(ImageContentError, match="too little"):
        white_share_by_brightness(volume, np.ones((20, 20, 20), bool))
