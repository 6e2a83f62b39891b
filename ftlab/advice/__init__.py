"""Recommended values, each with a range, a source, a reason, and what others say.

Advice is opinion and says whose; what is certain is a rule (`rules.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ftlab.advice import adapter, amounts, optimiser
from ftlab.advice.adapter import LORA_RANK as LORA_RANK
from ftlab.advice.amounts import EVALUATIONS as EVALUATIONS
from ftlab.advice.case import ENOUGH_STEPS as ENOUGH_STEPS
from ftlab.advice.case import Case
from ftlab.advice.case import held_back_rows as held_back_rows
from ftlab.advice.case import setup_of as setup_of
from ftlab.advice.case import training_rows as training_rows
from ftlab.advice.case import training_sequences as training_sequences
from ftlab.data.report import DataReport
from ftlab.models import ModelInfo, read_info
from ftlab.recommendation import Other as Other
from ftlab.recommendation import Recommendation as Recommendation
from ftlab.recommendation import Recommendations as Recommendations
from ftlab.spec import KNOBS, LORA, Engine, JobSpec, parse

ROUNDS = 4  # epochs decide the batch, the batch the rate and the steps; then nothing moves
Adviser = Callable[[Case], Recommendation | None]

ADVISERS: dict[str, Adviser] = {
    "learning_rate": optimiser.rate,
    "n_epochs": amounts.n_epochs,
    "batch_size": amounts.batch_size,
    "max_seq_length": amounts.max_seq_length,
    "lora_r": adapter.rank,
    "lora_alpha": adapter.alpha,
    "lora_dropout": adapter.dropout,
    "lora_trainable_modules": adapter.modules,
    "warmup_ratio": optimiser.warmup,
    "lr_scheduler_type": optimiser.schedule,
    "min_lr_ratio": optimiser.lowest_rate,
    "weight_decay": optimiser.weight_decay,
    "max_grad_norm": optimiser.clipping,
    "n_evals": amounts.n_evals,
    "train_on_inputs": amounts.inputs,
    "dpo_beta": optimiser.beta,
}


def recommend(
    values: JobSpec | Mapping[str, Any],
    report: DataReport | None = None,
    info: ModelInfo | None = None,
    engine: Engine = "local",
) -> Recommendations:
    """What to choose by field: a value, a range, whose opinion it is, why, and what others say.

    It depends on the model (`info`), on the data (`report`) and on the spec itself: the rate goes
    with rank, alpha and batch, and the service packs rows. Fields that mean nothing for the spec's
    method are left out, and of given values those that are none. Without `info` the model's own
    files and the catalogue say what is known of it.
    """
    spec, _ = parse(values)
    if info is None:
        info = read_info(spec.model) if spec.model else ModelInfo(name="")
    case = Case(spec, info, report, engine)
    found = {name: advise(case) for name, advise in ADVISERS.items() if _belongs(name, spec)}
    return Recommendations((name, advice) for name, advice in found.items() if advice is not None)


def recommend_all(
    spec: JobSpec,
    report: DataReport | None = None,
    info: ModelInfo | None = None,
    engine: Engine = "local",
) -> Recommendations:
    """What to choose for a spec that takes every recommendation: values that fit each other.

    `recommend()` answers for the spec as it stands. Here each field that was left out stands as
    recommended (the rate is that of the recommended batch and rank); given ones stay as they are.
    """
    given = spec.model_dump(exclude_unset=True)
    found = recommend(spec, report, info, engine)
    for _ in range(ROUNDS):
        taken = {name: advice.value for name, advice in found.items() if name not in given}
        again = recommend(JobSpec(**{**given, **taken}), report, info, engine)
        if again == found:
            break
        found = again
    return found


def _belongs(name: str, spec: JobSpec) -> bool:
    of_adapter = KNOBS[name].group == LORA
    return spec.training_method in KNOBS[name].methods and not (of_adapter and spec.lora is False)
