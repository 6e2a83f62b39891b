"""The lines of a figure of several runs: which curve, in which colour, and how loud."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from ftlab.comparison.smoothing import smoothed
from ftlab.comparison.track import Axis, Steps, Track
from ftlab.events import Decision
from ftlab.html import SERIES

DASHES = ("solid", "dash", "dot", "dashdot")
FADED = 0.45
GOES_ON = "goes on"
FAINT = 0.28  # of what is smoothed: a spike is seen, and does not hide the smooth curve
LOSS = "loss"
"""The training loss, and the validation loss with it."""
WITH_LOSS = ("train_loss", "eval_loss")


class Line(NamedTuple):
    """One line of a figure."""

    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    color: str = SERIES[0]
    dash: str = "solid"
    width: float = 1.8
    opacity: float = 1.0
    mode: str = "lines"
    symbol: str = "circle"
    size: float = 6
    in_legend: bool = False
    is_silent: bool = False
    """Whether it says nothing where the mouse is."""
    texts: Sequence[str] = ()
    """What is said of each point besides its value."""

    @property
    def template(self) -> str:
        said = " · %{text}" if self.texts else ""
        return f"%{{y:.4g}}{said}<extra>{_plain(self.name)}</extra>"

    def is_drawn_as(self, other: Line) -> bool:
        """Whether nothing has to be drawn anew; a curve only grows, or becomes another one."""
        same = self._replace(xs=(), ys=()) == other._replace(xs=(), ys=())
        ends = [(len(line.xs), *line.xs[-1:], repr(line.ys[-1:])) for line in (self, other)]
        return same and ends[0] == ends[1] and repr(self.ys[:1]) == repr(other.ys[:1])


def place_of(track: Track, place: int) -> int:
    """Which colour the n-th track has: an arm keeps its own when another goes."""
    return place if track.place is None else track.place


def look_of(place: int) -> tuple[str, str]:
    """Colour and dash of the n-th run; beyond six the dashes tell them apart."""
    return SERIES[place % len(SERIES)], DASHES[place // len(SERIES) % len(DASHES)]


def lines_of(
    tracks: Sequence[Track],
    metric: str = LOSS,
    axis: Axis = "step",
    smoothing: float = 0.0,
    faded: Collection[str] = (),
) -> list[Line]:
    """The lines of some runs; those of a run that nobody counted along the axis are left out, and
    those whose name is `faded` stand back.

    Only curves of single steps are smoothed; the raw one then lies faint beneath.
    """
    return [
        line._replace(opacity=line.opacity * (FADED if track.name in faded else 1))
        for place, track in enumerate(tracks)
        for line in _lines(track, metric, axis, smoothing, *look_of(place_of(track, place)))
    ]


def on_log_axis(line: Line) -> Line:
    """Without what lies at or before zero, as an evaluation at step 0: a logarithm has no place
    for it, and plotly would draw it at one edge."""
    placed = [place for place, x in enumerate(line.xs) if x > 0]
    kept = {"xs": [line.xs[place] for place in placed], "ys": [line.ys[place] for place in placed]}
    texts = [line.texts[place] for place in placed] if line.texts else line.texts
    return line if len(placed) == len(line.xs) else line._replace(**kept, texts=texts)


def marks_of(
    decisions: Iterable[Decision], curves: Mapping[int, Steps], names: Sequence[str], last: int
) -> list[Line]:
    """Where the arms of a sweep were ended (with the reason), and where they went on; at the `last`
    step nobody goes on."""
    found: dict[int, list[tuple[int, float, str, str]]] = {}
    for decision in decisions:
        if decision.rung < 0 or decision.added:  # nothing is decided yet
            continue
        ended = {arm: ("x", f"ended: {why}") for arm, why in decision.stopped.items()}
        went = dict.fromkeys(
            decision.kept if decision.step < last else (), ("triangle-up", GOES_ON)
        )
        for arm, (symbol, text) in (ended | went).items():
            if (at := _until(curves.get(arm, {}), decision.step)) is not None:
                found.setdefault(arm, []).append((*at, symbol, text))
    return [
        _marks(names[arm], look_of(arm)[0], symbol, [mark for mark in marks if mark[2] == symbol])
        for arm, marks in found.items()
        for symbol in dict.fromkeys(mark[2] for mark in marks)
    ]


def _until(losses: Steps, step: int) -> tuple[int, float] | None:
    """The last loss up to a step."""
    return next(((s, losses[s]) for s in sorted(losses, reverse=True) if s <= step), None)


def _marks(name: str, color: str, symbol: str, marks: list[tuple[int, float, str, str]]) -> Line:
    xs, ys, _, texts = zip(*marks, strict=True)
    return Line(name, xs, ys, color, mode="markers", symbol=symbol, size=11, texts=texts)


def _lines(
    track: Track, metric: str, axis: Axis, smoothing: float, color: str, dash: str
) -> Iterator[Line]:
    names = WITH_LOSS if metric == LOSS else (metric,)
    is_first = True
    for name in names:
        xs, ys = track.along(name, axis)
        if not xs:
            continue
        line = Line(track.name, xs, ys, color, dash, in_legend=is_first)
        is_first = False
        if name.startswith("eval_"):
            dots = "dot" if metric == LOSS else dash
            yield line._replace(mode="lines+markers", dash=dots, width=1.2, texts=_told(name, xs))
        elif smoothing and len(xs) > 2:
            steps = list(track.series[name])[-len(xs) :]
            yield line._replace(opacity=FAINT, width=1.0, is_silent=True, in_legend=False)
            yield line._replace(ys=smoothed(steps, ys, smoothing))
        else:
            yield line


def _told(name: str, xs: Sequence[float]) -> list[str]:
    return ["validation" if name == "eval_loss" else name] * len(xs)


def _plain(text: str) -> str:
    """Text that plotly takes for no markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("%{", "% {")
