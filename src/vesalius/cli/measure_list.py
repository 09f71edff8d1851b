"""What `vesalius features list` has to say."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from vesalius.cli.session import Answer
from vesalius.evaluate.metrics import METRICS
from vesalius.features.radiomics import Aggregation, Family
from vesalius.features.radiomics.definitions import definitions
from vesalius.features.radiomics.settings_file import FILTERS, PRESETS

TITLES = {
    Family.MORPHOLOGY: "shape: mesh volume, area, axes, diameter",
    Family.ENCLOSING: "smallest box and ellipsoid; not by default",
    Family.AUTOCORRELATION: "Moran's I, Geary's C",
    Family.LOCAL_INTENSITY: "local and global peak",
    Family.STATISTICS: "intensity statistics",
    Family.HISTOGRAM: "histogram of grey levels",
    Family.VOLUME_HISTOGRAM: "intensity-volume histogram",
    Family.COOCCURRENCE: "grey level co-occurrence (GLCM)",
    Family.RUN_LENGTH: "run lengths (GLRLM)",
    Family.SIZE_ZONE: "zones by size (GLSZM)",
    Family.DISTANCE_ZONE: "zones by distance to the border (GLDZM)",
    Family.TONE_DIFFERENCE: "difference from the neighbourhood (NGTDM)",
    Family.DEPENDENCE: "dependence of neighbours (NGLDM)",
}


def listed() -> Answer:
    """Return families, filters, presets, aggregations and metrics."""
    known = definitions()
    families = [
        {
            "family": str(family),
            "what": TITLES[family],
            "features": [{"tag": d.tag, "code": d.code, "name": d.name, "unit": d.unit} for d in known[family]],
        }
        for family in Family
    ]
    filters = {name: [_option(one) for one in fields(kind)] for name, kind in FILTERS.items()}
    data = {
        "commands": ["radiomics", "metrics", "lesions", "vessels", "relations"],
        "families": families,
        "aggregations": [str(one) for one in Aggregation],
        "filters": filters,
        "presets": list(PRESETS),
        "metrics": {name: metric.unit for name, metric in METRICS.items()},
    }
    return Answer(data, lambda console: _show(console, data))


def _option(field: Any) -> str:
    return str(field.name) if field.default is MISSING else f"{field.name}={field.default}"


def _show(console: Console, data: dict[str, Any]) -> None:
    table = Table("family", "what", "features", box=None, pad_edge=False)
    for family in data["families"]:
        table.add_row(family["family"], family["what"], str(len(family["features"])))
    console.print(table)
    table = Table("filter", "options", box=None, pad_edge=False)
    for name, options in data["filters"].items():
        table.add_row(name, Text(" ".join(options)))
    console.print(table)
    console.print(Text(f"presets: {', '.join(data['presets'])}"), soft_wrap=True)
    console.print(Text(f"metrics: {', '.join(data['metrics'])}"), soft_wrap=True)
    console.print(Text("other commands: vesalius features metrics | lesions | vessels | relations --help"))
