"""Scores in words: figures with their intervals, and what they mean in a few sentences."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ftlab.html import counted, short
from ftlab.scores.figures import Score
from ftlab.scores.metrics import Traits
from ftlab.scores.sheet import BASE, TUNED

if TYPE_CHECKING:
    from ftlab.scores.found import Scores

FEW = 20  # rows; below that an interval is a rough one
LEARNT_THE_FORM = (
    "Its loss fell all the same, from {} to {}: it has learned what answers look like, and not "
    "which one is right. See whether each row of the data has its own answer."
)

FORGOTTEN = (
    "It has lost what the base could do before in {}: train fewer steps, at a lower learning rate, "
    "or with other rows mixed in."
)


def value_in_words(traits: Traits, value: float) -> str:
    """Of a mean: a share in percent, anything else with three digits."""
    return f"{value:.1%}" if traits.form == "share" else short(value)


def range_in_words(traits: Traits, low: float, high: float) -> str:
    """An interval: "93.1 to 98.3"."""
    if traits.form == "share":
        return f"{100 * low:.1f} to {100 * high:.1f}"
    return f"{_signless(low)} to {_signless(high)}"


def figure_in_words(score: Score, of: str = "") -> str:
    """With its interval: "66.7% (39.1 to 86.2)"."""
    value = value_in_words(score.traits, score.found.value)
    return f"{value}{of} ({range_in_words(score.traits, score.found.low, score.found.high)})"


def apart_in_words(score: Score) -> str:
    """How far it is from the base: "+95.0 points (91.9 to 97.5)"."""
    if score.apart is None:
        return ""
    return _apart(score.traits, score.apart.value, score.apart.low, score.apart.high)


def _apart(traits: Traits, value: float, low: float, high: float) -> str:
    if traits.form == "share":
        return f"{100 * value:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f})"
    return f"{_signed(value)} ({_signed(low)} to {_signed(high)})"


def _signed(value: float) -> str:
    return short(value) if value < 0 else f"+{short(value)}"


def _signless(value: float) -> str:
    return short(value) if math.isfinite(value) else str(value)


def headline(found: Scores) -> str:
    """What the scores mean, in a few sentences."""
    return " ".join(_sentences(found))


def _sentences(found: Scores) -> Iterator[str]:
    yield from _of_columns(found)
    lost = [line for line in found.harness if line.verdict == "worse than base"]
    if lost:
        names = ", ".join(f"{line.task} ({line.metric})" for line in lost)
        yield FORGOTTEN.format(names)


def _of_columns(found: Scores) -> Iterator[str]:
    lead = found.lead
    if lead is None:
        if found.columns:
            yield "Nothing was found by which base and tuned model could be compared."
        return
    yield _of_tuned(lead, found.get(lead.metric, BASE))
    if lead.verdict == "no better than base" and lead.metric != "loss":
        yield from _only_the_form(found)
    yield from _others(found, lead)


def _of_tuned(lead: Score, base: Score | None) -> str:
    """A figure of the tuned model beside the base's, where the base has one."""
    title, n = _capital(lead.traits.title), counted(lead.n, "row")
    judged = f": {_judged(lead)}" if lead.verdict else ""
    if base is None:
        return f"{title}: {figure_in_words(lead)} of {n}{judged}."
    before = value_in_words(base.traits, base.found.value)
    return (
        f"{title} is {before} with the base and {figure_in_words(lead, ' tuned')} on {n}{judged}."
    )


def _judged(lead: Score) -> str:
    rough = "; so few rows say little" if lead.n < FEW else ""
    far = "" if lead.apart is None or not any(lead.apart[:3]) else f", {apart_in_words(lead)}"
    return f"{lead.verdict}{far}{rough}"


def _only_the_form(found: Scores) -> Iterator[str]:
    before, after = found.get("loss", BASE), found.get("loss")
    if before and after and after.verdict == "better than base":
        yield LEARNT_THE_FORM.format(short(before.found.value), short(after.found.value))


def _others(found: Scores, lead: Score) -> Iterator[str]:
    """How the tuned model stands to the base with examples, and to the checkpoints."""
    for name, column in found.columns.items():
        other, apart = found.get(lead.metric, name), found.against(lead.metric, name, TUNED)
        if name in (BASE, TUNED) or other is None or apart is None:
            continue
        value = value_in_words(lead.traits, other.found.value)
        is_better = apart.is_sure and (apart.value < 0) is lead.traits.lower_is_better
        if column.shots:
            so = "that is as good as tuning, as far as these rows tell"
            if apart.is_sure:
                so = "better than tuning" if is_better else "that does not do what tuning does"
            examples = name.removeprefix("base with ")
            yield f"With {examples} in the prompt the base reaches {value}: {so}."
        elif is_better:
            far = _apart(lead.traits, apart.value, apart.low, apart.high)
            yield f"The checkpoint of {name} is better than the final one: {value}, {far}."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
