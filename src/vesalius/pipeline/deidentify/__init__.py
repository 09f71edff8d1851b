"""`vesalius deidentify`: files in, de-identified files out, with resume, reports and a quarantine."""

from vesalius.pipeline.deidentify.request import Request, Summary
from vesalius.pipeline.deidentify.run import deidentify

__all__ = ["Request", "Summary", "deidentify"]
