"""One spec, two engines: what the same job becomes here and on the hosted service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ftlab.data.report import DataReport
from ftlab.exchange.together import to_body
from ftlab.issues import Issue
from ftlab.limits import Limits
from ftlab.models import ModelInfo
from ftlab.rules import Resolved, check, resolve
from ftlab.spec import ENGINES, FIELDS, KNOBS, Engine, JobSpec, parse

NOTES: dict[str, dict[Engine, str]] = {
    "model": {"local": "loaded from its folder or the hub", "together": "of the service's list"},
    "from_checkpoint": {
        "local": "an adapter on this machine, by its run or its folder",
        "together": "a job of the service",
    },
    "training_file": {
        "local": "read where it lies",
        "together": "uploaded first; its id stands in the request",
    },
    "validation_file": {
        "local": "read where it lies",
        "together": "uploaded first; its id stands in the request",
    },
    "batch_size": {
        "local": "rows, or with packing packs of them",
        "together": "sequences, packed full unless packing is off; max is the model's largest",
    },
    "max_seq_length": {
        "local": "longer rows are treated as over_length says; also the length of packs",
        "together": "also the length that rows are packed to, or billed as without packing",
    },
    "n_evals": {
        "local": "once more before the first step",
        "together": "each one is billed by the validation tokens",
    },
    "suffix": {"local": "part of the run folder's name", "together": "part of the model's name"},
}
"""What an engine does with a value beyond taking it."""
SERVICE_DECIDES = {
    "max_seq_length": "the model's own longest",
    "gradient_accumulation_steps": "the model's own default",
    "dpo_beta": "0.1",
    "random_seed": "42",
}
"""What the service does with fields that are not in the request (its OpenAPI file, 2026-04)."""


@dataclass(frozen=True, slots=True)
class Use:
    """What one engine does with one field."""

    honoured: bool
    """False when the engine has no such setting, or refuses this value."""
    value: Any
    """What it works with; None when it has none, or finds one itself."""
    note: str
    """Where the value comes from, what is done with it, or why it is refused."""


@dataclass(frozen=True, slots=True)
class FieldUse:
    """One field of a spec on both engines."""

    name: str
    given: bool
    """Whether a person gave it."""
    value: Any
    """As it stands in the spec; the field's default when it was left out."""
    uses: Mapping[Engine, Use]

    @property
    def differs(self) -> bool:
        """Whether the engines work with different values, or only one of them with any."""
        here, there = (self.uses[engine] for engine in ENGINES)
        return here.value != there.value or here.honoured != there.honoured

    @property
    def is_of_both(self) -> bool:
        """Whether both engines honour it."""
        return all(use.honoured for use in self.uses.values())

    @property
    def refused(self) -> tuple[Engine, ...]:
        """The engines that can't honour what a person asked for."""
        return tuple(e for e in ENGINES if self.given and not self.uses[e].honoured)


@dataclass(frozen=True, slots=True)
class SideBySide:
    """A spec as both engines see it."""

    fields: tuple[FieldUse, ...]
    """The fields that mean something for the training method, in the order of the form."""
    body: Mapping[str, Any]
    """The request that would be sent to the hosted service."""
    lost: list[Issue]
    """What a person asked for and the request can't say."""

    @property
    def different(self) -> tuple[FieldUse, ...]:
        """The fields whose values differ between the engines."""
        return tuple(field for field in self.fields if field.differs)

    @property
    def concerning(self) -> tuple[FieldUse, ...]:
        """Those of them that concern this job: given by a person, or a value of both engines."""
        return tuple(f for f in self.different if f.given or f.is_of_both)

    @property
    def one_sided(self) -> tuple[FieldUse, ...]:
        """The others: settings that only one engine has, and that nobody asked for."""
        return tuple(f for f in self.different if not (f.given or f.is_of_both))


def side_by_side(
    values: JobSpec | Mapping[str, Any],
    report: DataReport | None = None,
    info: ModelInfo | None = None,
    limits: Limits | None = None,
) -> SideBySide:
    """What each field becomes on each engine, and the hosted request, of the valid values.

    `limits` are the model's own on the service; without them its defaults are unknown.
    """
    given, _ = parse(values)
    issues = check(values, limits, report)
    found = {engine: resolve(given, report, info, engine) for engine in ENGINES}
    body, lost = to_body(found["together"].spec, limits)
    return SideBySide(
        fields=tuple(
            FieldUse(
                name=name,
                given=_is_given(given, name),
                value=getattr(given, name),
                uses={e: _use(name, e, given, found[e], issues) for e in ENGINES},
            )
            for name in FIELDS
            if given.training_method in KNOBS[name].methods or _is_given(given, name)
        ),
        body=body,
        lost=[issue for issue in lost if _is_given(given, issue.where)],
    )


def _is_given(spec: JobSpec, name: str) -> bool:
    """Whether a person asked for a value that leaving the field out would not mean."""
    return name in spec.model_fields_set and getattr(spec, name) != FIELDS[name].default


def _use(name: str, engine: Engine, given: JobSpec, resolved: Resolved, issues: list[Issue]) -> Use:
    refusal = next((i for i in issues if i.where == name and engine in i.blocks), None)
    value = getattr(resolved.spec, name)
    if refusal is not None:
        return Use(honoured=False, value=None, note=refusal.message)
    if engine not in KNOBS[name].providers:
        return Use(honoured=False, value=None, note="no such setting")
    if value is None and engine == "together" and name in SERVICE_DECIDES:
        return Use(honoured=True, value=None, note=f"the service decides: {SERVICE_DECIDES[name]}")
    origin = "" if _is_given(given, name) else resolved.reasons.get(name, "the default")
    note = "; ".join(filter(None, (origin, NOTES.get(name, {}).get(engine, ""))))
    return Use(honoured=True, value=value, note=note)
