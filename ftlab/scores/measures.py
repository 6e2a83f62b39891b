"""The metrics of ftlab; each has an example that proves it."""

from __future__ import annotations

import json
import math
import re
from typing import Any
from unicodedata import normalize

from ftlab.scores.metrics import Loss, Seen, metric

SHORT = 100
"""Characters of a reference that an answer may be expected to equal."""
LONGEST = 4_000
"""Words of a text that are compared: the time grows with the product of both."""

UNSPACED = "\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
"""Thai, Lao, Khmer, kana and the characters of China and Japan."""
MARKS = "\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0900-\u0963\u0966-\u0dff"
"""Of accents, Hebrew, Arabic and the scripts of India: a part of the word."""
WORD = re.compile(rf"[{UNSPACED}]|(?:(?![{UNSPACED}])[^\W_]|[{MARKS}])+")


@metric(
    "exact_match",
    example=(Seen(reference='{"b":2,"a":1}', answer=' {"a": 1, "b": 2}'), 1.0),
)
def exact_match(seen: Seen) -> float | None:
    """Whether the answer is the reference: equal as JSON where that is JSON, otherwise as text
    without outer space. Of long free text nothing is said."""
    if seen.reference is None or seen.answer is None or not _is_matched(seen.reference):
        return None
    return float(same(seen.answer, seen.reference))


def same(answer: str, reference: str) -> bool:
    """Equal as JSON where the reference is JSON, otherwise equal as text without outer space."""
    expected = _parsed(reference)
    if expected is None:
        return _plain(answer) == _plain(reference)
    return _equal(_parsed(answer), expected)


def _plain(text: str) -> str:
    """One spelling of letters with marks, without outer space."""
    return normalize("NFC", text).strip()


def _equal(one: Any, other: Any) -> bool:
    """As JSON has it: true is no 1, as it is in Python."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    return isinstance(one, bool) is isinstance(other, bool) and one == other


def _is_matched(reference: str) -> bool:
    return len(reference) <= SHORT or _parsed(reference) is not None


def _parsed(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return None


def _no_number(name: str) -> Any:
    """NaN and its like, which JSON does not have."""
    raise ValueError(name)


@metric(
    "win_rate",
    title="preferred answer more likely",
    needs="losses",
    chance=0.5,
    example=(Seen(losses=(Loss(2.0, 4, 3), Loss(5.0, 4, 1))), 1.0),
)
def win_rate(seen: Seen) -> float | None:
    """Whether the preferred answer of a pair has the higher log-probability; a half for equals."""
    pair = margin(seen)
    return None if pair is None else 0.5 + 0.5 * ((pair > 0) - (pair < 0))


@metric(
    "margin",
    title="log-probability over the other answer",
    needs="losses",
    range=(-math.inf, math.inf),
    example=(Seen(losses=(Loss(2.0, 4, 3), Loss(5.0, 4, 1))), 3.0),
)
def margin(seen: Seen) -> float | None:
    """Log-probability of the preferred answer less that of the other one, in nats. What it gained
    over the base, times dpo_beta, is the reward margin of DPO."""
    if len(seen.losses) != 2:
        return None
    preferred, other = seen.losses
    return other.loss - preferred.loss


@metric(
    "rouge_l",
    title="ROUGE-L",
    example=(Seen(reference="The cat sat on the mat.", answer="the cat on a mat"), 8 / 11),
)
def rouge_l(seen: Seen) -> float | None:
    """F-measure of the longest common subsequence of words (Lin, 2004, "ROUGE: a package for
    automatic evaluation of summaries"), as the package rouge-score has it without stemming; there
    words are of a to z and digits alone, here of all alphabets, and where a script has no spaces
    each character is one."""
    if seen.reference is None or seen.answer is None:
        return None
    reference, answer = _words(seen.reference), _words(seen.answer)
    if not reference or not answer:
        return 0.0 if reference or answer else None
    return 2 * _common(reference, answer) / (len(reference) + len(answer))


def _words(text: str) -> list[str]:
    return WORD.findall(normalize("NFC", text).lower())[:LONGEST]


def _common(one: list[str], other: list[str]) -> int:
    """Length of the longest common subsequence; each word of `one` is a bit (Hyyrö, 2004)."""
    places: dict[str, int] = {}
    for place, word in enumerate(one):
        places[word] = places.get(word, 0) | 1 << place
    every = (1 << len(one)) - 1
    row = every
    for word in other:
        found = row & places.get(word, 0)
        row = (row + found | row - found) & every
    return len(one) - row.bit_count()


@metric(
    "token_accuracy",
    needs="losses",
    per_token=True,
    example=(Seen(losses=(Loss(2.0, 4, 3),)), 0.75),
)
def token_accuracy(seen: Seen) -> float | None:
    """The share of the trained tokens that the model finds the most likely ones, each after the
    row's own text before it; of a pair those of the preferred answer."""
    return _per_token(seen, lambda first: first.n_right)


@metric(
    "loss",
    needs="losses",
    per_token=True,
    lower_is_better=True,
    range=(0.0, math.inf),
    example=(Seen(losses=(Loss(2.0, 4, 3),), weight=0.5), 0.25),
)
def loss(seen: Seen) -> float | None:
    """Cross-entropy per trained token in nats, times the row's weight, as training counts it; of a
    pair that of the preferred answer."""
    return _per_token(seen, lambda first: first.loss * seen.weight)


@metric(
    "perplexity",
    needs="losses",
    per_token=True,
    lower_is_better=True,
    range=(0.0, math.inf),
    form="exp",
    example=(Seen(losses=(Loss(2.0, 4, 3),)), 0.5),
)
def perplexity(seen: Seen) -> float | None:
    """e to the power of the loss; of a row its loss, for a mean of powers is no perplexity."""
    return loss(seen)


def _per_token(seen: Seen, of: Any) -> float | None:
    if not seen.losses or not seen.losses[0].n_trained:
        return None
    first = seen.losses[0]
    return of(first) / first.n_trained
