"""A slider over powers of ten, with the recommended range drawn into it."""

from __future__ import annotations

from pathlib import Path

import anywidget
from traitlets import Float, Unicode


class RateSlider(anywidget.AnyWidget):
    """`value` is None where nothing is given; the thumb then waits at the recommended value."""

    _esm = Path(__file__).with_name("slider.js")
    value = Float(None, allow_none=True).tag(sync=True)
    lowest = Float(1e-7).tag(sync=True)
    highest = Float(1e-1).tag(sync=True)
    low = Float(None, allow_none=True, help="where the recommended range begins").tag(sync=True)
    high = Float(None, allow_none=True).tag(sync=True)
    best = Float(None, allow_none=True, help="the recommended value").tag(sync=True)
    label = Unicode().tag(sync=True)
