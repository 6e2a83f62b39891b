"""A place in the page that can be brought into view."""

from __future__ import annotations

import anywidget
from traitlets import Int


class Anchor(anywidget.AnyWidget):
    """Invisible; `show()` scrolls the page to it where it is out of sight."""

    _esm = """
    function render({ model, el }) {
      model.on("change:calls", () => el.scrollIntoView({ block: "nearest" }));
    }
    export default { render };
    """
    calls = Int(0).tag(sync=True)

    def show(self) -> None:
        self.calls += 1
