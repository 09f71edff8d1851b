"""Every way to segment by name: its function, its parameters with units, and for which images it is meant.

One table serves `vesalius segment`, `segment list` and the documentation. Importing it loads no NumPy; a function is
imported when it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vesalius.imaging import methods as imaging_methods
from vesalius.imaging.methods import Kind, Method, Parameter, check_names, parameter_of

if TYPE_CHECKING:
    from vesalius.core.mask import Mask
    from vesalius.core.volume import Volume

__all__ = ["FAMILIES", "METHODS", "Kind", "Method", "Parameter", "get", "parameter_of", "parse_value", "run"]

FAMILIES: Mapping[str, str] = {
    "threshold": "Thresholds",
    "region": "Regions and contours",
    "graph": "Graphs, from seeds",
    "cluster": "Clusters of brightness",
    "interactive": "Interactive",
    "anatomy": "Anatomy, without weights",
    "clean-up": "Clean-up of masks",
}
"""Families in the order of the documentation, with their titles."""

_WITHIN = Parameter("within", Kind.MASK, "only voxels of this mask count and are labelled")
_SIDE = Parameter("side", Kind.WORD, "of the threshold that is kept", default="above", choices=("above", "below"))
_SLICEWISE = Parameter("slicewise", Kind.FLAG, "treat each slice by itself", default=False)
_LOW = Parameter("low", Kind.NUMBER, "lowest value that belongs", "image units")
_HIGH = Parameter("high", Kind.NUMBER, "highest value that belongs", "image units")
_LABEL = Parameter("label", Kind.WORD, "name of the only segment that is changed; default each by itself")
_RADIUS = Parameter("radius_mm", Kind.NUMBER, "of the ball", "mm", required=True)
_CLASSES = Parameter("classes", Kind.WHOLE, "how many", default=3)
_CHANCE = Parameter("seed", Kind.WHOLE, "of the random starts", default=0)
_COUNT = Parameter("count", Kind.WHOLE, "of supervoxels, about", default=500)
_COMPACT = Parameter("compactness", Kind.NUMBER, "weight of nearness against likeness", default=0.1)
_FOREGROUND = Parameter("foreground", Kind.SEEDS, "seeds of what is looked for")
_BACKGROUND = Parameter("background", Kind.SEEDS, "seeds of the rest")
_MARKERS = Parameter("markers", Kind.MASK, "seeds of several segments at once, instead of the other two")
_START = Parameter("start", Kind.MASK, "where the contour starts")
_ITERATIONS = Parameter("iterations", Kind.WHOLE, "of the contour", default=100)
_STIFF = Parameter("smoothing", Kind.WHOLE, "steps of smoothing per iteration", default=1)


def _mm(name: str, text: str, default: float | None = None, *, required: bool = False) -> Parameter:
    return Parameter(name, Kind.NUMBER, text, "mm", default, required)


_SIGMA = _mm("sigma_mm", "smoothing before, standard deviation; default none")
_SIZE = _mm("size_mm", "edge length of a supervoxel, instead of their count")
_WINDOW = _mm("window_mm", "edge length of the window", required=True)

_THRESHOLDS = (
    Method("range", "threshold", "threshold:fixed", "Values of a range.", (_LOW, _HIGH, _WITHIN)),
    Method("otsu", "threshold", "threshold:otsu", "Otsu's threshold: two classes of least variance.", (_SIDE, _WITHIN)),
    Method("multi-otsu", "threshold", "threshold:multi_otsu", "Classes of least variance, dark to bright.",
           (_CLASSES, _WITHIN)),
    Method("li", "threshold", "threshold:li", "Li's threshold: least cross entropy.", (_SIDE, _WITHIN)),
    Method("triangle", "threshold", "threshold:triangle", "Foot of the histogram's only peak.", (_SIDE, _WITHIN)),
    Method(
        "niblack", "threshold", "threshold:niblack", "Local threshold: mean - k x standard deviation of a window.",
        (_WINDOW, Parameter("k", Kind.NUMBER, "weight of the spread", default=0.2), _SIDE, _SLICEWISE, _WITHIN),
    ),
    Method(
        "sauvola", "threshold", "threshold:sauvola", "Local threshold that stays down where a window is even.",
        (
            _WINDOW,
            Parameter("k", Kind.NUMBER, "weight of the spread", default=0.2),
            Parameter("spread", Kind.NUMBER, "largest standard deviation; default half the image's range",
                      "image units"),
            _SIDE, _SLICEWISE, _WITHIN,
        ),
    ),
    Method(
        "hysteresis", "threshold", "threshold:hysteresis", "Values above low that touch values above high.",
        (replace(_LOW, required=True, help="threshold of what is kept"),
         replace(_HIGH, required=True, help="threshold of what starts"), _WITHIN),
    ),
)  # fmt: skip

_REGIONS = (
    Method(
        "connected", "region", "region:connected", "What hangs together with the seeds in a range of values.",
        (
            Parameter("seeds", Kind.SEEDS, "where the region starts", required=True),
            _LOW, _HIGH,
            Parameter("tolerance", Kind.NUMBER, "around the seeds' mean, instead of low and high", "image units"),
            _WITHIN,
        ),
    ),
    Method(
        "confidence", "region", "region:confidence", "What hangs together with the seeds and is like them.",
        (
            Parameter("seeds", Kind.SEEDS, "where the region starts", required=True),
            Parameter("multiplier", Kind.NUMBER, "of the standard deviation around the region's mean", default=2.5),
            Parameter("iterations", Kind.WHOLE, "of mean and spread", default=5),
            _mm("radius_mm", "around a seed for the first mean; default the neighbours"),
            _WITHIN,
        ),
    ),
    Method(
        "watershed", "region", "region:watershed", "Basins between ridges of the gradient, or halves of joined bodies.",
        (
            Parameter("markers", Kind.MASK, "one segment per basin; default found automatically"),
            Parameter("relief", Kind.WORD, "gradient of the image, or distance to the border of `within`",
                      default="gradient", choices=("gradient", "distance")),
            Parameter("depth", Kind.NUMBER, "of a basin found automatically, part of the relief's range",
                      default=0.05),
            _SIGMA, _WITHIN,
        ),
    ),
    Method(
        "supervoxels", "region", "supervoxel:supervoxels", "SLIC: small even pieces.",
        (_COUNT, _SIZE, _COMPACT, _WITHIN),
    ),
    Method(
        "merged-supervoxels", "region", "supervoxel:merged_supervoxels",
        "SLIC pieces merged with neighbours that are alike, until few are left.",
        (replace(_CLASSES, name="regions", help="how many are left", default=8), _COUNT, _SIZE, _COMPACT, _WITHIN),
    ),
    Method(
        "chan-vese", "region", "contour:chan_vese", "Contour between two even areas (morphological, ACWE).",
        (_START, _ITERATIONS, _STIFF, _mm("grid_mm", "voxel of the contour's grid; default the finest"), _WITHIN),
    ),
    Method(
        "geodesic-snake", "region", "contour:geodesic_snake", "Contour drawn to edges (morphological).",
        (
            replace(_START, required=True), _ITERATIONS, _STIFF,
            Parameter("balloon", Kind.NUMBER, "above 0 grows, below 0 shrinks", default=1.0),
            _mm("sigma_mm", "of the edges; default one voxel"),
            _mm("grid_mm", "voxel of the contour's grid; default the finest"),
        ),
    ),
)  # fmt: skip

_GRAPHS = (
    Method(
        "graph-cut", "graph", "graph:graph_cut", "Cheapest border between seeds: likeness to them and edges.",
        (
            replace(_FOREGROUND, required=True), replace(_BACKGROUND, required=True),
            Parameter("model", Kind.WORD, "brightness of the seeds as", default="histogram",
                      choices=("histogram", "gaussian")),
            Parameter("balance", Kind.NUMBER, "weight of the brightness against the border", default=0.3),
            _WITHIN,
        ),
    ),
    Method(
        "random-walker", "graph", "graph:random_walker", "The seed that a random walk reaches first.",
        (_FOREGROUND, _BACKGROUND, _MARKERS,
         Parameter("beta", Kind.NUMBER, "how much edges hold the walk back", default=40.0), _WITHIN),
    ),
    Method(
        "grow-cut", "graph", "graph:grow_cut", "The seed with the strongest path of alike voxels.",
        (_FOREGROUND, _BACKGROUND, _MARKERS, _WITHIN),
    ),
)  # fmt: skip

_CLUSTERS = (
    Method("k-means", "cluster", "cluster:k_means", "Classes around mean values, dark to bright.",
           (_CLASSES, _CHANCE, _WITHIN)),
    Method("gaussian-mixture", "cluster", "cluster:gaussian_mixture",
           "Likeliest of several Gaussians, dark to bright.", (_CLASSES, _CHANCE, _WITHIN)),
    Method("hierarchical", "cluster", "cluster:hierarchical", "Supervoxels joined by Ward's method, dark to bright.",
           (_CLASSES, _COUNT, _SIZE, _COMPACT, _WITHIN)),
)  # fmt: skip

_INTERACTIVE = (
    Method(
        "interactive", "interactive", "interactive:select", "Seeds or a box to a mask within a second.",
        (_FOREGROUND, _BACKGROUND, Parameter("box", Kind.BOX, "around what is looked for"), _WITHIN),
    ),
    Method(
        "correct", "interactive", "interactive:correct", "A mask changed near strokes that add or remove.",
        (
            Parameter("mask", Kind.MASK, "what is corrected", required=True),
            Parameter("add", Kind.SEEDS, "places that belong"), Parameter("remove", Kind.SEEDS, "places that do not"),
            _mm("reach_mm", "farthest change from a stroke; default 30 times the voxel"),
        ),
    ),
)  # fmt: skip

_CLEANING = (
    Method("largest", "clean-up", "cleanup:largest", "The largest components.",
           (Parameter("count", Kind.WHOLE, "how many", default=1), _LABEL)),
    Method("components-over", "clean-up", "cleanup:components_over", "Components of some volume.",
           (Parameter("least_ml", Kind.NUMBER, "smallest volume kept", "mL", required=True), _LABEL)),
    Method("fill-holes", "clean-up", "cleanup:fill_holes", "Closed holes filled.",
           (_SLICEWISE, Parameter("most_ml", Kind.NUMBER, "largest hole filled; default any", "mL"), _LABEL)),
    Method("open", "clean-up", "cleanup:opened", "What a ball fits into.", (_RADIUS, _LABEL)),
    Method("close", "clean-up", "cleanup:closed", "Gaps closed that no ball fits into.", (_RADIUS, _LABEL)),
    Method("dilate", "clean-up", "cleanup:dilated", "What is within a radius.", (_RADIUS, _LABEL)),
    Method("erode", "clean-up", "cleanup:eroded", "What is deeper than a radius.", (_RADIUS, _LABEL)),
    Method("smooth", "clean-up", "cleanup:smoothed", "Borders smoothed by a Gaussian.",
           (_mm("sigma_mm", "standard deviation", required=True), _LABEL)),
)  # fmt: skip

_HU = tuple(
    Parameter(f"{end}_hu", Kind.NUMBER, f"HU of the {which} stored value of a windowed picture; default found", "HU")
    for end, which in (("low", "darkest"), ("high", "brightest"))
)
_ANATOMY = (
    Method(
        "lungs", "anatomy", "anatomy.lungs:lungs", "Body, left and right lung, airways.",
        (
            _mm("closing_mm", "largest radius of vessels and of nodules at the pleura that count as lung"),
            *_HU,
            Parameter("mirrored", Kind.FLAG, "a picture shows the patient's left on its left", default=False),
        ),
        ("CT",),
    ),
    Method(
        "intracranial", "anatomy", "anatomy.head_ct:intracranial", "Skull and intracranial space.",
        (_mm("closing_mm", "widest gap of the skull that is bridged", 12.0), *_HU), ("CT",),
    ),
    Method(
        "breast", "anatomy", "anatomy.breast:breast", "Breast and pectoral muscle on a mammogram.",
        (
            Parameter("chest_wall", Kind.WORD, "side of the picture at which the chest wall lies", default="auto",
                      choices=("auto", "left", "right")),
            Parameter("pectoral", Kind.FLAG, "look for the muscle", default=True),
        ),
        ("MG",), ("2-D",),
    ),
    Method(
        "retina", "anatomy", "anatomy.retina:retina", "Field of view and vessels of a retinal photograph.",
        (
            Parameter("sensitivity", Kind.NUMBER, "0 finds only clear vessels, 1 the faintest", default=0.5),
            Parameter("widest", Kind.NUMBER, "diameter of the widest vessel as a part of the field's", default=0.014),
        ),
        ("OP",), ("2-D",),
    ),
    Method(
        "ultrasound-sector", "anatomy", "anatomy.ultrasound:ultrasound_sector",
        "Sector of an ultrasound picture, calipers and text apart.",
        (Parameter("tolerance", Kind.NUMBER, "0 no annotation, 1 all small bright objects that may be one",
                   default=0.5),),
        ("US",), ("2-D",),
    ),
)  # fmt: skip
"""Recipes for one body part each."""

METHODS: Mapping[str, Method] = {
    method.name: replace(
        method, room="segment", result="mask", takes="mask" if method.family == "clean-up" else "image"
    )
    for family in (_THRESHOLDS, _REGIONS, _GRAPHS, _CLUSTERS, _INTERACTIVE, _ANATOMY, _CLEANING)
    for method in family
}
"""All methods by name, family by family."""

Reader = Callable[[str], Any]
"""Gives the image (Volume or Mask) that a file parameter names."""


def get(name: str) -> Method:
    """Return a method.

    Raises:
        UnknownNameError: there is none of this name; the nearest is suggested.
    """
    if name not in METHODS:
        from vesalius.core.registry import unknown

        raise unknown("segmenting method", name, tuple(METHODS))
    return METHODS[name]


def run(image: Volume | Mask, name: str, **parameters: Any) -> Mask:
    """Return the mask that the method of this name makes of an image; clean-up takes a mask.

    Raises:
        UnknownNameError: no such method or parameter.
        UsageError: a parameter is missing or out of range, or a mask was given for an image.
        VesaliusError: what the method itself raises.
    """
    from vesalius.segment.inputs import require_kind

    method = get(name)
    check_names(method, parameters)
    given = {key: value for key, value in parameters.items() if value is not None}
    mask: Mask = method.load()(require_kind(image, method.takes, name), **given)
    return mask


def parse_value(parameter: Parameter, text: str, read: Reader | None = None) -> Any:
    """Return the typed value of what was typed; see `imaging.methods.parse_value`.

    Args:
        read: opens the files that masks and seeds name; a Volume of whole numbers is taken as a mask.

    Raises:
        UsageError: it is not of the parameter's kind.
        UnknownNameError: it is not among the parameter's words.
    """
    if parameter.kind not in (Kind.MASK, Kind.SEEDS, Kind.BOX):
        return imaging_methods.parse_value(parameter, text, read)
    from vesalius.segment.inputs import parse_places

    return parse_places(parameter, text, read)
