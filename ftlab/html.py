"""HTML and SVG without scripts: what a saved notebook still shows where no widget runs.

Every text that comes from data, files or services goes through `escaped`.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence

from ftlab.issues import SHAPES, Issue

# Okabe and Ito's colours: told apart by people who don't see red or green.
SERIES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
LEVELS = {
    "error": "var(--jp-error-color1, #d32f2f)",
    "warning": "var(--jp-warn-color1, #b26a00)",
    "tip": "var(--jp-info-color1, #0277bd)",
}
MARGIN_LEFT, MARGIN_BOTTOM, MARGIN_TOP = 56, 26, 10
KEY, LETTER, GAP, LINE = 17, 6.4, 14, 15  # of a legend: a letter is as wide on average, at most
Points = Sequence[tuple[float, float]]


def escaped(text: object) -> str:
    """Text for HTML: markup is shown, and control characters become visible."""
    return html.escape(visible(str(text)), quote=True)


def visible(text: str) -> str:
    """Text whose control and bidi characters are shown as escapes."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in "\n\t" else f"\\x{ord(char):02x}" for char in text
    )


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of cells that are HTML already."""
    head = "".join(f'<th style="text-align:left">{escaped(cell)}</th>' for cell in header)
    body = "".join(
        "<tr>" + "".join(f'<td style="text-align:left">{cell}</td>' for cell in row) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def issue_list(issues: Iterable[Issue]) -> str:
    """Issues with shape and colour of their level; the code is named for those who script."""
    items = "".join(
        f'<li style="list-style:none"><b style="color:{LEVELS[issue.level]}">'
        f"{SHAPES[issue.level]}</b> {escaped(issue.message)} "
        f"<small>{escaped(issue.code)}</small></li>"
        for issue in issues
    )
    return f'<ul style="margin:0;padding-left:0">{items}</ul>' if items else ""


class Issues(list[Issue]):
    """Issues that say themselves one per line, in a terminal and in a notebook."""

    def __repr__(self) -> str:
        return "\n".join(map(_in_a_line, self)) or "no issues"

    def _repr_html_(self) -> str:
        return issue_list(self) or "no issues"


def _in_a_line(issue: Issue) -> str:
    refusing = f" [{issue.blocks[0]} refuses]" if len(issue.blocks) == 1 else ""
    return f"{SHAPES[issue.level]} {issue.message}{refusing}"


def facts(values: Mapping[str, str]) -> str:
    """Name and value pairs in one line each."""
    return table((), ((f"<b>{escaped(k)}</b>", escaped(v)) for k, v in values.items()))


def histogram(
    bins: Sequence[tuple[int, int, int]],
    mark: int | None = None,
    unit: str = "tokens",
    width: int = 420,
    height: int = 150,
) -> str:
    """An SVG of (from, to, count) bins, with a line at `mark` when it lies within them."""
    if not bins:
        return ""
    low, high = bins[0][0], bins[-1][1]
    top = max(count for *_, count in bins) or 1
    plot = _Plot((low, high), (0, top), width, height)
    bars = "".join(
        f'<rect x="{plot.x(start) + 0.5:.1f}" y="{plot.y(count):.1f}" '
        f'width="{max(plot.x(end) - plot.x(start) - 1, 0.5):.1f}" '
        f'height="{plot.y(0) - plot.y(count):.1f}" fill="{SERIES[0]}">'
        f"<title>{start:,} to {end - 1:,} {escaped(unit)}: {count:,}</title></rect>"
        for start, end, count in bins
        if count
    )
    if mark is not None and low < mark < high:
        at = plot.x(mark)
        bars += (
            f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{MARGIN_TOP}" y2="{plot.y(0):.1f}" '
            f'stroke="{SERIES[5]}" stroke-dasharray="4 3"/>'
            f'<text x="{at - 4:.1f}" y="{MARGIN_TOP + 10}" text-anchor="end" font-size="11" '
            f'fill="{SERIES[5]}">{mark:,}</text>'
        )
    return plot.drawn(bars, f"Histogram of {unit} per row")


def curves(
    series: Mapping[str, Points],
    width: int = 560,
    height: int = 230,
    *,
    floor: float | None = None,
    marks: Mapping[str, Sequence[float]] | None = None,
) -> str:
    """An SVG of named curves over the same axes; points that are no numbers are left out.

    The y axis starts at `floor` if given. `marks` are characters with the places on the x axis
    where each of them stands.
    """
    kept = {
        name: [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
        for name, points in series.items()
    }
    every = [point for points in kept.values() for point in points]
    if not every:
        return ""
    xs, ys = [x for x, _ in every], [y for _, y in every]
    low = min(ys) if floor is None else floor
    named = dict(zip(kept, SERIES * len(kept), strict=False))
    legend, more = _legend({name: named[name] for name in kept if kept[name]}, width)
    plot = _Plot((min(xs), max(xs)), (low, max(ys)), width, height + more, more)
    drawn = [_one_curve(plot, points, named[name]) for name, points in kept.items() if points]
    drawn.append(legend)
    drawn += [_marked(plot, char, places) for char, places in (marks or {}).items()]
    return plot.drawn("".join(drawn), "Curves of " + ", ".join(kept))


def _marked(plot: _Plot, char: str, places: Sequence[float]) -> str:
    return "".join(
        f'<text x="{plot.x(place):.1f}" y="{plot.y(plot.y_range[0]) + 3:.1f}" font-size="9" '
        f'text-anchor="middle" fill="currentColor">{escaped(char)}</text>'
        for place in places
    )


def _one_curve(plot: _Plot, points: Points, color: str) -> str:
    path = " ".join(f"{plot.x(x):.1f},{plot.y(y):.1f}" for x, y in points)
    line = f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="1.6"/>'
    if len(points) > 30:
        return line
    return line + "".join(
        f'<circle cx="{plot.x(x):.1f}" cy="{plot.y(y):.1f}" r="2.4" fill="{color}"/>'
        for x, y in points
    )


def _legend(colors: Mapping[str, str], width: int) -> tuple[str, int]:
    """Names side by side in as many lines as they need, and the height of all but the first."""
    x, y, drawn = MARGIN_LEFT + 10, MARGIN_TOP, ""
    for name, color in colors.items():
        fitting = _cut(name, int((width - MARGIN_LEFT - 10 - KEY) / LETTER))
        if x > MARGIN_LEFT + 10 and x + KEY + LETTER * len(fitting) > width:
            x, y = MARGIN_LEFT + 10, y + LINE
        drawn += (
            f'<rect x="{x}" y="{y}" width="12" height="3" fill="{color}"/>'
            f'<text x="{x + KEY}" y="{y + 5}" font-size="11" fill="currentColor">'
            f"{escaped(fitting)}</text>"
        )
        x += max(round(KEY + LETTER * len(fitting)) + GAP, 130)
    return drawn, y - MARGIN_TOP


def _cut(name: str, n: int) -> str:
    return name if len(name) <= n else f"{name[: n - 1]}…"


def progress_bar(share: float) -> str:
    """A progress bar, 0 to 1."""
    percent = round(100 * min(max(share, 0), 1))
    return (
        f'<div class="ft-bar" role="progressbar" aria-valuenow="{percent}" aria-valuemin="0" '
        f'aria-valuemax="100"><div style="width:{percent}%"></div></div>'
    )


class _Plot:
    """Data coordinates to SVG coordinates, and the axes."""

    def __init__(
        self,
        x_range: tuple[float, float],
        y_range: tuple[float, float],
        width: int,
        height: int,
        above: int = 0,
    ) -> None:
        """`above` is left free between the top and the axes."""
        self.x_range, self.y_range = _not_empty(x_range), _not_empty(y_range)
        self.width, self.height, self.above = width, height, above

    def x(self, value: float) -> float:
        low, high = self.x_range
        return MARGIN_LEFT + (value - low) / (high - low) * (self.width - MARGIN_LEFT - 8)

    def y(self, value: float) -> float:
        low, high = self.y_range
        room = self.height - MARGIN_BOTTOM - MARGIN_TOP - self.above - 14
        return self.height - MARGIN_BOTTOM - (value - low) / (high - low) * room

    def drawn(self, content: str, label: str) -> str:
        return (
            f'<svg role="img" aria-label="{escaped(label)}" viewBox="0 0 {self.width} '
            f'{self.height}" width="{self.width}" height="{self.height}" '
            'xmlns="http://www.w3.org/2000/svg" style="max-width:100%;font-family:sans-serif">'
            f"{self._axes()}{content}</svg>"
        )

    def _axes(self) -> str:
        bottom = self.height - MARGIN_BOTTOM
        lines = (
            f'<path d="M{MARGIN_LEFT} {MARGIN_TOP + self.above}V{bottom}H{self.width - 8}" '
            'fill="none" stroke="currentColor" stroke-opacity="0.4"/>'
        )
        ticks = [
            f'<text x="{MARGIN_LEFT - 6}" y="{self.y(value) + 4:.1f}" text-anchor="end" '
            f'font-size="11" fill="currentColor">{short(value)}</text>'
            for value in self.y_range
        ]
        ticks += [
            f'<text x="{self.x(value):.1f}" y="{bottom + 16}" text-anchor="{anchor}" '
            f'font-size="11" fill="currentColor">{short(value)}</text>'
            for value, anchor in zip(self.x_range, ("start", "end"), strict=True)
        ]
        return lines + "".join(ticks)


def _not_empty(limits: tuple[float, float]) -> tuple[float, float]:
    low, high = limits
    return (low, high) if high > low else (low, low + 1)


def counted(n: int, what: str) -> str:
    """A number with its noun: "1 step", "2,400 steps"."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def rate(value: float | None) -> str:
    """A learning rate as people write them: 4.7e-4."""
    if value is None:
        return "unknown"
    if not math.isfinite(value):
        return str(value)
    mantissa, _, exponent = f"{value:.2e}".partition("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def short(value: float) -> str:
    """Three significant digits, thousands grouped: 2,104,332 → 2.1 M; 0.00047 → 4.7e-4."""
    if not math.isfinite(value):
        return str(value)
    size = abs(value)
    if size >= 1e15:
        return f"{value:.3g}"
    if size >= 1e12:
        return f"{value / 1e12:.3g} T"
    if size >= 1e9:
        return f"{value / 1e9:.3g} G"
    if size >= 1e6:
        return f"{value / 1e6:.3g} M"
    if size >= 1000:
        return f"{value:,.0f}"
    if size == 0 or size >= 0.001:
        return f"{value:.3g}"
    return rate(value)
