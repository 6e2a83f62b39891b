"""SFT and DPO: what belongs to which, and what their settings do to each other."""

from __future__ import annotations

from collections.abc import Iterator

from ftlab.data.report import DataReport
from ftlab.issues import Issue, shown
from ftlab.limits import Limits
from ftlab.rulebook.registry import advice, error, is_set, rule
from ftlab.spec import KNOBS, JobSpec

DPO_FIELDS = tuple(name for name, knob in KNOBS.items() if knob.methods == ("dpo",))
USUAL_BETA = (0.05, 0.9)  # docs.together.ai, preference fine-tuning (2026-08)
SET_BY_SIMPO = {
    "dpo_reference_free": "works without a reference",
    "dpo_normalize_logratios_by_length": "divides by the length",
}


@rule(dpo_beta=0.1)
def preference_fields_need_dpo(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """Fields of the preference loss do nothing in SFT."""
    if spec.training_method == "dpo":
        return
    for name in DPO_FIELDS:
        if is_set(spec, name):
            yield error(
                name,
                f"{name} is {shown(getattr(spec, name))} and training_method is sft; it takes "
                "effect only with dpo. Leave it out, or use dpo.",
                fix={name: None},
            )


@rule(training_method="dpo", train_on_inputs=True)
def inputs_train_only_in_sft(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """DPO never trains the input."""
    if spec.training_method == "dpo" and spec.train_on_inputs is not None:
        yield error(
            "train_on_inputs",
            f"train_on_inputs is {spec.train_on_inputs!r} and training_method is dpo; only sft "
            "knows it. Leave it out.",
            fix={"train_on_inputs": None},
        )


@rule(training_method="dpo", simpo_gamma=0.5, rpo_alpha=1.0)
def simpo_replaces_the_reference(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """SimPO and RPO are two different losses."""
    if spec.simpo_gamma and spec.rpo_alpha:
        yield advice(
            "warning",
            "rpo_alpha",
            f"simpo_gamma is {spec.simpo_gamma:g} and rpo_alpha is {spec.rpo_alpha:g}; SimPO works "
            "without reference and is not meant to be mixed with RPO. Leave one out.",
            fix={"rpo_alpha": None},
        )


@rule(training_method="dpo", simpo_gamma=0.5, dpo_reference_free=False)
def simpo_decides_for_itself(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """A margin above 0 turns two more settings on, whatever they say."""
    if not spec.simpo_gamma:
        return
    for name, what in SET_BY_SIMPO.items():
        if name in spec.model_fields_set and getattr(spec, name) is False:
            yield advice(
                "warning",
                name,
                f"{name} is False and simpo_gamma is {spec.simpo_gamma:g}; SimPO always {what}. "
                f"Leave {name} out, or simpo_gamma.",
                fix={name: None},
            )


@rule(training_method="dpo", dpo_beta=5.0)
def beta_is_usual(spec: JobSpec, limits: Limits, report: DataReport | None) -> Iterator[Issue]:
    """Far from the usual, DPO stands still or runs away from the reference."""
    beta, (low, high) = spec.dpo_beta, USUAL_BETA
    if spec.simpo_gamma or beta is None or low <= beta <= high:
        return  # SimPO's own beta is of another size, 2 to 10 in its paper (2405.14734)
    yield advice(
        "tip",
        "dpo_beta",
        f"dpo_beta is {beta:g}; {low:g} to {high:g} is usual (Together's guide): less follows the "
        "preferences further, more holds to the reference. Start from 0.1.",
        fix={"dpo_beta": 0.1},
    )
