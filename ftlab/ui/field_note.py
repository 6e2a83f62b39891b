"""What is said under a field while nothing is wrong with it: a recommendation, or its help."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from ftlab.html import escaped
from ftlab.recommendation import Recommendation, in_range
from ftlab.ui.form_state import FormState
from ftlab.ui.knobs import (
    FORM_FIELDS,
    FORM_KNOBS,
    NOT_GIVEN,
    OPTIONS,
    help_of,
    honoured_by,
    written,
)
from ftlab.ui.model_note import model_html
from ftlab.ui.offers import is_same, present
from ftlab.ui.shown import opening_html


def note_html(state: FormState, name: str) -> str:
    """One dim line; with a recommendation, one that opens to its range, reasons and sources."""
    if name == "model" and state.info.name:
        return model_html(state.info)
    advice = state.recommended.get(name)
    if advice is not None:
        return advice_html(advice, _headline(state, name, advice), help_of(name))
    given = state.given(name)
    filled = None if name in OPTIONS else state.resolved
    if filled is not None and given is NOT_GIVEN and name in filled.reasons:
        value = written(getattr(filled.spec, name))
        return _dim(f"{value} · {filled.reasons[name]}")
    description = FORM_FIELDS[name].description or ""
    return _dim(f"{description} {honoured_by(FORM_KNOBS[name])}".strip())


def _headline(state: FormState, name: str, advice: Recommendation) -> str:
    value = written(advice.value)
    now = present(state, name)
    if is_same(now, advice.value):
        return f"{value} is recommended"
    if state.given(name) is NOT_GIVEN:
        return f"left out, it is {written(now)}; recommended {value}"
    return f"recommended {value}"


@lru_cache(maxsize=256)  # with every key that is pressed, most of them stay as they were
def advice_html(advice: Recommendation, headline: str, about: str) -> str:
    """A recommendation with everything behind it one click away."""
    rows = {"range": in_range(advice.low, advice.high), "why": advice.why}
    lines = [(label, text) for label, text in rows.items() if text]
    lines += [("others", f"{other.value} · {other.source}") for other in advice.others]
    return opening_html(headline, advice.source, lines, about)


def placeholder(state: FormState, name: str) -> Any:
    """What a field will be when nothing is given."""
    if name in OPTIONS or state.resolved is None:
        return FORM_FIELDS[name].default
    return getattr(state.resolved.spec, name)


def _dim(text: str) -> str:
    return f'<span class="ft-dim">{escaped(text)}</span>'
