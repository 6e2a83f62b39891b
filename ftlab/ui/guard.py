"""One guard for all callbacks and threads: an error is told to the person, never swallowed."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any

from ftlab.errors import FtlabError

Teller = Callable[[str, str], None]
"""Shows (level, text) to the person."""

_log = logging.getLogger("ftlab")


def guarded_call(function: Callable[[], Any], tell: Teller) -> Any:
    """The function's result, or None after its error was told."""
    try:
        return function()
    except FtlabError as exc:
        tell("error", str(exc))
    except Exception as exc:
        _log.exception("A callback failed")
        tell(
            "error",
            f"Something went wrong inside ftlab ({type(exc).__name__}: {exc}). Nothing that was "
            "typed or trained is lost. The kernel's log has the details; try again.",
        )
    return None


def guarded(tell: Teller, function: Callable[..., Any]) -> Callable[..., Any]:
    """A widget callback whose error is told."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return guarded_call(lambda: function(*args, **kwargs), tell)

    return call
