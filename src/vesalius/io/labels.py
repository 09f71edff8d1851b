"""Tables that say what the labels of a mask are: JSON for programs, a colour table for 3D Slicer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from vesalius.core import Code, Mask, Segment
from vesalius.core.errors import ReadError

SCHEMA = "vesalius.labels/1"


def labels_json(mask: Mask) -> bytes:
    """Return the segments of a mask as JSON: label, name, coded type and category, RGB colour 0..255."""
    labels = [
        {
            "label": label,
            "name": segment.name,
            "type": _code(segment.code),
            "category": _code(segment.category),
            "colour": list(segment.colour),
        }
        for label, segment in mask.segments.items()
    ]
    return (json.dumps({"schema": SCHEMA, "labels": labels}, indent=2, ensure_ascii=False) + "\n").encode()


def segments_from_json(data: bytes | str) -> dict[int, Segment]:
    """Return the segments that `labels_json` wrote, for `Mask(volume.array, ..., segments=...)`.

    Raises:
        ReadError: the table does not have the form that `labels_json` writes.
    """
    try:
        table = json.loads(data)
        if table["schema"] != SCHEMA:
            raise ReadError("not a table of labels", found=str(table["schema"])[:40], expected=SCHEMA)
        return {int(entry["label"]): _segment(entry) for entry in table["labels"]}
    except (ValueError, TypeError, LookupError) as problem:
        if isinstance(problem, ReadError):
            raise
        raise ReadError("the table of labels is damaged", expected=f"JSON of the form {SCHEMA}") from problem


def _segment(entry: Mapping[str, Any]) -> Segment:
    red, green, blue = (int(c) for c in entry["colour"])
    code, category = (Code(**entry[name]) for name in ("type", "category"))
    return Segment(str(entry["name"]), code, (red, green, blue), category)


def colour_table(mask: Mask) -> bytes:
    """Return a colour table (.ctbl) of 3D Slicer: label, name without spaces, red, green, blue, opacity."""
    lines = ["# Color table file for 3D Slicer, written by Vesalius", "# label name R G B A", "0 background 0 0 0 0"]
    for label, segment in mask.segments.items():
        red, green, blue = segment.colour
        lines.append(f"{label} {'_'.join(segment.name.split()) or 'unnamed'} {red} {green} {blue} 255")
    return ("\n".join(lines) + "\n").encode()


def _code(code: Code) -> dict[str, str]:
    return {"value": code.value, "scheme": code.scheme, "meaning": code.meaning}
