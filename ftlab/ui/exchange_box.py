"""The job in other tools' words: written for them, and read from them."""

from __future__ import annotations

from pathlib import Path

import ipywidgets as widgets

from ftlab.data.outputs import NewFile
from ftlab.errors import FtlabError
from ftlab.exchange import FORMS, export, read
from ftlab.exchange.ledger import Exported
from ftlab.html import escaped
from ftlab.issues import Issue
from ftlab.spec import parse
from ftlab.ui.fold import Fold
from ftlab.ui.form_state import FormState
from ftlab.ui.guard import guarded
from ftlab.ui.issue_line import issue_html
from ftlab.ui.offers import Offer, imported_offer
from ftlab.ui.review_box import ReviewBox
from ftlab.ui.shown import set_html, show

TITLE = "Write the job for other tools, or read one"
TOOLTIP = "JSON, TOML, Python, Together's request and SDK, NeMo AutoModel, Axolotl, Hugging Face"
PASTE = (
    "Paste a spec, Together's keywords, a NeMo recipe or Hugging Face's arguments here, "
    "or type the path of a file with one"
)
SUFFIXES = (".json", ".toml", ".yaml", ".yml", ".py")
NOTHING = "No field of a job is in it; a spec is an object of settings. Paste another text."
LARGEST = 1 << 20
"""Bytes of a file that is read as a spec."""


class ExchangeBox(Fold):
    """What was read goes into the form after a look at it."""

    def __init__(self, state: FormState) -> None:
        self.review = ReviewBox(state, lambda: None)
        titles = [(form.title, name) for name, form in FORMS.items()]
        self.form = widgets.Dropdown(description="write as", options=titles)
        self.save = widgets.Button(description="Save", tooltip="Write it to a new file here")
        self.text = widgets.Textarea(description="text", disabled=True, rows=12)
        self.lost = widgets.HTML()
        self.saved = widgets.HTML().add_class("ft-said")
        self.pasted = widgets.Textarea(description="read", placeholder=PASTE, rows=5)
        self.look = widgets.Button(
            description="Look at it", tooltip="See what it would set; nothing is set yet"
        )
        self.understood = widgets.HTML().add_class("ft-said")
        write = widgets.HBox([self.form, self.save]).add_class("ft-toolbar")
        parts = [write, self.text, self.lost, self.saved]
        parts += [self.pasted, self.look, self.understood, self.review]
        for area in (self.text, self.pasted):
            area.add_class("ft-text")
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
        set_html(self.lost, _lines(found.lost))

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
        self.review.close_offer()
        set_html(self.understood, "")
        text = content_of(self.pasted.value)
        found = read(text, self.state.report)
        said = _lines([*found.lost, *found.hints])
        set_html(self.understood, said or ("" if found.values else NOTHING))
        if found.values:
            self.review.open_offer(lambda: self._offer(text))

    def _offer(self, text: str) -> Offer:
        """Read with the present report: counts follow from the number of rows."""
        return imported_offer(self.state, read(text, self.state.report).values)


def _lines(issues: list[Issue]) -> str:
    return "".join(f"<div>{issue_html(issue)}</div>" for issue in issues)


def file_name(form: str) -> str:
    """job.json, job.toml and job.py are ftlab's own; the others say whose they are."""
    ours = form in ("json", "toml", "python")
    return f"job{'' if ours else f'-{form}'}{FORMS[form].suffix}"


def content_of(text: str) -> str:
    """The text itself, or that of the file whose path it is. Raises FtlabError for a file that can
    be no spec."""
    path = text.strip()
    if not path or path.startswith(("{", "[")) or "\n" in path:
        return text
    try:
        file = Path(path).expanduser()
        if not file.is_file():
            if file.suffix in SUFFIXES:
                raise FtlabError(
                    f"There is no file {path}; a path is taken from {Path.cwd()}. Correct it, or "
                    "paste the text itself."
                )
            return text
        if file.stat().st_size > LARGEST:
            raise FtlabError(
                f"{file.name} is larger than 1 MiB; a spec or a recipe is a few kilobytes. "
                "Name another file."
            )
        return file.read_text(encoding="utf-8-sig", errors="replace")
    except (OSError, RuntimeError, ValueError):  # too long for a name, a home that nobody has …
        return text
