"""A list of names as chips: each can be taken away, and the next is typed behind the last."""

from __future__ import annotations

from pathlib import Path

import anywidget
from traitlets import Bool, List, Unicode


class Chips(anywidget.AnyWidget):
    """`value` are the names; `options` are offered while typing, others may be typed too."""

    _esm = Path(__file__).with_name("chips.js")
    value = List(Unicode()).tag(sync=True)
    options = List(Unicode()).tag(sync=True)
    placeholder = Unicode().tag(sync=True)
    splits = Bool(help="a comma ends a name").tag(sync=True)
    description = Unicode().tag(sync=True)
    tooltip = Unicode().tag(sync=True)
