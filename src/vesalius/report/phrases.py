"""One language's words for one report: messages, titles of measurements, segments and checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from vesalius.core.finding import Measurement, Message
from vesalius.core.mask import Segment
from vesalius.report import words
from vesalius.report.words import Catalogue


@dataclass(frozen=True)
class Phrases:
    """Says things in one language, an application's words first."""

    language: str
    catalogue: Catalogue = field(default_factory=dict, repr=False)

    def say(self, message: Message) -> str:
        """Return the sentence of a message."""
        return words.say(message, self.language, self.catalogue)

    def text(self, message_id: str, **parameters: str | int | float) -> str:
        """Return the sentence of an id."""
        return self.say(Message(message_id, parameters))

    def optional(self, *ids: str) -> str:
        """Return the text of the first id that somebody knows, else the last part of the first as words."""
        for message_id in ids:
            template = words.find(message_id, self.language, self.catalogue)
            if template is not None:
                return template
        return words.legible_name(ids[-1])

    def title(self, measurement: Measurement) -> str:
        """Return the title of a measurement with its side."""
        name = self.optional(measurement.name)
        side = self.text(f"report.side.{measurement.laterality}") if measurement.laterality in ("L", "R") else ""
        return name if not side or side.lower() in name.lower() else self.text("report.sided", name=name, side=side)

    def segment(self, segment: Segment) -> str:
        """Return the name of a segment."""
        return self.segment_name(segment.name)

    def segment_name(self, name: str) -> str:
        """Return the title of a segment by its name; the name itself when nobody translates it."""
        key = name.strip().lower().replace(" ", "_").replace("-", "_").replace("grey", "gray")
        return self.optional(f"segment.{name}", f"segment.{key}", name)

    def known(self, prefix: str) -> list[str]:
        """Return the ids that start with a prefix, ours and the application's, sorted."""
        ids = {*words.shared().get("en", {}), *self.catalogue.get("en", {})}
        return sorted(message_id for message_id in ids if message_id.startswith(prefix))

    def joined(self, parts: Sequence[str]) -> str:
        """Return a list as the language writes it."""
        return ("、" if self.language == "zh" else ", ").join(parts)
