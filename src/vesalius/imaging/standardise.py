"""One brightness scale for MR images of many scanners: shade removed, Nyul's landmarks.

MR brightness has no unit; these give it a scale on which images can be compared, and so does `intensity.normalise`
(z-score, percentiles, white stripe). Results are float32.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.core.errors import ConfigError, GeometryError, ImageContentError, UsageError
from vesalius.core.mask import Mask
from vesalius.core.volume import Volume
from vesalius.imaging import filtering, intensity

PERCENTILES = (1.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 99.0)
"""Landmarks of the histogram: deciles and the two ends, Shah 2011."""
SCALE = (0.0, 100.0)
"""Where the lowest and the highest landmark lie on the standard scale."""
SCHEMA = "vesalius.nyul/1"


@dataclass(frozen=True)
class NyulScale:
    """A standard histogram: percentiles of the foreground and their place on the standard scale.

    Args:
        images: how many images it was learnt from.

    Raises:
        UsageError: landmarks that do not increase.
    """

    percentiles: tuple[float, ...]
    landmarks: tuple[float, ...]
    images: int = 0

    def __post_init__(self) -> None:
        """Check the landmarks."""
        places = np.asarray(self.landmarks, dtype=np.float64)
        ranks = np.asarray(self.percentiles, dtype=np.float64)
        fits = len(ranks) == len(places) >= 2 and bool((np.diff(ranks) > 0).all() and (np.diff(places) >= 0).all())
        if not fits or not places[-1] > places[0] or not 0 <= ranks[0] <= ranks[-1] <= 100:
            raise UsageError(
                "a standard histogram has as many increasing landmarks as increasing percentiles",
                found=f"{self.percentiles} and {self.landmarks}",
            )

    def to_json(self) -> str:
        """Return the scale as a text that `from_json` reads."""
        content = {
            "schema": SCHEMA,
            "percentiles": self.percentiles,
            "landmarks": self.landmarks,
            "images": self.images,
        }
        return json.dumps(content, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> NyulScale:
        """Return the scale that `to_json` wrote.

        Raises:
            ConfigError: the text is something else.
        """
        try:
            content: Mapping[str, Any] = json.loads(text)
            if content["schema"] != SCHEMA:
                raise KeyError(content["schema"])
            numbers = [tuple(float(v) for v in content[name]) for name in ("percentiles", "landmarks")]
            return cls(numbers[0], numbers[1], int(content.get("images", 0)))
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(
                "this is no standard histogram", found=type(error).__name__, expected=f"JSON of schema {SCHEMA}"
            ) from error


def learn_scale(
    volumes: Iterable[Volume], *, regions: Iterable[Mask] | None = None, percentiles: tuple[float, ...] = PERCENTILES
) -> NyulScale:
    """Return the standard histogram of images of one body part and one kind of weighting.

    Args:
        volumes: 3-D; read one after the other.
        regions: where to look in each (any label); default the foreground by Otsu's threshold.
        percentiles: the landmarks.

    Raises:
        UsageError: no image, or not one region per image.
        ImageContentError: an image whose ends fall on one value.

    Source: Nyul 2000, doi:10.1109/42.836373; landmarks: Shah 2011, doi:10.1016/j.media.2010.12.003
    """
    masks = iter(regions) if regions is not None else None
    found = list[NDArray[np.float64]]()
    for volume in volumes:
        region = next(masks, None) if masks is not None else None
        if masks is not None and region is None:
            raise UsageError("there are fewer regions than images", found=f"{len(found)} regions")
        places = _landmarks(volume, region, percentiles)
        found.append(np.interp(places, (places[0], places[-1]), SCALE))
    if not found:
        raise UsageError("a standard histogram is learnt from at least one image", found="none")
    mean = np.mean(found, axis=0)
    return NyulScale(percentiles, tuple(float(v) for v in mean), len(found))


def nyul(volume: Volume, *, scale: NyulScale, region: Mask | None = None) -> Volume:
    """Return the image on a standard scale, float32: its landmarks fall on those of the scale.

    Between landmarks the map is linear; beyond the ends the outermost lines go on.

    Args:
        region: where landmarks are taken (any label); default the foreground by Otsu's threshold.

    Raises:
        GeometryError: a fourth axis, or a region on another grid.
        ImageContentError: the image's landmarks fall on one value.

    Source: Nyul 2000, doi:10.1109/42.836373
    """
    places = _landmarks(volume, region, scale.percentiles)
    # Equal landmarks (a plateau of the histogram) would make a vertical line.
    keep = np.concatenate([[True], np.diff(places) > 0])
    ours, theirs = places[keep], np.asarray(scale.landmarks)[keep]
    image = intensity.scalar(volume)
    mapped = np.interp(image, ours, theirs)
    for end, beyond in ((0, image < ours[0]), (-1, image > ours[-1])):
        other = 1 if end == 0 else -2
        slope = (theirs[end] - theirs[other]) / (ours[end] - ours[other])
        mapped[beyond] = theirs[end] + slope * (image[beyond] - ours[end])
    told = {"landmarks": scale.landmarks, "percentiles": scale.percentiles}
    return replace(volume.with_array(mapped.astype(np.float32), "nyul", **told), unit="1")


def remove_bias(volume: Volume, *, shrink: int = 4) -> Volume:
    """Return the image without its slowly varying shade (N4), float32; `intensity.n4` also gives the field.

    Args:
        shrink: factor by which the image is reduced for the fit.

    Raises:
        UsageError: a factor that is not positive.
        GeometryError: a fourth axis.
        ImageContentError: voxels that are not finite, or none that is positive.

    Source: Tustison 2010, doi:10.1109/TMI.2010.2046908
    """
    filtering.check_voxels(volume, "remove_bias")
    options = intensity.N4Options(shrink=int(filtering.between("shrink", shrink, 1, 16)), threads=filtering.threads())
    return intensity.n4(volume, options=options).corrected


def _landmarks(volume: Volume, region: Mask | None, percentiles: tuple[float, ...]) -> NDArray[np.float64]:
    filtering.check_voxels(volume, "nyul")
    if region is not None and not volume.same_grid(region):
        raise GeometryError("the region lies on another grid than the image", found=str(region), expected=str(volume))
    inside = intensity.foreground(volume) if region is None else region.array > 0
    values = intensity.scalar(volume)[inside]
    if values.size < len(percentiles):
        raise ImageContentError("the region is too small for a histogram", found=f"{values.size} voxels")
    places = np.percentile(values, percentiles).astype(np.float64)
    if not places[-1] > places[0]:
        raise ImageContentError("the region is constant: it has no histogram", found=f"every voxel is {places[0]:g}")
    return np.asarray(places)
