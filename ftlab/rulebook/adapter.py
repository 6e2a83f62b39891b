"""LoRA: the adapter's own settings."""

from __future__ import annotations

from collections.abc import Iterator

from ftlab.advice import LORA_RANK
from ftlab.data.report import DataReport
from ftlab.issues import Issue, shown
from ftlab.limits import Limits
from ftlab.rulebook.registry import advice, error, is_set, rule
from ftlab.spec import HOSTED, KNOBS, LORA, JobSpec, is_pattern, may_mean, module_names

ALPHA_PER_RANK = 4  # NeMo's guide: above 4 times the rank is rarely good
ADAPTER_FIELDS = tuple(
    name
    for name, knob in KNOBS.items()
    if knob.group == LORA and name not in ("lora", "train_vision")
)


@rule(lora=False, lora_r=8)
def adapter_fields_need_lora(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """Settings of an adapter do nothing when there is none, or when the service decides."""
    if spec.lora:
        return
    for name in ADAPTER_FIELDS:
        if not is_set(spec, name):
            continue
        value = shown(getattr(spec, name))
        if spec.lora is False:
            text = f"{name} is {value} and lora is False; without an adapter it does nothing."
            yield error(name, f"{text} Leave it out, or set lora to True.", fix={name: None})
        else:
            text = f"{name} is {value} and lora is left to the service, which then ignores it."
            yield advice("warning", name, f"{text} Set lora to True.", fix={"lora": True})


@rule(limits=Limits(lora_trainable_modules=("q_proj", "v_proj")), lora_trainable_modules="q_pro")
def modules_exist(spec: JobSpec, limits: Limits, report: DataReport | None) -> Iterator[Issue]:
    """An adapter on a layer that is not there would train nothing."""
    known = limits.lora_trainable_modules
    wanted = module_names(spec.lora_trainable_modules)
    if not wanted:
        yield error(
            "lora_trainable_modules",
            "lora_trainable_modules names no layer; an adapter needs at least one. Use all-linear.",
            fix={"lora_trainable_modules": "all-linear"},
        )
    if not known or spec.lora_trainable_modules == "all-linear":
        return
    missing = [name for name in wanted if not any(may_mean(name, layer) for layer in known)]
    if missing:
        yield error(
            "lora_trainable_modules",
            f"lora_trainable_modules names {', '.join(missing)}; {spec.model or 'the model'} has "
            f"{', '.join(known)}. Use those names, or all-linear.",
            limits.engines,
            fix={"lora_trainable_modules": "all-linear"},
        )


@rule(lora_trainable_modules="*_proj")
def hosted_layers_have_names(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """The service takes a layer's own name."""
    patterns = [name for name in module_names(spec.lora_trainable_modules) if is_pattern(name)]
    if patterns:
        yield error(
            "lora_trainable_modules",
            f"lora_trainable_modules has {', '.join(patterns)}; hosted jobs take names without "
            "wildcards. Use all-linear, or the names.",
            HOSTED,
            fix={"lora_trainable_modules": "all-linear"},
        )


@rule(lora_r=8, lora_alpha=256)
def alpha_far_from_rank(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """The update is scaled by alpha / rank, as a learning rate would."""
    if not spec.lora_alpha or not spec.lora or spec.use_rslora:
        return
    rank = spec.lora_r or limits.default_lora_r or LORA_RANK
    times = spec.lora_alpha / rank
    if not 1 <= times <= ALPHA_PER_RANK:
        yield advice(
            "warning",
            "lora_alpha",
            f"lora_alpha is {times:.2g} times lora_r; 1 to {ALPHA_PER_RANK} times is usual, and "
            f"more acts like a higher learning rate. Use {2 * rank}.",
            fix={"lora_alpha": 2 * rank},
        )


@rule(use_dora=True)
def dora_needs_memory(spec: JobSpec, limits: Limits, report: DataReport | None) -> Iterator[Issue]:
    """It keeps the products of every layer for its norms."""
    if spec.use_dora and spec.lora:
        # Saved tensors of a Llama with peft 0.21: 41.3 against 18.0 per token, layer and width.
        yield advice(
            "tip",
            "use_dora",
            "use_dora is True; DoRA keeps about 2.3 times the activations of plain LoRA, or the "
            "same with gradient_checkpointing. Turn that on where memory is short.",
        )
