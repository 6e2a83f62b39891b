"""How a metric is written and kept: a decorated function of one row."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple

from ftlab.errors import FtlabError


class Loss(NamedTuple):
    """What a model says of one sequence."""

    loss: float
    """Cross-entropy of its trained tokens in nats, summed: less the log-probability."""
    n_trained: int
    n_right: int
    """Trained tokens that the model finds the most likely ones."""


@dataclass(frozen=True)
class Seen:
    """A row as a metric sees it."""

    line: int = 0
    """In its file, from 1."""
    prompt: str = ""
    reference: str | None = None
    """The answer that the row has, the preferred one of two; None where it has none as text."""
    answer: str | None = None
    """The model's, at temperature 0."""
    losses: tuple[Loss, ...] = ()
    """Of its sequence, or of the preferred answer and the other one."""
    weight: float = 1.0
    """The row's own, which multiplies its loss."""
    base: Seen | None = None
    """The same row with what the base model says; None for the base model itself."""
    row: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """As it stands in its file."""


Measure = Callable[[Seen], float | None]
Needs = Literal["answers", "losses"]
Usage = dict[str, dict[str, int]]
"""Metric → what was counted: requests, tokens, rows that gave nothing."""
Form = Literal["share", "number", "exp"]


@dataclass(frozen=True)
class Traits:
    """What is known of a metric without its function."""

    name: str
    title: str
    low: float = 0.0
    high: float = 1.0
    lower_is_better: bool = False
    per_token: bool = False
    """A row counts as often as it has trained tokens."""
    form: Form = "share"
    """How the mean is shown: as a share, as a number, or as e to that power."""
    chance: float | None = None
    """What guessing would reach where there is no base to compare with: 0.5 of a choice of two."""


@dataclass(frozen=True)
class Metric:
    traits: Traits
    measure: Measure
    needs: Needs = "answers"
    example: tuple[Seen, float] | None = None
    """A row, and what the metric says of it."""

    @property
    def name(self) -> str:
        return self.traits.name

    def __call__(self, seen: Seen) -> float | None:
        """Of one row; None where the metric does not apply to it, or gives no number. Raises
        FtlabError."""
        value = self._measured(seen)
        return value if value is not None and math.isfinite(value) else None

    def _measured(self, seen: Seen) -> float | None:
        """Also what is infinite or NaN."""
        try:
            value = self.measure(seen)
            value = None if value is None else float(value)
        except FtlabError:
            raise
        except Exception as exc:  # somebody's own function: anything can come out of it
            raise FtlabError(
                f"The metric {self.name} failed on line {seen.line} ({type(exc).__name__}: {exc}); "
                "it must return a number, or None where it does not apply. Correct it, and score "
                "again: what the models said is kept."
            ) from exc
        traits = self.traits
        if value is not None and math.isfinite(value) and not traits.low <= value <= traits.high:
            raise FtlabError(
                f"The metric {self.name} gave {value:g} on line {seen.line}; its range is "
                f"{traits.low:g} to {traits.high:g}. Correct it, or give it another range."
            )
        return value

    is_paid: ClassVar[bool] = False
    """Whether asking again would cost something."""

    def over(self, rows: Iterable[Seen], usage: Usage) -> Iterator[float | None]:
        """Of rows in their order; what is counted on the way goes into `usage`."""
        usage.pop(self.name, None)
        n_odd = 0
        for seen in rows:
            value = self._measured(seen)
            if value is not None and not math.isfinite(value):
                value, n_odd = None, n_odd + 1
                usage[self.name] = {"rows_without_a_number": n_odd}
            yield value


METRICS: dict[str, Metric] = {}
"""By name, in the order in which they are shown."""


def metric(
    name: str,
    *,
    range: tuple[float, float] = (0.0, 1.0),
    lower_is_better: bool = False,
    title: str = "",
    needs: Needs = "answers",
    per_token: bool = False,
    form: Form | None = None,
    chance: float | None = None,
    example: tuple[Seen, float] | None = None,
) -> Callable[[Measure], Measure]:
    """Register a function of a row (`Seen`: prompt, reference, answer, …) as a metric.

    It returns a number within `range`, or None where it does not apply. A second one of the same
    name takes the place of the first.
    """
    low, high = range
    shown: Form = form or ("share" if range == (0.0, 1.0) else "number")

    def register(measure: Measure) -> Measure:
        heading = title or name.replace("_", " ")
        traits = Traits(name, heading, low, high, lower_is_better, per_token, shown, chance)
        METRICS[name] = Metric(traits, measure, needs, example)
        return measure

    return register


def chosen(names: Iterable[str] | None) -> list[Metric]:
    """The metrics of these names, or all. Raises FtlabError with the names there are."""
    import ftlab.scores.measures  # noqa: F401 (which registers those of ftlab)

    if names is None:
        return list(METRICS.values())
    asked = list(dict.fromkeys(names))
    if unknown := [name for name in asked if name not in METRICS]:
        raise FtlabError(
            f"There is no metric {unknown[0]!r}; there are {', '.join(METRICS)}. Choose some of "
            "them, or write one with @ftlab.metric."
        )
    return [METRICS[name] for name in asked]
