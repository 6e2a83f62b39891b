"""Keep widgets answering after the browser window that last moved them is gone.

JupyterLab gives each window a subshell of the kernel. ipykernel 7.4 sends what a person does with
a widget to the subshell that last wrote to it, and drops the message, with a line in the server's
log, when that subshell went with its window. A message of a widget then goes where its own window
asked for.
"""

from __future__ import annotations

from typing import Any


def mend_routes() -> None:
    """Route around subshells that are gone; does nothing where the kernel has no such routes."""
    try:
        from ipykernel.comm.comm import BaseComm
    except ImportError:
        return
    route = getattr(BaseComm, "_reply_subshell_for", None)
    if route is None or getattr(route, "mended", False):
        return

    def mended(comm: Any, data: Any, default: str | None) -> str | None:
        chosen = route(comm, data, default)
        return chosen if chosen is None or chosen in _subshells() else default

    mended.mended = True  # type: ignore[attr-defined]
    BaseComm._reply_subshell_for = mended  # type: ignore[method-assign]


def _subshells() -> list[str]:
    from ipykernel.kernelbase import Kernel

    return Kernel.instance().shell_channel_thread.manager.list_subshell()
