"""Running a case, writing it once, many at the same time: what the command line, the server and training share."""

from vesalius.pipeline.contract import check_application
from vesalius.pipeline.options import Options
from vesalius.pipeline.run import analyze_case
from vesalius.pipeline.store import Row
from vesalius.pipeline.studies import Request, Summary, Watcher, analyze, perform, plan_only

__all__ = [
    "Options",
    "Request",
    "Row",
    "Summary",
    "Watcher",
    "analyze",
    "analyze_case",
    "check_application",
    "perform",
    "plan_only",
]
