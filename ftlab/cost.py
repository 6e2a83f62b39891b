"""estimate(): tokens, steps, adapter, time and memory of a job, each with its basis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ftlab.advice import training_rows
from ftlab.data.report import DataReport
from ftlab.devices import Device, detect
from ftlab.html import short
from ftlab.models import ModelInfo, read_info
from ftlab.rules import resolve
from ftlab.schedule import PIECE_TOKENS, total_steps
from ftlab.spec import JobSpec, module_names, parse

Range = tuple[float, float]
GIB = 2**30

# What tests/benchmarks/estimates.py measured on 2 cores of an AMD EPYC (2026-11): 75e9 operations
# per second and core in fp32 on Llamas of 50 and 210 million parameters, 40e9 beside another busy
# process. The range leaves room for older and newer processors.
CPU_CORE_FLOPS: Range = (15e9, 100e9)
# 20 to 45 % of the peak that makers give for bf16 on consumer and data-centre GPUs; not measured.
GPU_FLOPS: Range = (15e12, 350e12)
# What a step and a start take whatever the size. CPU: the demo job, idle and busy; GPU: a guess.
STEP_SECONDS: dict[str, Range] = {"cpu": (0.02, 0.12), "cuda": (0.03, 0.15)}
START_SECONDS: Range = (2, 15)
# Per token and layer, in elements of the hidden width and of the feed-forward width, for LoRA on
# all linear layers; and copies of the logits: what autograd keeps for the backward pass of a
# Llama. With the spread below, the peaks of the same benchmark lie within the range.
ACTIVATIONS_HIDDEN, ACTIVATIONS_FEED_FORWARD, LOGIT_COPIES = 7.25, 4.0, 5.1
# The process with torch, transformers and peft loaded. CPU measured, GPU a guess.
PROCESS_BYTES: dict[str, Range] = {"cpu": (0.35 * GIB, 0.6 * GIB), "cuda": (0.6 * GIB, 1.6 * GIB)}
MEMORY_SPREAD: Range = (0.85, 1.4)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a job will take; None is unknown. Ranges are (low, high)."""

    train_tokens: int | None = None
    """Tokens that go through the model for training, over all epochs."""
    eval_tokens: int | None = None
    n_steps: int | None = None
    trainable_params: int | None = None
    trainable_share: float | None = None
    adapter_bytes: int | None = None
    price: Range | None = None
    """US dollars on the hosted service; None when no rate is known."""
    duration: Range | None = None
    """Seconds on `device`."""
    memory: Range | None = None
    """Bytes on `device`, peak."""
    device: Device | None = None
    incomplete: bool = False
    """Some fields are wrong; the figures are those of the valid ones."""
    basis: tuple[str, ...] = ()

    def in_words(self) -> dict[str, str]:
        """What a person reads: each figure with its unit."""
        return {
            "steps": _count(self.n_steps),
            "tokens": _count(self.train_tokens),
            "adapter": _adapter_in_words(self),
            "time": duration_in_words(self.duration),
            "memory": _gib(self),
            "price": "none: it trains on this machine",
        }


def estimate(
    values: JobSpec | Mapping[str, Any],
    report: DataReport | None = None,
    info: ModelInfo | None = None,
    *,
    validation: DataReport | None = None,
    device: Device | None = None,
) -> Estimate:
    """What a job will take on this machine, from the fields that are valid.

    `report` and `validation` are scans of the two files with the model's tokenizer.
    """
    given, issues = parse(values)
    info = info or (read_info(given.model) if given.model else ModelInfo(name=""))
    spec = resolve(given, report, info).spec
    sizes = _data_sizes(spec, report, validation)
    adapter = _adapter(spec, info)
    found = Estimate(
        train_tokens=sizes.train_tokens,
        eval_tokens=sizes.eval_tokens,
        n_steps=sizes.n_steps,
        trainable_params=adapter,
        trainable_share=adapter / info.n_params if adapter and info.n_params else None,
        adapter_bytes=None if adapter is None else 4 * adapter,
        device=device or detect()[0],
        incomplete=bool(issues),
        basis=(*sizes.basis, *_adapter_basis(spec, adapter)),
    )
    return _with_memory(_with_duration(found, info), spec, info, report)


# --- data ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Sizes:
    n_steps: int | None = None
    train_tokens: int | None = None
    eval_tokens: int | None = None
    basis: tuple[str, ...] = ()


def _data_sizes(spec: JobSpec, report: DataReport | None, validation: DataReport | None) -> _Sizes:
    n_rows = training_rows(spec, report)
    if report is None or n_rows is None:
        return _Sizes(basis=("The data is not scanned yet.",))
    per_step = int(spec.batch_size) * (spec.gradient_accumulation_steps or 1)
    n_steps = total_steps(n_rows, per_step, spec.n_epochs, spec.max_steps)
    basis = [f"{n_rows:,} rows ÷ {per_step} per step × {spec.n_epochs} epochs → {n_steps:,} steps"]
    if report.tokens is None:
        return _Sizes(n_steps, basis=(*basis, "Tokens are not counted without the model."))
    per_row = report.tokens.total_within(spec.max_seq_length) / max(report.n_rows, 1)
    rows_seen = min(n_rows * spec.n_epochs, n_steps * per_step)
    basis.append(f"{per_row:,.0f} tokens per row × {rows_seen:,} rows seen")
    return _Sizes(
        n_steps,
        round(per_row * rows_seen),
        _eval_tokens(spec, report, validation, per_row, basis),
        tuple(basis),
    )


def _eval_tokens(
    spec: JobSpec,
    report: DataReport,
    validation: DataReport | None,
    per_row: float,
    basis: list[str],
) -> int | None:
    """Once before the first step, then n_evals times."""
    if not spec.n_evals:
        return 0
    if spec.validation_split:
        tokens = report.n_rows * spec.validation_split * per_row
    elif validation is not None and validation.tokens is not None:
        tokens = validation.tokens.total_within(spec.max_seq_length)
    else:
        basis.append("The validation file is not scanned, so its tokens are not counted.")
        return None
    basis.append(f"{tokens:,.0f} validation tokens × {spec.n_evals + 1} evaluations")
    return round(tokens * (spec.n_evals + 1))


# --- adapter ---------------------------------------------------------------------------------


def _adapter(spec: JobSpec, info: ModelInfo) -> int | None:
    """Trainable parameters of the adapter: rank × (inputs + outputs) over its layers."""
    if spec.lora is False:
        return info.n_params
    if not info.lora_params_per_rank or spec.lora_r is None:
        return None
    wanted = module_names(spec.lora_trainable_modules)
    chosen = {
        name: per_rank
        for name, per_rank in info.lora_params_per_rank.items()
        if (wanted == ("all-linear",) or name in wanted) and name not in spec.lora_exclude_modules
    }
    return spec.lora_r * sum(chosen.values())


def _adapter_basis(spec: JobSpec, adapter: int | None) -> tuple[str, ...]:
    if adapter is None:
        return ("The model's files are not here, so its layers are unknown.",)
    if spec.lora is False:
        return ("All weights train.",)
    return (f"Adapter: rank {spec.lora_r} × inputs and outputs of {_layers(spec)}, in fp32",)


def _layers(spec: JobSpec) -> str:
    names = module_names(spec.lora_trainable_modules)
    return "all linear layers" if names == ("all-linear",) else ", ".join(names)


# --- time and memory -------------------------------------------------------------------------


def _kind(device: Device) -> str:
    return device.name.partition(":")[0]


def _with_duration(found: Estimate, info: ModelInfo) -> Estimate:
    """Operations ÷ throughput, plus what every step and every start takes whatever its size.

    A token takes 4 operations per frozen parameter and 6 per trained one when training with
    LoRA, and 2 in an evaluation (the usual count of multiply-adds, attention left out).
    """
    device = found.device
    if device is None or found.train_tokens is None or not info.n_params or not found.n_steps:
        return found
    operations = found.train_tokens * (4 * info.n_params + 6 * (found.trainable_params or 0))
    operations += (found.eval_tokens or 0) * 2 * info.n_params
    slow, fast = GPU_FLOPS
    if _kind(device) == "cpu":
        slow, fast = (flops * device.n_cores for flops in CPU_CORE_FLOPS)
    step_low, step_high = STEP_SECONDS[_kind(device)]
    low = operations / fast + found.n_steps * step_low + START_SECONDS[0]
    high = operations / slow + found.n_steps * step_high + START_SECONDS[1]
    line = f"Time: {operations:.2g} operations on {device.title}, not measured on this machine yet"
    return replace(found, duration=(low, high), basis=(*found.basis, line))


def _with_memory(
    found: Estimate, spec: JobSpec, info: ModelInfo, report: DataReport | None
) -> Estimate:
    """Weights, adapter with gradients and AdamW states, activations and logits of one piece."""
    device = found.device
    known = info.n_params and info.hidden_size and info.n_layers and info.vocab_size
    if device is None or not known or found.trainable_params is None:
        return found
    on_cpu = _kind(device) == "cpu"
    weights = (4 if on_cpu else 2) * (info.n_params or 0)
    training = 16 * found.trainable_params  # fp32 weight, gradient and two moments
    tokens = _piece_tokens(spec, report)
    per_token = (info.n_layers or 0) * (
        ACTIVATIONS_HIDDEN * (info.hidden_size or 0)
        + ACTIVATIONS_FEED_FORWARD * (info.intermediate_size or 4 * (info.hidden_size or 0))
    )
    activations = tokens * per_token * (4 if on_cpu else 2)
    logits = tokens * (info.vocab_size or 0) * 4 * LOGIT_COPIES
    size = weights + training + activations + logits
    low, high = (
        size * spread + base
        for spread, base in zip(MEMORY_SPREAD, PROCESS_BYTES[_kind(device)], strict=True)
    )
    line = (
        f"Memory: weights {weights / GIB:.2g}, adapter {training / GIB:.2g}, activations and "
        f"logits of {tokens:,} tokens {(activations + logits) / GIB:.2g} GiB, and the process"
    )
    return replace(found, memory=(low, high), basis=(*found.basis, line))


def _piece_tokens(spec: JobSpec, report: DataReport | None) -> int:
    """Tokens that are in memory at once: rows of a batch, padded, up to the trainer's limit."""
    longest = spec.max_seq_length or PIECE_TOKENS
    if report is not None and report.tokens is not None:
        longest = min(longest, report.tokens.longest)
    return max(longest, min(int(spec.batch_size) * longest, PIECE_TOKENS))


# --- words -----------------------------------------------------------------------------------


def _count(value: int | None) -> str:
    return "unknown" if value is None else short(value)


def _adapter_in_words(found: Estimate) -> str:
    if found.trainable_params is None or found.adapter_bytes is None:
        return "unknown"
    share = f" ({found.trainable_share:.2%} of the model)" if found.trainable_share else ""
    return f"{short(found.trainable_params)} parameters{share}, {_bytes(found.adapter_bytes)}"


def _bytes(n: float) -> str:
    for unit, size in {"GiB": 2**30, "MiB": 2**20}.items():
        if n >= size:
            return f"{n / size:.3g} {unit}"
    return f"{n / 1024:.3g} KiB"


def duration_in_words(duration: tuple[float, float] | None) -> str:
    """A range of time, each end in its own unit: "26 s to 2.7 min", "38 to 46 min"."""
    if duration is None:
        return "unknown"
    (low, low_unit), (high, high_unit) = map(_in_unit, duration)
    unit = "" if low_unit == high_unit else f" {low_unit}"
    return f"{_two_digits(low)}{unit} to {_two_digits(high)} {high_unit}"


def _two_digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"


def _in_unit(seconds: float) -> tuple[float, str]:
    for unit, size in {"days": 86400, "h": 3600, "min": 60}.items():
        if seconds >= 1.5 * size:
            return seconds / size, unit
    return seconds, "s"


def _gib(found: Estimate) -> str:
    if found.memory is None or found.device is None:
        return "unknown"
    low, high = (n / GIB for n in found.memory)
    there = found.device.memory_bytes / GIB
    fits = "fits" if high < there else "tight" if low < there else "does not fit"
    return f"{low:.2g} to {high:.2g} GiB of {there:.3g} on the {found.device.title}: {fits}"
