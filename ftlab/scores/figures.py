"""The figures of a sheet: means with their intervals, and how far columns are apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ftlab.scores.intervals import Difference, Interval, Sample, difference, interval
from ftlab.scores.metrics import Traits
from ftlab.scores.sheet import BASE, Column


class Score(NamedTuple):
    """One metric of one column."""

    traits: Traits
    column: str
    found: Interval
    n: int
    """Rows that it applies to."""
    apart: Difference | None
    """From the base over the rows that both have; from chance where there is no base to compare
    with, and None where there is no chance either."""
    verdict: str
    """"better than base", "no better than base", "worse than base", the same with chance, or
    nothing."""

    @property
    def metric(self) -> str:
        return self.traits.name


def score_of(traits: Traits, name: str, columns: Mapping[str, Column]) -> Score | None:
    """What a metric says of a column; None where not all of its rows are measured, or none has a
    value."""
    column, base = columns[name], columns.get(BASE)
    values = column.values.get(traits.name, [])
    known = [place for place, value in enumerate(values) if value is not None]
    if len(values) != len(column.answers) or not known:
        return None
    sample = _sample(traits, column, known)
    found = _within(traits, interval(sample, traits.form))
    from_base = None if base is None or name == BASE else apart(traits, column, base)
    if from_base is not None:
        verdict = _verdict(traits, from_base, BASE)
        return Score(traits, name, found, len(known), from_base, verdict)
    if traits.chance is None:
        return Score(traits, name, found, len(known), None, "")
    from_chance = _from_chance(sample, found, traits.chance)
    verdict = _verdict(traits, from_chance, "chance")
    return Score(traits, name, found, len(known), from_chance, verdict)


def _within(traits: Traits, found: Interval) -> Interval:
    """No interval goes beyond what the metric can be."""
    if traits.form == "exp":
        return found
    return Interval(found.value, max(found.low, traits.low), min(found.high, traits.high))


def _from_chance(sample: Sample, found: Interval, chance: float) -> Difference:
    """What the figure itself leaves open is open here; chance is known."""
    p = difference(sample, Sample(0 * sample.values + chance, sample.weights)).p
    return Difference(found.value - chance, found.low - chance, found.high - chance, p)


def apart(traits: Traits, one: Column, other: Column) -> Difference | None:
    """How far one column is from another, over the rows that both have; None where that is none."""
    values, others = (column.values.get(traits.name, []) for column in (one, other))
    if len(values) != len(others):
        return None
    both = [at for at, pair in enumerate(zip(values, others, strict=True)) if None not in pair]
    if not both:
        return None
    first, second = (_sample(traits, column, both) for column in (one, other))
    return difference(first, second, traits.form)


def gain(traits: Traits, base: Column, tuned: Column, place: int) -> float | None:
    """How much better the tuned model is on a row; None where that is not known."""
    pair = [column.values.get(traits.name, []) for column in (tuned, base)]
    after, before = (values[place] if place < len(values) else None for values in pair)
    if after is None or before is None:
        return None
    return before - after if traits.lower_is_better else after - before


def _verdict(traits: Traits, found: Difference, other: str) -> str:
    """Said only where the interval of the difference leaves no doubt."""
    if not found.is_sure:
        return f"no better than {other}"
    is_better = (found.value < 0) is traits.lower_is_better
    return f"{'better' if is_better else 'worse'} than {other}"


def _sample(traits: Traits, column: Column, places: Sequence[int]) -> Sample:
    import numpy as np

    values = column.values[traits.name]
    weights = [_weight(traits, column, place) for place in places]
    return Sample(np.array([values[at] for at in places], float), np.array(weights, float))


def _weight(traits: Traits, column: Column, place: int) -> float:
    losses = column.losses[place]
    return float(losses[0].n_trained) if traits.per_token and losses else 1.0
