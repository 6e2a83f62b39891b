"""The jobs of a person's account at the hosted service, whoever started them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from ftlab.html import counted, escaped
from ftlab.providers.together.holdings import Account, account
from ftlab.providers.together.listing import HostedJob
from ftlab.run import Run
from ftlab.ui.fold import Fold
from ftlab.ui.guard import guarded
from ftlab.ui.key_box import KeyBox
from ftlab.ui.shown import set_html, show
from ftlab.ui.state import State
from ftlab.ui.task import Task

TITLE = "Account at Together"
TOOLTIP = "Hosted jobs, started here or elsewhere: adopt, cancel, download, delete"
NO_KEY = "Its jobs show here with the key of the account: type it below."
SHOWN = 20
MARKS = {"completed": "✓", "cancelled": "■", "error": "▲", "user_error": "▲", "running": "●"}


class AccountBox(Fold):
    """Looked at when it is opened, and whenever somebody asks; nothing is asked of the service
    while it is shut."""

    state: State

    def __init__(self, state: State) -> None:
        self.key = KeyBox(state)
        self.again = widgets.Button(description="Look again", tooltip="Ask the service anew")
        self.note, self.lines = widgets.HTML(), widgets.VBox()
        self.more = widgets.Button()
        self.asked, self.delete = widgets.HTML(), widgets.Button(button_style="danger")
        self.keep = widgets.Button(description="Keep it")
        buttons = widgets.HBox([self.delete, self.keep]).add_class("ft-buttons")
        self.question = widgets.VBox([self.asked, buttons])
        self.task = Task(state, self.refresh)
        self._account: Account | None = None
        self._n_shown, self._doomed = SHOWN, ""
        self._looked = False
        self._drawn: list[tuple[HostedJob, str | None]] = []
        parts = [self.key, self.note, self.lines, self.more, self.question, self.task.said]
        super().__init__(state, TITLE, TOOLTIP, [*parts, self.again])
        tell = state.tell
        for button, act in (
            (self.again, self.look),
            (self.more, self._show_more),
            (self.delete, self._delete),
            (self.keep, partial(self._ask_about, "")),
        ):
            button.on_click(guarded(tell, lambda _, act=act: act()))
        state.key.observe(guarded(tell, lambda _: self._key_news()), "news")

    def _key_news(self) -> None:
        if not self.state.key.is_here:
            self._account, self._looked = None, False  # it holds the key too
        if self.is_open:
            self.refresh()

    def refresh(self) -> None:
        """Show what was found; look, if nobody has yet."""
        has_key, found, busy = self.state.key.is_here, self._account, self.task.is_busy
        if has_key and not self._looked and not busy:
            self.look()
            return
        self.key.offer(wanted=True)
        jobs = [] if found is None else found.jobs
        said = NO_KEY if not has_key else "" if found is None else _summary(found)
        set_html(self.note, f'<span class="ft-dim">{escaped(said)}</span>')
        self._draw(jobs[: self._n_shown])
        self.more.description = f"Show all {len(jobs)}"
        show(self.more, visible=len(jobs) > self._n_shown)
        show(self.again, visible=has_key)
        self.again.disabled = busy
        show(self.question, visible=bool(self._doomed) and found is not None)
        self.delete.disabled = busy

    def _draw(self, jobs: list[HostedJob]) -> None:
        """The lines, made anew only where they say something else: this is called often."""
        runs = {run.job_id: run.id for run in self.state.folder if run.is_hosted} if jobs else {}
        wanted = [(job, runs.get(job.id)) for job in jobs]
        if wanted != self._drawn:
            self._drawn, before = wanted, self.lines.children
            self.lines.children = [self._line(*one) for one in wanted]
            for part in before:
                for widget in (*part.children, part):
                    widget.close()
        for line in self.lines.children:
            for button in line.children[1:]:
                button.disabled = self.task.is_busy

    def look(self) -> None:
        """Ask the service for the jobs of the account."""
        self._looked = True
        known, typed = self._account, self.state.key.typed
        self._do("Asking Together", lambda: _looked(known) if known else account(typed), self._seen)

    def _seen(self, found: Account) -> str:
        if self.state.key.is_here:  # it may have been forgotten meanwhile
            self._account = found
        return ""

    def _do(self, what: str, function: Callable[[], Any], done: Callable[[Any], str]) -> None:
        self.task.start(what, function, done)

    # --- one job -----------------------------------------------------------------------------

    def _line(self, job: HostedJob, run_id: str | None) -> widgets.HBox:
        acts = [
            ("Show the run", "See it above", partial(self._show_run, run_id), run_id is not None),
            ("Adopt", "Follow it in a run of this folder", partial(self._adopt, job), not run_id),
            ("Cancel", "End it; what it has done so far is billed", partial(self._cancel, job),
             not job.has_ended),
            ("Download adapter", "Fetch what it has tuned", partial(self._download, job),
             job.status == "completed"),
            ("Delete …", "Take it away for good; asks first", partial(self._ask_about, job.id),
             job.has_ended),
        ]  # fmt: skip
        buttons = [self._button(word, tip, act) for word, tip, act, offered in acts if offered]
        line = widgets.HBox([widgets.HTML(_job_html(job)), *buttons])
        return line.add_class("ft-queue-line").add_class("ft-account-line")

    def _button(self, word: str, tooltip: str, act: Callable[[], Any]) -> widgets.Button:
        button = widgets.Button(description=word, tooltip=tooltip)
        button.on_click(guarded(self.state.tell, lambda _: act()))
        return button

    def _show_run(self, run_id: str | None) -> None:
        self.state.select(run_id)

    def _adopt(self, job: HostedJob) -> None:
        here, folder = self._here, self.state.folder.folder
        self._do(f"Adopting {job.id}", lambda: here.adopt(job.id, folder=folder), self._adopted)

    def _adopted(self, run: Run) -> str:
        self.state.refresh_runs()
        self.state.select(run.id)
        said = f"Run {run.id} follows it, as if it had been started here."
        self.state.tell("tip", said)
        return escaped(said)

    def _cancel(self, job: HostedJob) -> None:
        here = self._here

        def cancel() -> str:
            word = here.cancel(job.id)
            here.refresh()
            return word

        said = "Together was asked to end {}; its state is {}."
        self._do(f"Cancelling {job.id}", cancel, lambda word: escaped(said.format(job.id, word)))

    def _download(self, job: HostedJob) -> None:
        here, place, notes = self._here, Path(job.id).absolute(), list[str]()

        def said(path: Path) -> str:
            lines = "".join(f"<div>{escaped(note)}</div>" for note in notes)
            is_in = f"What {escaped(job.id)} tuned is in <code>{escaped(str(path))}</code>."
            return is_in + lines

        self._do(
            f"Downloading {job.id}",
            lambda: here.download(job.id, place, told=self._show_share, noted=notes.append),
            said,
        )

    def _show_share(self, share: float) -> None:
        self.task.progress(round(100 * share), 100)

    # --- what can't be undone ----------------------------------------------------------------

    def _ask_about(self, job_id: str) -> None:
        self._doomed = job_id
        if job_id:
            set_html(self.asked, f'<div role="alert">{escaped(self._here.lost(job_id))}</div>')
            self.delete.description = f"Delete {job_id} for good"
        self.refresh()

    def _delete(self) -> None:
        here, doomed = self._here, self._doomed
        self._doomed = ""
        self._do(
            f"Deleting {doomed}",
            lambda: here.delete(doomed, for_good=True),
            lambda _: escaped(f"{doomed} is gone."),
        )

    @property
    def _here(self) -> Account:
        assert self._account is not None, "its jobs are shown"
        return self._account

    def _show_more(self) -> None:
        self._n_shown = len(self._here.jobs)
        self.refresh()


def _looked(known: Account) -> Account:
    known.refresh()
    return known


def _summary(found: Account) -> str:
    jobs, files = counted(len(found.jobs), "job"), counted(len(found.files), "file")
    return f"{jobs} and {files} at Together."


def _job_html(job: HostedJob) -> str:
    """ "● running  ft-12  Qwen3-8B · $0.39 · 2 h" """
    name, status, model, output, cost, age = map(escaped, job.cells())
    facts = " · ".join(filter(None, (model, cost, age and f"{age} old")))
    mark = MARKS.get(job.status, "○")
    title = f' title="{output}"' if output else ""
    return f'{mark} {status} <b{title}>{name}</b> <span class="ft-dim">{facts}</span>'
