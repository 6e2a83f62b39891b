"""What a sweep has measured of the learning rates beside that of a run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ftlab.errors import RunError

if TYPE_CHECKING:
    from ftlab.diagnosis.curve import Curve
    from ftlab.run import Run

PLAN, ARMS = "sweep.json", "arms"
NOISE = 0.005
"""Share of a loss within which two rates are equally good."""
LEAST_SHARE = 0.3
"""Of the run: before it, which rate is ahead says little of which will be."""


class Tried(NamedTuple):
    """Another rate of the same job."""

    rate: float
    losses: Mapping[int, float]
    """Its validation loss by step."""
    is_given_up: bool = False
    """Whether it failed, or the sweep ended it on the way as worse."""


class Measured:
    """A run's learning rate among those of its sweep."""

    def __init__(self, curve: Curve) -> None:
        self._own, self._rate = dict(curve.evaluations), curve.peak_lr or 0.0
        was_ended = curve.is_over and curve.share_done < 1  # a sweep did so, which knows why
        least = 0 if was_ended else LEAST_SHARE * (curve.n_steps or max(self._own, default=0))
        self._told = [x for x in curve.tried if self._step(x) >= least or x.is_given_up]
        self.rates = [one.rate for one in self._told]
        ahead = [one for one in self._told if self._regret(one) > NOISE]
        self.best = max(
            ahead, key=lambda one: (max(one.losses), -_lowest(one.losses)), default=None
        )
        """The rate that is better than this one, where one is."""

    @property
    def is_best(self) -> bool:
        """Whether rates on both sides were measured, and none is better."""
        return self.best is None and self.is_no_higher_better and self.is_no_lower_better

    @property
    def is_no_higher_better(self) -> bool:
        return self._is_none_better(one.rate > self._rate for one in self._told)

    @property
    def is_no_lower_better(self) -> bool:
        return self._is_none_better(one.rate < self._rate for one in self._told)

    def _is_none_better(self, sides: Iterator[bool]) -> bool:
        some = [one for one, on_side in zip(self._told, sides, strict=True) if on_side]
        return bool(some) and all(self._regret(one) <= NOISE for one in some)

    @property
    def ratio(self) -> float | None:
        """This rate as a multiple of the best one; None where that was not bracketed."""
        if self.best is not None:
            return self._rate / self.best.rate
        return 1.0 if self.is_best else None

    def in_words(self) -> str:
        """What was measured of the best rate, and of this one then."""
        if self.best is None:
            return f"The sweep measured this rate as the best of {len(self._told) + 1}."
        step = self._step(self.best)
        theirs, own = (_lowest(losses, step) for losses in (self.best.losses, self._own))
        return f"validation loss {theirs:.4g} against {own:.4g} until step {step:,}"

    def _step(self, one: Tried) -> int:
        """The last that both have reached."""
        return min(max(self._own, default=0), max(one.losses, default=0))

    def _regret(self, one: Tried) -> float:
        """How much lower the other's loss is, as a share of it; at most 0 where it is not."""
        step = self._step(one)
        own, theirs = _lowest(self._own, step), _lowest(one.losses, step)
        return own / theirs - 1 if math.isfinite(own) and 0 < theirs < math.inf else 0.0


def tried_beside(run: Run) -> tuple[Tried, ...]:
    """The other arms of its sweep that differ from it in the learning rate alone; of a run that is
    none and was not taken from one, nothing."""
    own = _job_of(run)
    return tuple(
        Tried(rate, _evaluated(arm), _is_given_up(arm))
        for arm in _arms_beside(run)
        if (rate := arm.job.spec.learning_rate)
        and rate != run.job.spec.learning_rate
        and _job_of(arm) == own
    )


def _arms_beside(run: Run) -> Iterator[Run]:
    from ftlab.run import Run

    for sweep in _sweeps_of(run):
        for folder in sorted((sweep / ARMS).iterdir()):
            try:
                arm = Run(folder.resolve())
                arm.job  # noqa: B018
            except RunError:  # deleted
                continue
            yield arm


def _sweeps_of(run: Run) -> Iterator[Path]:
    """That which it is an arm of, or whose best arm it was."""
    above = run.path.parent.parent if run.path.parent.name == ARMS else None
    named = [run.path.parent / tag for tag in run.about.tags]
    for folder in filter(None, [above, *named]):
        if (folder / PLAN).is_file() and (folder / ARMS).is_dir():
            yield folder


def _job_of(run: Run) -> dict[str, Any]:
    """Its spec but for the rate."""
    return run.job.spec.model_dump(exclude={"learning_rate"})


def _is_given_up(run: Run) -> bool:
    history = run.history
    on_the_way = history.last_step < (history.n_steps or 0)
    return run.state.ended and (on_the_way or run.status == "failed")


def _evaluated(run: Run) -> dict[int, float]:
    """Its validation loss after the first step."""
    losses = run.history.series.get("eval_loss", {})
    return {step: loss for step, loss in losses.items() if step > 0 and math.isfinite(loss)}


def _lowest(losses: Mapping[int, float], until: float = math.inf) -> float:
    return min((loss for step, loss in losses.items() if step <= until), default=math.inf)
