"""What the model on its engine allows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ftlab.data.report import DataReport
from ftlab.issues import Issue
from ftlab.limits import Limits
from ftlab.rulebook.registry import advice, error, rule
from ftlab.spec import JobSpec

Bounds = tuple[float | None, float | None]


@rule(limits=Limits(max_lora_r=64, source="example"), lora_r=128)
def within_limits(spec: JobSpec, limits: Limits, report: DataReport | None) -> Iterator[Issue]:
    """Numbers that the model or the engine bounds."""
    for name, (low, high) in _bounds(spec, limits).items():
        value = getattr(spec, name)
        if value is None or value == "max":
            continue
        is_low, is_high = low is not None and value < low, high is not None and value > high
        if is_low or is_high:
            nearest = low if is_low else high
            choice = f'{nearest} or "max"' if name == "batch_size" else nearest
            yield _outside(
                limits,
                name,
                f"{name} is {value}; {_who(spec)} takes {_span(low, high)}{_source(limits)}. "
                f"Use {choice}.",
                fix={name: nearest},
            )


def _bounds(spec: JobSpec, limits: Limits) -> dict[str, Bounds]:
    """Field → least and most."""
    bounds: dict[str, Bounds] = {
        "learning_rate": (limits.min_learning_rate, limits.max_learning_rate),
        "n_epochs": (None, limits.max_n_epochs),
        "n_evals": (None, limits.max_n_evals),
        "n_checkpoints": (None, limits.max_n_checkpoints),
        "max_seq_length": (
            limits.min_max_seq_length,
            limits.longest_sequence(spec.training_method),
        ),
    }
    if spec.lora is not None:  # else the service chooses the kind of training, and its sizes
        bounds["batch_size"] = limits.batch_sizes(spec.training_method, lora=spec.lora)
    if spec.lora:
        bounds["lora_r"] = (None, limits.max_lora_r)
    return bounds


@rule(limits=Limits(full=False, source="example"), lora=False)
def kind_of_training_is_offered(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """Some models train only adapters, a few only all weights."""
    if spec.lora is False and limits.full is False:
        yield _outside(
            limits,
            "lora",
            f"lora is False; {_who(spec)} trains adapters only{_source(limits)}. Set lora to True.",
            fix={"lora": True},
        )
    if spec.lora and limits.lora is False:
        yield _outside(
            limits,
            "lora",
            f"lora is True; {_who(spec)} trains only all weights{_source(limits)}. "
            "Set lora to False.",
            fix={"lora": False},
        )


@rule(limits=Limits(vision=False, source="example"), train_vision=True)
def vision_needs_a_vision_model(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """There must be an encoder of images to train."""
    if spec.train_vision and limits.vision is False:
        yield _outside(
            limits,
            "train_vision",
            f"train_vision is True; {_who(spec)} sees no images{_source(limits)}. Leave it out, "
            "or choose a vision model.",
            fix={"train_vision": None},
        )


def _outside(limits: Limits, name: str, message: str, fix: dict[str, Any]) -> Issue:
    """Refused by limits that were read just now; limits that somebody wrote down once may have
    changed since, so that they only warn."""
    if limits.as_of:
        return advice("warning", name, message, fix)
    return error(name, message, limits.engines, fix)


def _who(spec: JobSpec) -> str:
    return spec.model or spec.from_checkpoint or "the model"


def _span(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f"{low} to {high}" if low != high else f"{low} only"
    return f"at least {low}" if high is None else f"at most {high}"


def _source(limits: Limits) -> str:
    return f" ({limits.told()})" if limits.source else ""
