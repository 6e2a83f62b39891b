"""The Compare panel: the curves of several runs over each other, and what differs between them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ipywidgets as widgets

from ftlab.comparison import Comparison, Track
from ftlab.comparison.compared import told_apart, tracks_of
from ftlab.html import escaped
from ftlab.issues import SHAPES
from ftlab.run import Run
from ftlab.scores.sheet import kept_sheets
from ftlab.sweeps.folder import Sweep, Sweeps
from ftlab.ui.curves_box import CurvesBox
from ftlab.ui.guard import guarded
from ftlab.ui.news import news_of
from ftlab.ui.pump import PUMP
from ftlab.ui.shown import set_html, show
from ftlab.ui.state import State
from ftlab.ui.upload import Upload

ROWS = 7  # of the list of runs
NOTHING = (
    "There is no run here to compare yet. One that starts in the Job tab appears in this list; one "
    "of another tool comes in by its file."
)
HOW = "Choose two or more (with Ctrl or Shift) to see what differs."
TAKES = "a folder, trainer_state.json, a CSV of W&B, …"


class ComparePanel(widgets.VBox):
    """Reads the runs that are chosen, and only while it is open."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._added: dict[str, list[Track]] = {}
        self._known: dict[str, Run] = {}
        self._awaited: list[str] = []
        self._has_begun = self._is_filling = False
        self._shown: Any = None
        self._data: set[Any] = set()
        self.empty = widgets.HTML(f'<div class="ft-dim">{NOTHING}</div>')
        self.choice = widgets.SelectMultiple(description="runs", rows=ROWS)
        self.choice.add_class("ft-runs-choice")
        self.file = widgets.Text(placeholder=TAKES, description="add")
        self.add = widgets.Button(description="Add", tooltip="Read a run of another tool or folder")
        self.reading = widgets.HTML()
        self.upload = Upload(self._read, state.tell, "Upload a file")
        adding = widgets.VBox([widgets.HBox([self.file, self.add]), self.reading, self.upload])
        choosing = widgets.HBox([self.choice, adding.add_class("ft-compare-add")])
        self.curves = CurvesBox(state)
        self.said, self.data = widgets.HTML(), widgets.HTML()
        parts = [self.empty, choosing.add_class("ft-row"), self.curves]
        super().__init__([*parts, *(w.add_class("ft-scroll") for w in (self.said, self.data))])
        self.add_class("ft-panel")
        self._listen()
        self.refresh()

    def _listen(self) -> None:
        tell = self.state.tell
        self.add.on_click(guarded(tell, lambda _: self._read(self.file.value.strip())))
        self.choice.observe(guarded(tell, lambda _: self._chosen()), "value")
        watched = ["tab", "runs", "looked", "compared"]
        self.state.observe(guarded(tell, lambda _: self.refresh()), watched)

    def _read(self, name: str | Path) -> None:
        """Take in what lies there, off the kernel's thread: a file may be long."""
        key, folder = str(name), self.state.folder.folder
        if not key or key in self._awaited:
            return
        self._awaited.append(key)
        self._say_awaited()
        PUMP.work(
            lambda: tracks_of(key, folder),
            lambda tracks: self._take(key, tracks),
            lambda level, text: self._not_read(key, level, text),
        )

    def _take(self, key: str, tracks: list[Track]) -> None:
        """Compare it too."""
        self._added[key] = tracks
        if self.file.value.strip() == key:
            self.file.value = ""
        self.state.compared = tuple(dict.fromkeys([*self.state.compared, key]))
        self._end_waiting(key)

    def _not_read(self, key: str, level: str, text: str) -> None:
        self.state.tell(level, text)
        self._end_waiting(key)

    def _end_waiting(self, key: str) -> None:
        self._awaited.remove(key)
        self._say_awaited()

    def _say_awaited(self) -> None:
        names = ", ".join(Path(key).name for key in self._awaited)
        said = f'<div class="ft-dim" role="status">Reading {escaped(names)} …</div>'
        set_html(self.reading, said if names else "")

    def _chosen(self) -> None:
        if not self._is_filling:
            self.state.compared = tuple(self.choice.value)

    def refresh(self) -> None:
        """Show the chosen runs as they are now."""
        if self.state.tab != "compare":
            return
        self._offer()
        chosen = [(key, self._source(key)) for key in self.choice.value]
        shown = tuple((key, _news(source)) for key, source in chosen)
        if shown == self._shown:
            self.curves.mend()
            return
        self._shown = shown
        tracks = tuple(told_apart(t for _, source in chosen for t in _tracks(source)))
        show(self.empty, visible=not self.choice.options)
        show(self.choice, visible=bool(self.choice.options))
        self.curves.show_tracks(tracks)
        found = Comparison(tracks)
        set_html(self.said, comparison_html(found) if self.choice.options else "")
        self._compare_data(found)

    def _compare_data(self, found: Comparison) -> None:
        """Hold the rows of the files against each other, off this thread: they may be many."""
        data = {(track.name, track.data) for track in found.tracks}
        if data == self._data:
            return
        self._data = data
        set_html(self.data, "")
        taken = lambda html: data == self._data and set_html(self.data, html)  # noqa: E731
        PUMP.work(found.data_html, taken, self.state.tell)

    def _offer(self) -> None:
        """The runs of the folder, the newest first, and what was added; at first the newest two."""
        runs = {run.id: run.name or run.id for run in self.state.folder}
        for sweep in Sweeps(self.state.folder.folder):
            self._known.setdefault(sweep.id, sweep)
            runs[sweep.id] = f"{sweep.name or sweep.id} (all arms)"
        added = {key: ", ".join(t.name for t in tracks) for key, tracks in self._added.items()}
        options = tuple((title, key) for key, title in (added | runs).items())
        if not self._has_begun and runs:
            self._has_begun = True
            self.state.compared = self.state.compared or tuple(runs)[:2]
        kept = tuple(key for key in self.state.compared if key in added | runs)
        if options != self.choice.options or kept != self.choice.value:
            self._is_filling = True
            try:
                self.choice.options, self.choice.value = options, kept
            finally:
                self._is_filling = False

    def _source(self, key: str) -> Run | list[Track]:
        """What the key stands for; a run that was read already has read all but the newest of its
        log."""
        if key not in self._added and key not in self._known:
            self._known[key] = self.state.folder[key]
        return self._added.get(key) or self._known[key]


def _tracks(source: Run | list[Track]) -> list[Track]:
    return source if isinstance(source, list) else tracks_of(source)


def _news(source: Run | list[Track]) -> tuple[Any, ...]:
    """What tells whether it must be drawn anew."""
    if isinstance(source, list):
        return (id(source),)
    arms = source.arms if isinstance(source, Sweep) else []
    scored = [file.stat().st_mtime_ns for file in kept_sheets(source.score_folder)[:1]]
    return (news_of(source), scored, *(news_of(run) for _, run in arms))


def comparison_html(found: Comparison) -> str:
    """What was reached, what must be known with it, and what differs."""
    if not found.tracks:
        return f'<div class="ft-dim">{HOW}</div>'
    shape = SHAPES["warning"]
    head = f"<div><b>{escaped(found.headline)}</b></div>" if found.headline else ""
    said = "".join(
        f'<div class="ft-warning" role="status">{shape} {escaped(text)}</div>'
        for text in found.cautions
    )
    more = f'<div class="ft-dim">{HOW}</div>' if len(found.tracks) < 2 else ""
    differs = '<div class="ft-group">What differs</div>' if len(found.tracks) > 1 else ""
    tables = f"{found.reached_html()}{found.more_html()}"
    return f"{head}{said}{tables}{differs}{found.differences_html()}{more}"
