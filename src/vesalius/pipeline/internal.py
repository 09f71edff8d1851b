"""Failures that are our own fault: where they happened is kept, a patient's values never."""

from __future__ import annotations

import traceback

from vesalius.core.errors import InternalError

_HARMLESS = (TypeError, AttributeError, IndexError, ZeroDivisionError, RecursionError, ImportError, NotImplementedError)
"""Exceptions whose text Python writes itself; the text of others may quote a header."""


def internal_error(error: BaseException) -> InternalError:
    """Return the error that stands for an unexpected exception; its text is withheld unless Python wrote it."""
    kind = type(error).__name__
    text = f": {error}" if isinstance(error, _HARMLESS) else " (text withheld: it may quote a header)"
    frames = traceback.extract_tb(error.__traceback__)
    last = frames[-1] if frames else None
    where = f"{kind} in {last.name}, line {last.lineno}" if last else kind
    result = InternalError(
        "internal failure, a fault of this software",
        found=where,
        fix="report it with the log; -v shows the place",
    )
    lines = [f'  File "{f.filename}", line {f.lineno}, in {f.name}\n    {f.line}\n' for f in frames]
    result.trace = "".join(lines) + kind + text
    return result
