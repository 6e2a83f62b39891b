"""A place in the page that can be brought into view."""

from __future__ import annotations

import anywidget
from traitlets import Int


class Anchor(anywidget.AnyWidget):
    """Invisible; `show()` scrolls the page to it where it is out of sight.

    In a box, the whole box comes into view and lights up, so that it is seen where it was in
    view before.
    """

    _esm = """
    const LIT = "0 0 0 3px var(--jp-brand-color1, #1976d2)";
    function render({ model, el }) {
      model.on("change:calls", () => {
        const box = el.closest(".ft-box");
        (box ?? el).scrollIntoView({ block: "nearest" });
        box?.animate([{ boxShadow: LIT }, { boxShadow: LIT, offset: 0.5 }, {}], 1500);
      });
    }
    export default { render };
    """
    calls = Int(0).tag(sync=True)

    def show(self) -> None:
        self.calls += 1
