"""check() and resolve(): what is wrong with a spec, and what was left out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from ftlab.advice import EVALUATIONS, recommend
from ftlab.data.report import DataReport
from ftlab.errors import InvalidSpec
from ftlab.html import Issues, escaped, table
from ftlab.issues import Issue, by_gravity
from ftlab.limits import Limits
from ftlab.models import ModelInfo, read_info
from ftlab.rulebook import NO_LIMITS, RULES, option_issues, refused_data
from ftlab.rulebook.options import HOSTED_OPTIONS
from ftlab.spec import FIELDS, Engine, JobSpec, parse

PLACES = {name: place for place, name in enumerate(FIELDS)}


def check(
    values: JobSpec | Mapping[str, Any],
    limits: Limits | Mapping[str, Any] | None = None,
    report: DataReport | None = None,
    *,
    validation: DataReport | None = None,
) -> list[Issue]:
    """Every problem of a spec at once, errors first; an engine is in `blocks` if it refuses.

    `values` may be a spec or plain keywords, valid or not, with the options of hosted jobs among
    them or without. `limits` are those of the model on the engine, or the service's own reply
    about them; what is unknown in them is not checked. `report` and `validation` are scans of the
    data files. Neither files nor the model are opened here; `submit()` looks at all of them.
    """
    given, issues = _without_options(values)
    spec, bad = parse(given)
    known = Limits.from_reply(limits) if isinstance(limits, Mapping) else limits or NO_LIMITS
    bad_names = {issue.where for issue in bad}
    for registered in RULES:
        found = registered.find(spec, known, report)
        issues += [
            replace(issue, code=registered.name)
            for issue in found
            if not (bad_names and _speaks_of(issue, bad_names))
        ]
    issues += [
        replace(issue, code="validation_data_is_accepted")
        for issue in refused_data("validation_file", validation, report)
    ]
    issues.sort(key=lambda issue: PLACES.get(issue.where, -1))
    return Issues(by_gravity([*bad, *issues]))


def _without_options(
    values: JobSpec | Mapping[str, Any],
) -> tuple[JobSpec | Mapping[str, Any], list[Issue]]:
    if not isinstance(values, Mapping):
        return values, []
    given = {name: value for name, value in values.items() if name not in HOSTED_OPTIONS}
    return given, list(option_issues(values))


def _speaks_of(issue: Issue, names: set[str]) -> bool:
    """Whether an issue takes one of these fields for left out while a bad value was given."""
    if not names.isdisjoint((issue.where, *(issue.fix if isinstance(issue.fix, dict) else ()))):
        return True
    # A name without an underscore is also a word: "the model takes 8 to 32".
    return any(
        re.search(rf"\b{re.escape(name)}{'' if '_' in name else ' is'}\b", issue.message)
        for name in names
    )


class Resolved(NamedTuple):
    """A spec with nothing left out."""

    spec: JobSpec
    reasons: dict[str, str]
    """Field → why it has this value, for every field that was filled in."""

    def _repr_html_(self) -> str:
        rows = (
            (escaped(name), escaped(value), escaped(self.reasons.get(name, "")))
            for name, value in self.spec.model_dump(exclude_none=True).items()
            if name in self.reasons or name in self.spec.model_fields_set
        )
        return table(("field", "value", "why, where it was left out"), rows)


def resolve(
    values: JobSpec | Mapping[str, Any],
    report: DataReport | None = None,
    info: ModelInfo | None = None,
    engine: Engine = "local",
) -> Resolved:
    """Fill what was left out, with a reason per value; nothing that was given changes.

    `batch_size="max"` becomes a number on the local engine; the service resolves it itself.
    Raises InvalidSpec when a given value is no value for its field.
    """
    spec, wrong = parse(values)
    if wrong:
        raise InvalidSpec(wrong)
    info = info or (read_info(spec.model) if spec.model else ModelInfo(name=""))
    fillings = {
        name: filling
        for name, filling in _fillings(spec, report, info, engine).items()
        if _is_left_out(spec, name, engine) and filling[0] is not None
    }
    filled = {name: value for name, (value, _) in fillings.items()}
    return Resolved(spec.changed(**filled), {name: why for name, (_, why) in fillings.items()})


def _is_left_out(spec: JobSpec, name: str, engine: Engine) -> bool:
    value = getattr(spec, name)
    return value is None or (name == "batch_size" and value == "max" and engine == "local")


def _fillings(
    spec: JobSpec, report: DataReport | None, info: ModelInfo, engine: Engine
) -> dict[str, tuple[Any, str]]:
    """Field → (value, reason) for every field that may be left out."""
    advised = {
        name: (advice.value, f"{advice.source}: {advice.why}")
        for name, advice in recommend(spec, report, info, engine).items()
    }
    held_back = spec.validation_split is not None and engine == "local"
    has_validation = spec.validation_file is not None or held_back
    # Without an adapter its settings would be refused; left to the service, it brings its own.
    has_adapter = spec.lora or (spec.lora is None and engine == "local")
    rank = spec.lora_r or (advised["lora_r"][0] if has_adapter else None)
    return {
        "batch_size": (16, "the number of rows is not known yet"),
        **advised,
        "lora": (engine == "local" or None, "the embedded trainer trains adapters"),
        "lora_r": advised["lora_r"] if has_adapter else (None, ""),
        "lora_alpha": (
            2 * rank if has_adapter and rank else None,
            "twice the rank, as on Together",
        ),
        "gradient_accumulation_steps": (1, "a step is one batch")
        if engine == "local"
        else (None, ""),
        "train_on_inputs": (
            "auto" if spec.training_method == "sft" else None,
            "only answers train, or all of plain text",
        ),
        "packing": (
            engine == "together",
            "Together's default"
            if engine == "together"
            else "the embedded trainer pads nothing, so that a step may as well take rows",
        ),
        "n_evals": (EVALUATIONS, "enough to see the curve turn")
        if has_validation
        else (0, "there is no validation data"),
        "random_seed": (42, "Together's default"),
    }
