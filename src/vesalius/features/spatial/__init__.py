"""Where things are and how large: relations between masks, vessel skeletons, lesion tables. All in mm and LPS."""

from vesalius.features.spatial.lesions import Diameters, Lesion, LesionTable, lesion_table
from vesalius.features.spatial.relations import Laterality, Position, Relation, Word, laterality, position, relation
from vesalius.features.spatial.vessels import Branch, VesselTree, vessel_tree

__all__ = [
    "Branch",
    "Diameters",
    "Laterality",
    "Lesion",
    "LesionTable",
    "Position",
    "Relation",
    "VesselTree",
    "Word",
    "laterality",
    "lesion_table",
    "position",
    "relation",
    "vessel_tree",
]
