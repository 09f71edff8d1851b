"""The typed table that radiomics returns, and its comma-separated form."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vesalius.core.errors import UnknownNameError
from vesalius.features.radiomics.definitions import Definition, unit_of
from vesalius.features.radiomics.settings import Settings

__all__ = ["COLUMNS", "Feature", "RadiomicsTable", "table_csv"]

COLUMNS = ("segment", "tag", "code", "name", "family", "aggregation", "value", "unit", "settings")


@dataclass(frozen=True, slots=True)
class Feature:
    """One value.

    Args:
        tag: IBSI tag with aggregation, such as "cm_joint_max_3D_avg".
        code: IBSI identifier of the definition, such as "GYBY".
        name: IBSI name.
        family: prefix of the tag.
        aggregation: "" or "2D_avg", "2_5D", "3D" ...
        value: NaN where the definition has no value, for instance a ratio with a zero denominator.
        unit: UCUM.
        settings: SHA-256 of the settings, hexadecimal.
    """

    tag: str
    code: str
    name: str
    family: str
    aggregation: str
    value: float
    unit: str
    settings: str


@dataclass(frozen=True, eq=False)
class RadiomicsTable:
    """The features of one segment of one image.

    Args:
        segment: name of the segment.
        columns: definition and aggregation of each value.
        values: one float per column.
        unit: UCUM unit of the intensities.
        settings: how they were computed.
    """

    segment: str
    columns: tuple[tuple[Definition, str], ...]
    values: NDArray[np.float64]
    unit: str
    settings: Settings

    def __len__(self) -> int:
        """Return the number of features."""
        return len(self.columns)

    def __iter__(self) -> Iterator[Feature]:
        """Yield the features in order."""
        digest = self.settings.sha256
        for (definition, aggregation), value in zip(self.columns, self.values.tolist(), strict=True):
            tag = f"{definition.tag}_{aggregation}" if aggregation else definition.tag
            unit = unit_of(definition.unit, self.unit)
            family = definition.tag.split("_", 1)[0]
            yield Feature(tag, definition.code, definition.name, family, aggregation, value, unit, digest)

    def __getitem__(self, tag: str) -> float:
        """Return the value with this tag.

        Raises:
            UnknownNameError: there is none.
        """
        if tag not in self.by_tag:
            near = [t for t in self.by_tag if t.startswith(tag)]
            raise UnknownNameError("no such feature in this table", found=tag, expected=", ".join(near[:6]))
        return self.by_tag[tag]

    def __repr__(self) -> str:
        """Return a short description without values."""
        return f"RadiomicsTable({self.segment}, {len(self)} features, settings {self.settings.sha256[:12]})"

    @cached_property
    def tags(self) -> tuple[str, ...]:
        """Return the tag of each value, with aggregation."""
        return tuple(f"{d.tag}_{aggregation}" if aggregation else d.tag for d, aggregation in self.columns)

    @cached_property
    def by_tag(self) -> dict[str, float]:
        """Return value by tag."""
        return dict(zip(self.tags, self.values.tolist(), strict=True))

    def to_rows(self) -> list[Feature]:
        """Return the features in order."""
        return list(self)


def table_csv(*tables: RadiomicsTable) -> str:
    """Return tables one after another as comma-separated text with one header line; NaN is an empty field."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for table in tables:
        for row in table:
            value = "" if np.isnan(row.value) else repr(row.value)
            writer.writerow(
                [table.segment, row.tag, row.code, row.name, row.family, row.aggregation, value, row.unit, row.settings]
            )
    return text.getvalue()
