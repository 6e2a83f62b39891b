"""estimate(): tokens, steps, adapter, time, memory and price of a job, each with its basis."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

from pydantic import ValidationError

from ftlab.data.guess import SPREAD
from ftlab.data.report import DataReport
from ftlab.data_sizes import data_sizes
from ftlab.devices import Device, detect
from ftlab.estimated import Estimate
from ftlab.fits import CHECKPOINTING, SHARD, in_gib, memory_advice
from ftlab.html import short
from ftlab.job import LocalOptions
from ftlab.local_plan import LocalPlan, local_plan, trained_params
from ftlab.measured import Measurement, find, slowness
from ftlab.memory import GIB as GIB
from ftlab.memory import Parts, two_digits
from ftlab.models import ModelInfo, read_info
from ftlab.origin import started
from ftlab.pieces import StepRows
from ftlab.prices import Price, hosted_price
from ftlab.rules import resolve
from ftlab.running_costs import endpoint_price, local_price
from ftlab.spec import JobSpec, module_names, parse
from ftlab.timing import (
    Range,
    Work,
    evaluation_work,
    speed_of,
    training_work,
)

LOCAL_AMOUNTS = ("validation_split", "max_train_rows", "max_steps")
NO_ROOM = "does not fit"
SAVING = {
    CHECKPOINTING: "Memory: with gradient checkpointing",
    SHARD: "Memory: with the model divided among the GPUs",
}
"""Option → what begins the line that says why it is on."""
LOOK_EVERY = 5  # seconds between two looks at the devices
# Ends of a range as shares of the estimate. CPU: the runs of tests/benchmarks/estimates.py lie
# within; GPUs: not measured.
MEMORY_SPREAD: dict[str, Range] = {"cpu": (0.85, 1.18), "cuda": (0.75, 1.35), "mps": (0.75, 1.5)}
MEASURED_MEMORY: Range = (0.95, 1.07)  # a run's memory falls to pieces with its steps
MEASURED_TIME: Range = (0.88, 1.15)
SAME_MODEL_TIME: Range = (0.7, 1.45)
SAME_MACHINE_TIME: Range = (0.5, 2.0)


def estimate(
    values: JobSpec | Mapping[str, Any],
    report: DataReport | None = None,
    info: ModelInfo | None = None,
    *,
    validation: DataReport | None = None,
    device: Device | None = None,
    options: LocalOptions | Mapping[str, Any] | None = None,
) -> Estimate:
    """What a job will take on this machine, and hosted, from the fields that are valid.

    `report` and `validation` are scans of the two files with the model's tokenizer; `options` are
    those of the local provider. Memory and time are those of a probe where there was one of this
    very job.
    """
    given, issues = parse(values)
    here = started(given).spec
    info = info or (read_info(here.model) if here.model else ModelInfo(name=""))
    spec = resolve(here, report, info).spec
    chosen = _options(options)
    where = device or _device(chosen)
    sizes = data_sizes(spec, report, validation)
    trained = trained_params(spec, info)
    found = Estimate(
        train_tokens=sizes.train_tokens,
        eval_tokens=sizes.eval_tokens,
        n_steps=sizes.n_steps,
        trainable_params=trained,
        trainable_share=trained / info.n_params if trained and info.n_params else None,
        adapter_bytes=None if trained is None else 4 * trained,
        device=where,
        incomplete=bool(issues),
        guessed=sizes.guessed,
        basis=(*sizes.basis, _adapter_basis(spec, trained)),
    )
    plan = local_plan(spec, info, where, chosen, report, validation)
    if plan is not None:
        plan, found = _fitting(plan, found, chosen)
        found = _with_duration(found, plan, sizes.reference_tokens)
    found = _with_price(found, given, spec, info, sizes.once, report, validation)
    return _with_running_costs(found, info, chosen)


def _options(given: LocalOptions | Mapping[str, Any] | None) -> LocalOptions:
    """The valid ones of the options; what is wrong with the others is said elsewhere."""
    if isinstance(given, LocalOptions):
        return given
    values = dict(given or {})
    try:
        return LocalOptions.model_validate(values)
    except ValidationError as error:
        wrong = {problem["loc"][0] for problem in error.errors() if problem["loc"]}
        kept = {name: value for name, value in values.items() if name not in wrong}
        return LocalOptions.model_validate(kept)


def _device(options: LocalOptions) -> Device:
    """The chosen one, or the best there is."""
    known = _devices(int(time.monotonic() / LOOK_EVERY))
    return next((device for device in known if device.name == options.device), known[0])


@lru_cache(maxsize=1)  # the form asks with every key that is pressed, and a GPU answers slowly
def _devices(_now: int) -> list[Device]:
    return detect()


# --- adapter ---------------------------------------------------------------------------------


def _adapter_basis(spec: JobSpec, trained: int | None) -> str:
    if trained is None:
        return "Adapter: the model's files are not here, so its layers are unknown"
    if spec.lora is False:
        return "Adapter: none, all weights train, and are saved in fp32"
    scales = ", and a scale per output" if spec.use_dora else ""
    names = module_names(spec.lora_trainable_modules)
    layers = "all linear layers" if names == ("all-linear",) else ", ".join(names)
    return f"Adapter: rank {spec.lora_r} × inputs and outputs of {layers}{scales}, in fp32"


# --- memory, time and price ------------------------------------------------------------------


def _fitting(plan: LocalPlan, given: Estimate, chosen: LocalOptions) -> tuple[LocalPlan, Estimate]:
    """The plan with its memory; with gradient checkpointing, the model divided, or both, where that
    is left open and the device has room for the job with it alone, whatever else is in use there
    now."""
    found = _with_memory(given, plan)
    advised = (found.advice.fix if found.advice is not None else None) or ()
    if found.fits != NO_ROOM or found.memory is None:
        return plan, found
    for names in _left_open(plan, chosen, advised):
        fewer = plan.changed(**dict.fromkeys(names, True))
        less = _with_memory(given, fewer)
        if less.fits != NO_ROOM:
            why = [f"{SAVING[name]}; without it, {in_gib(found.memory)}" for name in names]
            return fewer, replace(less, basis=(*less.basis, *why))
    return plan, found


def _left_open(
    plan: LocalPlan, chosen: LocalOptions, advised: Collection[str]
) -> Iterator[tuple[str, ...]]:
    """What may be on together, the cheapest first; nothing where less is advised."""
    checkpointing = (CHECKPOINTING,) if chosen.gradient_checkpointing is None else ()
    shard = (SHARD,) if chosen.shard is None and plan.may_be_sharded else ()
    if not {CHECKPOINTING, SHARD} & {*advised}:
        return
    yield from filter(None, dict.fromkeys((checkpointing, shard, (*checkpointing, *shard))))


def _with_memory(given: Estimate, plan: LocalPlan) -> Estimate:
    found = replace(given, measured=find(plan.settings))
    parts, measured = plan.parts, found.measured
    what = f"{parts.in_words()}, for up to {plan.largest.tokens:,.0f} tokens at once"
    if plan.n_devices > 1:
        what = f"on each of {plan.n_devices} GPUs {what}"
    if plan.is_sharded:
        what = f"{what}, of the model a share of 1/{plan.n_processes} and what is gathered"
    ranged = partial(_range_of, spread=_guess(MEMORY_SPREAD[plan.setup.kind], found))
    if measured is not None:
        one = plan.alone
        seen = max(measured.peak_bytes - one.certain, 0.0) / (one.total - one.certain)
        low, high = MEASURED_MEMORY
        ranged = partial(_range_of, spread=(low * seen, high * seen))
        what = f"{_measured_on(measured)}; by the formula {what}"
    return replace(
        found,
        memory=ranged(parts),
        parts=parts,
        gradient_checkpointing=plan.setup.checkpointing,
        shard=plan.is_sharded,
        advice=memory_advice(plan, ranged),
        basis=(*found.basis, f"Memory: {what}"),
    )


def _range_of(parts: Parts, spread: Range) -> Range:
    """What follows from the model is certain; the rest lies between these shares of the formula."""
    open_part = parts.total - parts.certain
    return (parts.certain + spread[0] * open_part, parts.certain + spread[1] * open_part)


def _with_duration(found: Estimate, plan: LocalPlan, reference_tokens: int) -> Estimate:
    if found.train_tokens is None or not found.n_steps or found.device is None:
        return found
    n = plan.n_devices
    passed = _forward_work(plan, plan.rows, reference_tokens / n)
    seconds, spread, why = _duration(found, plan, found.train_tokens / n, found.n_steps, passed)
    if found.measured is not None and reference_tokens:
        rate = found.measured.reference_tokens_per_second
        seconds += reference_tokens / n / rate if rate else _by_formula(found, plan, passed)
    if n > 1:
        why = f"{n} GPUs, each with its share of the rows; {why}"
    if plan.is_sharded:
        why = f"{why}; gathering the layers takes more, which is not known"
    low, high = _guess(spread, found)
    return replace(
        found, duration=(seconds * low, seconds * high), basis=(*found.basis, f"Time: {why}")
    )


def _duration(
    found: Estimate, plan: LocalPlan, train_tokens: float, n_steps: int, reference: Work
) -> tuple[float, Range, str]:
    """Seconds, the ends of the range as shares of them, and what they rest on.

    The `reference` is a part of what is worked out, not of what was measured.
    """
    speed = speed_of(plan.setup.kind, plan.device.n_cores)
    training = training_work(plan.decoder, plan.setup, plan.rows) * train_tokens
    training += Work(steps=n_steps)
    eval_tokens = (found.eval_tokens or 0) / plan.n_devices
    evaluating = _forward_work(plan, plan.validation, eval_tokens)
    measured = found.measured
    if measured is not None:
        total = measured.start_seconds + measured.end_seconds
        total += train_tokens * measured.step_seconds / measured.step_tokens
        rate = measured.eval_tokens_per_second
        by_formula = _by_formula(found, plan, evaluating)
        total += eval_tokens / rate if rate else by_formula
        return total, MEASURED_TIME, f"{_measured_on(measured)}, {_pace(measured)}"
    work = training + evaluating + reference
    seconds = speed.seconds(work)
    what = f"{work.operations:.2g} operations on {plan.device.title}"
    ratio = slowness(plan.settings)
    if ratio is None:
        return seconds + speed.start, speed.spread, f"{what}, not measured on this machine yet"
    share, same_model = ratio
    spread = SAME_MODEL_TIME if same_model else SAME_MACHINE_TIME
    of = "this model with other settings" if same_model else "another model"
    return share * seconds + speed.start, spread, f"{what}, as fast as a probe of {of} was"


def _by_formula(found: Estimate, plan: LocalPlan, work: Work) -> float:
    """Seconds for what a probe did not do, on a machine as fast as the probe was."""
    speed = speed_of(plan.setup.kind, plan.device.n_cores)
    slowness = found.measured.slowness if found.measured is not None else None
    return (slowness or 1) * speed.seconds(work)


def _forward_work(plan: LocalPlan, rows: StepRows | None, tokens: float) -> Work:
    """So many tokens of such rows, without training."""
    if not tokens or rows is None:
        return Work()
    return evaluation_work(plan.decoder, plan.setup, rows) * tokens


def _measured_on(measured: Measurement) -> str:
    return f"measured on {measured.n_steps} steps of this machine, {measured.at}"


def _pace(measured: Measurement) -> str:
    rate = measured.step_tokens / measured.step_seconds
    pace = f"{two_digits(measured.step_seconds)} s per step, {short(rate)} tokens per second"
    return f"{pace}, beside other busy programs" if measured.was_disturbed else pace


def _with_price(
    found: Estimate,
    given: JobSpec,
    spec: JobSpec,
    info: ModelInfo,
    once: int | None,
    report: DataReport | None,
    validation: DataReport | None,
) -> Estimate:
    """What the hosted service takes for the same spec; it packs rows unless the spec says no."""
    held_out = None if validation is None else validation.sizes
    hosted = spec.model_copy(update={"packing": given.packing})
    price = hosted_price(
        hosted,
        info,
        once,
        None if held_out is None else held_out.total_within(spec.max_seq_length),
        n_rows=None if report is None else report.n_rows,
    )
    lines = tuple(f"Price: {line.removeprefix('No price: ')}" for line in price.basis)
    alone = [n for n in LOCAL_AMOUNTS if getattr(given, n) is not None]
    if price.low is not None and alone:
        lines += (f"Price: of all rows; a hosted job knows no {' and no '.join(alone)}",)
    dollars = _range(price)
    return replace(found, price=dollars and _guess(dollars, found), basis=(*found.basis, *lines))


def _with_running_costs(found: Estimate, info: ModelInfo, options: LocalOptions) -> Estimate:
    """What this machine costs meanwhile, and what hosted answers cost afterwards."""
    here = Price()
    if found.duration is not None and options.usd_per_hour is not None:
        here = local_price(found.duration, usd_per_hour=options.usd_per_hour)
    answers = endpoint_price(info)
    lines = tuple(f"Price: here {line}" for line in here.basis)
    lines += tuple(f"Answers: {line.removeprefix('No price: ')}" for line in answers.basis)
    return replace(
        found,
        local_price=_range(here),
        answers_per_hour=_range(answers),
        basis=(*found.basis, *lines),
    )


def _guess(ends: Range, found: Estimate) -> Range:
    """A range, wider where it rests on guessed tokens."""
    return (ends[0] * SPREAD[0], ends[1] * SPREAD[1]) if found.guessed else ends


def _range(price: Price) -> Range | None:
    return None if price.low is None or price.high is None else (price.low, price.high)
