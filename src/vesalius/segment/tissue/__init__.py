"""Brain tissue from T1-weighted head MRI: atlas, alignment, mixture, random field."""

from vesalius.segment.tissue.atlas import Atlas, load_atlas, read_atlas
from vesalius.segment.tissue.result import ClassIntensity, Diagnostics, TissueOptions, TissueSegmentation
from vesalius.segment.tissue.segmentation import estimate_memory, segment_tissue
from vesalius.segment.tissue.volumes import TissueQuantity, tissue_volumes

__all__ = [
    "Atlas",
    "ClassIntensity",
    "Diagnostics",
    "TissueOptions",
    "TissueQuantity",
    "TissueSegmentation",
    "estimate_memory",
    "load_atlas",
    "read_atlas",
    "segment_tissue",
    "tissue_volumes",
]
