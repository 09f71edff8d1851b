"""Reports: one `Report` becomes JSON, HTML, PDF, tables, FHIR, masks and DICOM objects.

`render` and `render_files` give relative file names (layout in CONTRACTS) and bytes; nothing is written here.
"""

from vesalius.report.render import FORMATS, RenderLog, Skipped, Words, render, render_files, with_masks
from vesalius.report.words import say

__all__ = ["FORMATS", "RenderLog", "Skipped", "Words", "render", "render_files", "say", "with_masks"]
