"""Changes of widgets that cost no message where nothing changes."""

from __future__ import annotations

import ipywidgets as widgets


def show(widget: widgets.DOMWidget, *, visible: bool) -> None:
    """Let a widget be seen, or take it and its room away."""
    wanted = None if visible else "none"
    if widget.layout.display != wanted:
        widget.layout.display = wanted


def set_html(widget: widgets.HTML, text: str) -> None:
    if widget.value != text:
        widget.value = text
