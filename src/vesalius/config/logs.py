"""Logs: structured lines on standard error, never an identity."""

from __future__ import annotations

import logging
import sys
import warnings

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure_logging(level: str = "warning") -> None:
    """Send our own log lines to standard error and silence those of other packages.

    Warnings and log lines of DICOM packages quote values of the header, so none of them is shown.
    """
    import structlog

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    warnings.simplefilter("ignore")
    logging.lastResort = None
