"""The job in other tools' words: written for them, and read from them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import ipywidgets as widgets

from ftlab.data.outputs import NewFile
from ftlab.exchange import FORMS, export, read
from ftlab.exchange.ledger import Exported
from ftlab.html import escaped, issue_list
from ftlab.spec import parse
from ftlab.ui.fold import Fold
from ftlab.ui.form_state import FormState
from ftlab.ui.guard import guarded
from ftlab.ui.offers import Offer, imported_offer
from ftlab.ui.shown import set_html, show

TITLE = "Write the job for other tools, or read one"
TOOLTIP = "JSON, TOML, Python, Together's request and SDK, NeMo AutoModel, Axolotl, Hugging Face"
PASTE = (
    "Paste a spec, Together's keywords, a NeMo recipe or Hugging Face's arguments here, "
    "or type the path of a file with one"
)
NOTHING = "No field of a job is in it; a spec is an object of settings. Paste another text."
LARGEST = 1 << 20
"""Bytes of a file that is read as a spec; none is that long."""


class ExchangeBox(Fold):
    """`review` opens an offer of changes: what was read goes into the form after a look at it."""

    def __init__(self, state: FormState, review: Callable[[Callable[[], Offer]], None]) -> None:
        self._review = review
        titles = [(form.title, name) for name, form in FORMS.items()]
        self.form = widgets.Dropdown(description="write as", options=titles)
        self.save = widgets.Button(description="Save", tooltip="Write it to a new file here")
        self.text = widgets.Textarea(disabled=True, rows=12).add_class("ft-text")
        self.lost = widgets.HTML()
        self.saved = widgets.HTML().add_class("ft-said")
        self.pasted = widgets.Textarea(placeholder=PASTE, rows=5).add_class("ft-text")
        self.look = widgets.Button(
            description="Look at it", tooltip="See what it would set; nothing is set yet"
        )
        self.understood = widgets.HTML().add_class("ft-said")
        write = widgets.HBox([self.form, self.save]).add_class("ft-toolbar")
        parts = [write, self.text, self.lost, self.saved]
        parts += [self.pasted, self.look, self.understood]
        super().__init__(state, TITLE, TOOLTIP, parts)
        tell = state.tell
        self.form.observe(guarded(tell, lambda _: self.refresh()), "value")
        self.save.on_click(guarded(tell, lambda _: self._save()))
        self.look.on_click(guarded(tell, lambda _: self._look()))

    # --- writing -----------------------------------------------------------------------------

    def refresh(self) -> None:
        """Write the job anew."""
        found = self._exported()
        if self.text.value != found.text:
            self.text.value = found.text
            set_html(self.saved, "")
        show(self.text, visible=bool(found.text))
        self.save.disabled = not found.text
        set_html(self.lost, issue_list(found.lost))

    def _exported(self) -> Exported:
        given, _ = parse(self.state.values)
        return export(given, str(self.form.value), self.state.report, self.state.info)

    def _save(self) -> None:
        wanted = file_name(str(self.form.value))
        with NewFile(Path.cwd() / wanted) as file:
            for line in self.text.value.removesuffix("\n").split("\n"):
                file.add(line.encode())
            written = file.publish()
        set_html(self.saved, f"Saved as <code>{escaped(written)}</code>")

    # --- reading -----------------------------------------------------------------------------

    def _look(self) -> None:
        found = read(content_of(self.pasted.value), self.state.report)
        said = issue_list([*found.lost, *found.hints])
        set_html(self.understood, said or ("" if found.values else NOTHING))
        if found.values:
            self._review(lambda: imported_offer(self.state, found.values))


def file_name(form: str) -> str:
    """job.json, job.toml and job.py are ftlab's own; the others say whose they are."""
    ours = form in ("json", "toml", "python")
    return f"job{'' if ours else f'-{form}'}{FORMS[form].suffix}"


def content_of(text: str) -> str:
    """The text itself, or that of the file whose path it is. Raises OSError."""
    path = text.strip()
    if "\n" in path or not path or len(path) > 4096:
        return text
    file = Path(path).expanduser()
    if not file.is_file():
        return text
    with file.open(encoding="utf-8", errors="replace") as stream:
        return stream.read(LARGEST)
