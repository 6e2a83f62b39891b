"""The button that lays the hosted service's tokens beside those of this machine."""

from __future__ import annotations

import ipywidgets as widgets

from ftlab.html import Issues, escaped
from ftlab.providers.together.preview import SAME, check_template
from ftlab.spec import JobSpec, parse
from ftlab.ui.guard import guarded
from ftlab.ui.issue_line import issue_html
from ftlab.ui.service_box import ServiceBox
from ftlab.ui.shown import set_html, show
from ftlab.ui.state import State
from ftlab.ui.task import Task

WHAT = "Comparing tokens with Together"
TOOLTIP = (
    "Whether Together makes the same tokens of the first rows as ftlab, and trains on the same "
    "ones. The file is uploaded unless it is there; nothing is started and nothing is billed."
)


class TemplateBox(widgets.VBox):
    """Compares when asked, and shows the first token that is another there."""

    def __init__(self, state: State, service: ServiceBox) -> None:
        self.state, self._service = state, service
        self.compare = widgets.Button(description="Compare tokens", tooltip=TOOLTIP)
        self.task = Task(state, self.refresh)
        self._of: object = None
        """What the lines under the button are about."""
        buttons = widgets.HBox([self.compare]).add_class("ft-buttons")
        super().__init__([buttons, self.task.said])
        self.compare.on_click(guarded(state.tell, lambda _: self.start()))
        changed = guarded(state.tell, lambda _: self.refresh())
        state.observe(changed, ["checked", "scanning"])
        state.key.observe(changed, "news")
        self.refresh()

    def refresh(self) -> None:
        """Offer it where the service could be asked for a price, too."""
        given, busy = parse(self.state.values)[0], self.task.is_busy
        offered = self.state.key.is_here and given.model is not None
        show(self, visible=busy or (offered and self._service.layout.display is None))
        self.compare.disabled = busy or bool(self._service.why_not())
        if not busy and self._of != _about(given):
            set_html(self.task.said, "")

    def start(self) -> None:
        """Ask; what is asked already goes on."""
        given, _ = parse(self.state.values)
        report, key = self.state.reports.get("training_file"), self.state.key.typed
        self._of = _about(given)
        self.task.start(
            WHAT,
            lambda: check_template(
                given,
                report=report,
                key=key,
                told=lambda share: self.task.progress(round(100 * share), 100, "uploading"),
            ),
            _in_html,
        )


def _about(given: JobSpec) -> object:
    return given.model, given.training_file, given.training_method, given.train_on_inputs


def _in_html(found: Issues) -> str:
    return "".join(f"<div>{issue_html(issue)}</div>" for issue in found) or escaped(SAME)
