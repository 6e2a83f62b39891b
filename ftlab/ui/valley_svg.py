"""Loss against learning rate: the arms of a sweep, what was fitted, and how sure the best is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from statistics import median
from typing import NamedTuple

from ftlab.html import SERIES, escaped, rate, short
from ftlab.overlays import look_of
from ftlab.sweeps.answer import Answer
from ftlab.sweeps.folder import Sweep
from ftlab.sweeps.noise import best_loss

WIDTH, HEIGHT = 440, 300
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 30, 34
FIT_POINTS = 40
CAP = 2.5
"""Times the median regret: an arm that is worse lies at the top edge, or the valley could not be
seen."""
LEAST_CAP = 2.0  # %
BAND, RECOMMENDED = SERIES[2], SERIES[5]


class Point(NamedTuple):
    """One arm."""

    arm: int
    name: str
    rate: float
    loss: float
    """What it has at the step at which all are compared, or what follows from how far it was behind
    when it ended."""
    said: str
    is_measured: bool
    is_best: bool


def valley_html(sweep: Sweep) -> str:
    """The picture, and what its marks mean; empty where the arms do not differ in their rate."""
    found, points = sweep.answer, points_of(sweep)
    if found is None or not points:
        return ""
    drawn = _Valley(points, found, sweep.plan.recommended).drawn()
    return f'{drawn}<div class="ft-dim">{escaped(_marks(points, found))}</div>'


def points_of(sweep: Sweep) -> list[Point]:
    """Each arm that has a rate and a loss, at the step at which the best was compared with those
    beside it."""
    found, curves, arms = sweep.answer, sweep.curves(), sweep.all_arms
    if found is None:
        return []
    step = found.step or max(curves[found.best], default=0)
    lowest = best_loss(curves[found.best], step) or 0.0
    points = list[Point]()
    for n, arm in enumerate(arms):
        if arm.rate is not None and n in found.regrets:
            at = _at(curves[n], step, lowest, found.regrets[n])
            points.append(Point(n, arm.name, arm.rate, *at, n == found.best))
    return points


def _at(losses: Mapping[int, float], step: int, lowest: float, regret: float):
    """The loss of an arm, what is said of it, and whether it was measured at that step."""
    reached, own = max(losses), best_loss(losses, step)
    if reached >= step and own is not None:
        return own, f"{own:.4g} at step {step:,}", True
    return (
        lowest + abs(lowest) * regret / 100,
        f"{regret:.1f} % behind when it ended at step {reached:,}",
        False,
    )


def _marks(points: list[Point], found: Answer) -> str:
    parts = [f"losses at step {found.step:,}"] if found.step else []
    parts += ["★ best"]
    parts += ["○ ended earlier, drawn by how far it was behind"] * any(
        not point.is_measured for point in points
    )
    parts += ["dashes: the fit"] if found.fit else []
    parts += (
        ["green: where the best may lie"]
        if found.low is not None and found.high is not None
        else []
    )
    return " · ".join(parts)


class _Valley:
    """From rates and losses to places in the picture."""

    def __init__(self, points: list[Point], found: Answer, recommended: float | None) -> None:
        self.points, self.found, self.recommended = points, found, recommended
        rates = [point.rate for point in points] + [recommended] * (recommended is not None)
        low, high = (math.log10(end(r for r in rates if r)) for end in (min, max))
        room = max(0.06 * (high - low), 0.12)
        self.x_range = low - room, high + room
        losses = [point.loss for point in points]
        self.lowest = min([*losses, found.fit.lowest] if found.fit else losses)
        worst = [point.loss - self.lowest for point in points]
        cap = max(CAP * median(worst), LEAST_CAP / 100 * abs(self.lowest), 1e-9)
        self.y_range = self.lowest - 0.12 * min(cap, max(worst)), self.lowest + min(cap, max(worst))

    def x(self, rate: float) -> float:
        low, high = self.x_range
        return LEFT + (math.log10(rate) - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(self, loss: float) -> float:
        low, high = self.y_range
        share = (min(loss, high) - low) / (high - low or 1)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    def drawn(self) -> str:
        parts = [*self._band(), *self._recommended(), *self._axes(), *self._fit()]
        parts += [self._point(point) for point in self.points]
        return (
            f'<svg role="img" aria-label="Loss against learning rate" '
            f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
            'xmlns="http://www.w3.org/2000/svg" style="max-width:100%;height:auto;'
            f'font-family:sans-serif">{"".join(parts)}</svg>'
        )

    def _band(self) -> Iterator[str]:
        low, high = self.found.low, self.found.high
        if low is not None and high is not None:
            left, right = self.x(low), self.x(high)
            yield (
                f'<rect x="{left:.1f}" y="{TOP}" width="{max(right - left, 1):.1f}" '
                f'height="{HEIGHT - TOP - BOTTOM}" fill="{BAND}" fill-opacity="0.16">'
                f"<title>{rate(low)} to {rate(high)}: {escaped(self.found.basis)}</title></rect>"
            )

    def _recommended(self) -> Iterator[str]:
        if self.recommended is None:
            return
        at = self.x(self.recommended)
        side = "end" if at > WIDTH / 2 else "start"
        yield (
            f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" '
            f'stroke="{RECOMMENDED}" stroke-dasharray="4 3"/>'
            f'<text x="{at + (-4 if side == "end" else 4):.1f}" y="{TOP - 6}" font-size="11" '
            f'text-anchor="{side}" fill="{RECOMMENDED}">recommended {rate(self.recommended)}</text>'
        )

    def _axes(self) -> Iterator[str]:
        bottom = HEIGHT - BOTTOM
        yield (
            f'<path d="M{LEFT} {TOP}V{bottom}H{WIDTH - RIGHT}" fill="none" stroke="currentColor" '
            'stroke-opacity="0.4"/>'
        )
        for loss in (min(point.loss for point in self.points), self.y_range[1]):
            yield (
                f'<text x="{LEFT - 6}" y="{self.y(loss) + 4:.1f}" text-anchor="end" '
                f'font-size="11" fill="currentColor">{loss:.3g}</text>'
            )
        for value in self._ticks():
            yield (
                f'<text x="{self.x(value):.1f}" y="{bottom + 16}" text-anchor="middle" '
                f'font-size="11" fill="currentColor">{rate(value)}</text>'
            )

    def _ticks(self) -> list[float]:
        """The rates of the arms, as many as have room beside each other."""
        shown, last = list[float](), -math.inf
        for value in sorted({point.rate for point in self.points}):
            if self.x(value) - last > 46:
                shown.append(value)
                last = self.x(value)
        return shown

    def _fit(self) -> Iterator[str]:
        fit = self.found.fit
        if fit is None:
            return
        rates = sorted(point.rate for point in self.points)
        own = next(p.rate for p in self.points if p.is_best)
        place = rates.index(own)
        low, high = rates[max(place - 1, 0)], rates[min(place + 1, len(rates) - 1)]
        along = [low * (high / low) ** (i / FIT_POINTS) for i in range(FIT_POINTS + 1)]
        inside = ((r, fit.at(r)) for r in along)
        path = " ".join(
            f"{self.x(r):.1f},{self.y(loss):.1f}" for r, loss in inside if loss <= self.y_range[1]
        )
        yield (
            f'<polyline points="{path}" fill="none" stroke="currentColor" stroke-opacity="0.7" '
            'stroke-width="1.4" stroke-dasharray="5 4"/>'
        )

    def _point(self, point: Point) -> str:
        x, y, color = self.x(point.rate), self.y(point.loss), look_of(point.arm)[0]
        title = f"<title>{escaped(point.name)}: {escaped(point.said)}</title>"
        if point.is_best:
            return (
                f'<text x="{x:.1f}" y="{y + 7:.1f}" font-size="21" text-anchor="middle" '
                f'fill="{color}">★{title}</text>'
            )
        is_above = point.loss > self.y_range[1]
        beyond = (
            f'<text x="{x:.1f}" y="{y - 8:.1f}" font-size="11" text-anchor="middle" '
            f'fill="currentColor">↑ {short(point.loss)}</text>'
        )
        fill = color if point.is_measured else "none"
        return (
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{fill}" stroke="{color}" '
            f'stroke-width="2">{title}</circle>{beyond * is_above}'
        )
