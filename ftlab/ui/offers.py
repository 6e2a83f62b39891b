"""Changes that are shown before they are made: to what is recommended, or to a preset."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ftlab.advice import recommend_all
from ftlab.presets import Preset
from ftlab.recommendation import Recommendation
from ftlab.rules import resolve
from ftlab.spec import JobSpec, parse
from ftlab.ui.form_state import FormState
from ftlab.ui.knobs import NOT_GIVEN


@dataclass(frozen=True, slots=True)
class Change:
    """One field, from what it is to what is offered."""

    name: str
    now: Any
    then: Any
    reason: str
    is_typed: bool
    """A person typed what stands there now; it goes only when they say so."""
    leave_out: bool = False
    """`then` is what the field becomes by itself, so that it goes on following the rest."""

    @property
    def entry(self) -> Any:
        """What to enter for it; None leaves the field out."""
        return None if self.leave_out else self.then


@dataclass(frozen=True, slots=True)
class Offer:
    """Changes with a title and the reason for all of them."""

    title: str
    why: str
    changes: tuple[Change, ...]
    is_own: bool = False
    """Whether what it sets counts as typed: values that a person brought along."""

    def entries(self, names: Iterable[str]) -> dict[str, Any]:
        """What to enter for the chosen fields."""
        chosen = {*names}
        return {c.name: c.entry for c in self.changes if c.name in chosen}


def recommended_offer(state: FormState) -> Offer:
    """Everything as recommended: around what was typed, and instead of it where one says so."""
    typed = {name: value for name, value in state.values.items() if name in state.typed}
    base = parse(typed)[0]
    found = recommend_all(base, state.report, state.info, state.where.engine)
    changes = (_towards(state, name, advice) for name, advice in found.items())
    why = "Around what you typed. Tick what you typed too, where it shall go."
    return Offer("Use recommended values", why, tuple(c for c in changes if c is not None))


def recommended_change(state: FormState, name: str) -> Change | None:
    """One field as recommended now; None where it is so already, or nothing is recommended."""
    advice = state.recommended.get(name)
    return None if advice is None else _towards(state, name, advice)


def _towards(state: FormState, name: str, advice: Recommendation) -> Change | None:
    now = present(state, name)
    if is_same(now, advice.value):
        return None
    without = {n: value for n, value in state.values.items() if n != name}
    by_itself = _resolved(without, state)
    return Change(
        name,
        now,
        advice.value,
        f"{advice.why} ({advice.source})",
        is_typed=name in state.typed,
        leave_out=is_same(getattr(by_itself, name), advice.value),
    )


def preset_offer(state: FormState, preset: Preset) -> Offer:
    """What a preset would set, with its reasons."""
    values = preset.values_for(state.where.engine, state.values)
    changes = (
        Change(
            name,
            present(state, name),
            value,
            preset.reasons[name],
            is_typed=name in state.typed,
        )
        for name, value in values.items()
        if not is_same(present(state, name), value)
    )
    return Offer(preset.title, f"{preset.why} Source: {preset.source}.", tuple(changes))


def imported_offer(state: FormState, values: Mapping[str, Any]) -> Offer:
    """What a job that was read would set; other fields stay as they are."""
    changes = (
        Change(name, present(state, name), value, "as in the text", is_typed=name in state.typed)
        for name, value in values.items()
        if not is_same(state.given(name), value)
    )
    why = "Fields that it does not name stay as they are; untick what shall stay too."
    return Offer("Set what was read", why, tuple(changes), is_own=True)


def present(state: FormState, name: str) -> Any:
    """What a field is now: as given, valid or not, otherwise as it will be filled in."""
    value = state.given(name)
    if value is NOT_GIVEN or (name == "batch_size" and value == "max"):
        return getattr(state.resolved.spec, name)
    return value


def _resolved(values: Mapping[str, Any], state: FormState) -> JobSpec:
    return resolve(parse(values)[0], state.report, state.info, state.where.engine).spec


def is_same(one: Any, other: Any) -> bool:
    """Equal as values of a field: 16 is 16.0, and a list is a tuple; True is not 1."""
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return list(one) == list(other)
    return one == other and isinstance(one, bool) == isinstance(other, bool)
