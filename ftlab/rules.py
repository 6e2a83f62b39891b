"""check() and resolve(): what is wrong with a spec, and what was left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from ftlab.advice import EVALUATIONS, recommend
from ftlab.data.report import DataReport
from ftlab.issues import Issue, by_gravity
from ftlab.models import Limits, ModelInfo, read_info
from ftlab.rulebook import NO_LIMITS, RULES, refused_data
from ftlab.spec import Engine, JobSpec, parse


def check(
    values: JobSpec | Mapping[str, Any],
    limits: Limits | None = None,
    report: DataReport | None = None,
    *,
    validation: DataReport | None = None,
) -> list[Issue]:
    """Every problem of a spec at once, errors first; an engine is in `blocks` if it refuses.

    `values` may be a spec or plain keywords, valid or not. `limits` are those of the model on
    the engine; what is unknown in them is not checked. `report` and `validation` are scans of the
    data files. Neither files nor the model are opened here; `submit()` looks at all of them.
    """
    spec, issues = parse(values)
    bad_fields = {issue.where for issue in issues}
    for registered in RULES:
        found = registered.find(spec, limits or NO_LIMITS, report)
        issues += [replace(i, code=registered.name) for i in found if not _fields(i) & bad_fields]
    return by_gravity([*issues, *refused_data("validation_file", validation, report)])


def _fields(issue: Issue) -> set[str]:
    return {issue.where, *(issue.fix if isinstance(issue.fix, dict) else ())}


class Resolved(NamedTuple):
    """A spec with nothing left out."""

    spec: JobSpec
    reasons: dict[str, str]
    """Field → why it has this value, for every field that was filled in."""


def resolve(
    values: JobSpec | Mapping[str, Any],
    report: DataReport | None = None,
    info: ModelInfo | None = None,
    engine: Engine = "local",
) -> Resolved:
    """Fill what was left out, with a reason per value; nothing that was given changes.

    `batch_size="max"` becomes a number on the local engine; the service resolves it itself.
    Raises pydantic's ValidationError when a given value is no value for its field.
    """
    spec = values if isinstance(values, JobSpec) else JobSpec(**values)
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
        for name, advice in recommend(spec, report, info).items()
    }
    has_validation = spec.validation_file is not None or spec.validation_split is not None
    return {
        "batch_size": (16, "the number of rows is not known yet"),
        **advised,
        "lora_alpha": (2 * (spec.lora_r or advised["lora_r"][0]), "twice the rank, as on Together"),
        "gradient_accumulation_steps": (1, "a step is one batch"),
        "train_on_inputs": (
            "auto" if spec.training_method == "sft" else None,
            "only answers train, or all of plain text",
        ),
        "packing": (
            engine == "together",
            "Together's default" if engine == "together" else "the embedded trainer does not pack",
        ),
        "n_evals": (EVALUATIONS, "enough to see the curve turn")
        if has_validation
        else (0, "there is no validation data"),
        "random_seed": (42, "Together's default"),
    }
