"""Keys that are pressed in a control stay there, and are no commands to the notebook."""

from __future__ import annotations

import anywidget


class Keys(anywidget.AnyWidget):
    """JupyterLab knows that one types in a text field, but not that one chooses in a list: an
    arrow would leave the cell there, and an x cut it. Keys with Ctrl, Alt or Cmd stay commands.
    """

    _esm = """
    const CONTROLS = "select, summary, button, [type=range], [type=checkbox], [type=radio]";
    function render() {
      const keep = (event) => {
        const { target, ctrlKey, metaKey, altKey } = event;
        if (ctrlKey || metaKey || altKey || !target.closest?.(".ftlab")) return;
        if (target.matches(CONTROLS)) event.stopPropagation(); // the control still acts on it
      };
      window.addEventListener("keydown", keep, true); // before JupyterLab's own, at the document
      return () => window.removeEventListener("keydown", keep, true);
    }
    export default { render };
    """
