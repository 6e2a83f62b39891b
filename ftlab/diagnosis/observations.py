"""What a curve may show besides its verdict."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

from ftlab.diagnosis import advising, shapes
from ftlab.diagnosis.advising import NEMO, PRACTICE, a_try, again
from ftlab.diagnosis.beliefs import beliefs
from ftlab.diagnosis.findings import Advice
from ftlab.diagnosis.registry import OBSERVATIONS, Hit, detector
from ftlab.diagnosis.statistics import Statistics
from ftlab.spec import JobSpec

SOME, MANY = 50, 100
FLAT = 0.01


def _spec(**values: Any) -> JobSpec:
    return JobSpec.model_validate(values)


def _spike_advice(facts: Statistics) -> tuple[Advice, ...]:
    clipping = facts.curve.spec.max_grad_norm
    look = Advice("Look at the rows of that step: a click on the point shows them.", PRACTICE)
    if clipping == 0:
        return look, Advice("Clip gradients at 1.", NEMO, {"max_grad_norm": 1.0}, again(facts))
    return look, advising.rate_advice(facts, 1 / 3, 1 / 2, " Gradients are clipped already.")


@detector(
    OBSERVATIONS,
    meaning="At single steps the loss leaps, and so does the gradient: odd rows, or a large step.",
    source=NEMO,
    advise=_spike_advice,
    example=lambda: replace(
        shapes.scaled(shapes.falling(), (250, 252, 1.8)),
        grad_norm=[12.0 if i in (250, 251) else 1.0 for i in range(400)],
    ),
    least_steps=SOME,
)
def spike(facts: Statistics) -> Hit | None:
    found, gradient = facts.spikes, facts.gradient
    if not found.number or found.highest < 1.25 or not gradient or facts.noise > 0.12:
        return None
    place = [*facts.curve.steps].index(found.at)
    norm = facts.curve.grad_norm[place]
    if not norm > 3 * gradient:
        return None
    evidence = {"step": float(found.at), "times_the_loss": found.highest}
    return Hit(0.8, {**evidence, "grad_norm": norm, "usual_grad_norm": gradient})


@detector(
    OBSERVATIONS,
    meaning="The steps have become slower than they were.",
    source=PRACTICE,
    advise=lambda _: (
        Advice("See who else uses the device (`ftlab queue`), and whether it is hot.", PRACTICE),
    ),
    example=lambda: shapes.falling(tokens_per_second=[9e3] * 250 + [4e3] * 150),
    least_steps=SOME,
)
def throughput_drop(facts: Statistics) -> Hit | None:
    speeds = [x for x in facts.curve.tokens_per_second if math.isfinite(x)]
    if len(speeds) < SOME:
        return None
    tail = max(len(speeds) // 5, 10)
    before, after = _middle(speeds[5:-tail]), _middle(speeds[-tail:])
    if after > 0.7 * before:
        return None
    return Hit(0.8, {"tokens_per_second_before": before, "tokens_per_second": after})


@detector(
    OBSERVATIONS,
    meaning="A large part of each step is spent waiting for its rows.",
    source=PRACTICE,
    advise=lambda _: (Advice("Tokenise beforehand, or keep the data on a faster disk.", PRACTICE),),
    example=lambda: shapes.falling(seconds=[1.0] * 400, loader_seconds=[0.4] * 400),
    least_steps=20,
)
def loader_bound(facts: Statistics) -> Hit | None:
    pairs = zip(facts.curve.loader_seconds, facts.curve.seconds, strict=False)
    shares = [waited / whole for waited, whole in pairs if whole > 0]
    if not shares or (share := _middle(shares)) < 0.2:
        return None
    return Hit(0.9, {"share_waited": share})


@detector(
    OBSERVATIONS,
    meaning="The memory grows from step to step: at this pace it will not suffice.",
    source=PRACTICE,
    advise=lambda _: (
        Advice(
            "Pause and resume: a new process begins with empty memory.", PRACTICE, {}, "no step"
        ),
    ),
    example=lambda: shapes.falling(memory_gib=[4 + 0.01 * i for i in range(400)]),
    least_steps=MANY,
)
def memory_creep(facts: Statistics) -> Hit | None:
    held = [x for x in facts.curve.memory_gib if math.isfinite(x)]
    if len(held) < MANY:
        return None
    fifth = len(held) // 5
    levels = [_middle(held[k * fifth : (k + 1) * fifth]) for k in range(1, 5)]
    rises = [b - a for a, b in pairwise(levels)]
    grown = levels[-1] / levels[0] - 1 if levels[0] > 0 else 0.0
    if grown < 0.05 or min(rises) < 0.2 * max(rises):
        return None
    return Hit(0.7, {"gib_before": levels[0], "gib": levels[-1]})


@detector(
    OBSERVATIONS,
    meaning="The validation loss falls to almost nothing too: its rows are among those that train.",
    source=NEMO,
    advise=lambda _: (
        Advice("Scan the validation file against the training file (`ftlab scan --against`).",
               NEMO, {}, "no step"),
    ),
    example=lambda: shapes.evaluated(
        shapes.falling(floor=0.03, steps_per_epoch=80), 1.2, 0.6, 0.2, 0.08, 0.04, 0.03
    ),
    least_steps=SOME,
)  # fmt: skip
def memorised_evaluation(facts: Statistics) -> Hit | None:
    points = facts.curve.evaluations
    if len(points) < 3 or (facts.curve.n_epochs or 0) < 2:
        return None
    last = points[-1][1]
    if not (facts.drop > 0.9 and last <= 1.15 * facts.end and last < 0.1):
        return None
    return Hit(0.6, {"train_loss": facts.end, "eval_loss": last})


@detector(
    OBSERVATIONS,
    meaning="Hardly any loss from the first epoch on: it trains on tokens that say themselves.",
    source=PRACTICE,
    advise=advising.mask_bug,
    example=lambda: shapes.falling(start=0.4, floor=0.004, pace=40.0, steps_per_epoch=400),
    least_steps=SOME,
)
def below_the_floor(facts: Statistics) -> Hit | None:
    """Texts of people hold about a nat per token (in JSON and code a tenth); padding holds none."""
    is_dpo = facts.curve.spec.training_method == "dpo"
    first_epoch = (
        facts.curve.steps_per_epoch and facts.curve.n <= 1.05 * facts.curve.steps_per_epoch
    )
    if is_dpo or not first_epoch or facts.median > 0.01:
        return None
    return Hit(0.55, {"median_loss": facts.median})


@detector(
    OBSERVATIONS,
    meaning="The validation loss has stopped falling while the training loss goes on.",
    source=NEMO,
    advise=lambda facts: (
        Advice(
            "Stop here, and take the checkpoint with the lowest eval_loss.", NEMO, {}, "no step"
        ),
        advising.stop_early(facts),
    ),
    example=lambda: shapes.evaluated(
        shapes.falling(floor=0.4, pace=4.0), 1.9, 1.6, 1.5, 1.497, 1.5, 1.502
    ),
    least_steps=SOME,
)
def stop_early(facts: Statistics) -> Hit | None:
    points = [loss for _, loss in facts.curve.evaluations]
    if len(points) < 4 or facts.rise > 0.03 or facts.slope < 0.03 or facts.noise > 0.2:
        return None
    change = points[-1] / points[-3] - 1 if points[-3] > 0 else 0.0
    if not change > -0.005:
        return None
    return Hit(0.6, {"eval_change": change, "train_fall": facts.slope})


@detector(
    OBSERVATIONS,
    meaning="The validation loss was still falling at the end: more training would help.",
    source=NEMO,
    advise=lambda facts: (
        Advice("One or two epochs more.", NEMO, {"n_epochs": facts.curve.spec.n_epochs + 1},
               again(facts, 1 / max(facts.curve.spec.n_epochs, 1))),
    ),
    example=lambda: shapes.evaluated(shapes.falling(pace=2.5), 2.3, 2.1, 1.9, 1.75, 1.6),
    least_steps=SOME,
)  # fmt: skip
def undertrained(facts: Statistics) -> Hit | None:
    points = [loss for _, loss in facts.curve.evaluations]
    if facts.curve.share_done < 0.95 or len(points) < 3 or points[-2] <= 0:
        return None
    last, before = 1 - points[-1] / points[-2], 1 - points[-2] / points[-3]
    if last < 0.03 or last < 0.4 * before:
        return None
    return Hit(0.65, {"eval_fall": last, "eval_fall_before": before})


@detector(
    OBSERVATIONS,
    meaning="The device is used for a small part of what it can do.",
    source=NEMO,
    advise=lambda facts: (
        Advice("More rows at once: raise micro_batch_size; rows a step stay as they are.", NEMO),
        Advice("Pack short rows (packing).", NEMO, {} if facts.curve.spec.packing else
               {"packing": True}),
    ),
    example=lambda: shapes.falling(utilization=[12.0] * 400),
    least_steps=20,
)  # fmt: skip
def low_utilization(facts: Statistics) -> Hit | None:
    used = [x for x in facts.curve.utilization if math.isfinite(x)]
    if not used or (share := _middle(used)) >= 30:
        return None
    return Hit(0.7, {"percent": share})


@detector(
    OBSERVATIONS,
    meaning="The memory did not suffice.",
    source=NEMO,
    advise=lambda _: (
        Advice("Half the micro_batch_size; rows a step stay as they are.", NEMO),
        Advice("Then gradient_checkpointing, nf4 quantization, shorter sequences.", NEMO,
               {"quantization": "nf4"}),
    ),
    example=lambda: shapes.falling(30, failure="CUDA out of memory. Tried to allocate 2.00 GiB"),
    least_steps=0,
)  # fmt: skip
def out_of_memory(facts: Statistics) -> Hit | None:
    text = facts.curve.failure.lower()
    if "out of memory" not in text and "memory did not suffice" not in text:
        return None
    return Hit(0.97, {"said": facts.curve.failure[:120]})


def _regularised(changes: dict, why: str, facts: Statistics) -> Advice:
    return Advice(why, NEMO, changes, again(facts))


@detector(
    OBSERVATIONS,
    meaning="The training loss comes to rest high, held back by weight_decay.",
    source=NEMO,
    advise=lambda facts: (
        _regularised({"weight_decay": 0.01}, "Lower weight_decay to 0.01, or to 0.", facts),
    ),
    example=lambda: shapes.falling(
        start=2.6, floor=2.1, spec=_spec(weight_decay=0.3), recommended_lr=1e-3,
        learning_rate=[1e-3] * 400,
    ),
    least_steps=MANY,
)  # fmt: skip
def converged_high(facts: Statistics) -> Hit | None:
    decay = facts.curve.spec.weight_decay
    if decay <= 0.05 or not _rests_high(facts):
        return None
    return Hit(0.55, {"weight_decay": decay, "drop": facts.drop})


@detector(
    OBSERVATIONS,
    meaning="Training and validation loss come to rest high: it fits neither.",
    source=NEMO,
    advise=lambda facts: (
        _regularised({"weight_decay": 0.0}, "No weight_decay; then the rate, then the data.", facts)
        if facts.curve.spec.weight_decay
        else Advice("First the learning rate, then the data.", NEMO, {}, a_try(facts)),
    ),
    example=lambda: shapes.evaluated(
        shapes.falling(start=2.6, floor=2.2, pace=8.0), 2.5, 2.3, 2.25, 2.24, 2.24
    ),
    least_steps=MANY,
)
def both_high(facts: Statistics) -> Hit | None:
    points = [loss for _, loss in facts.curve.evaluations]
    if len(points) < 3 or not _rests_high(facts) or points[-1] < 0.97 * facts.end:
        return None
    return Hit(0.45, {"train_loss": facts.end, "eval_loss": points[-1], "drop": facts.drop})


@detector(
    OBSERVATIONS,
    meaning="The training loss comes to rest high at a fitting rate: the adapter may be too small.",
    source=NEMO,
    advise=lambda facts: (advising.twice_the_rank(facts, "Give the adapter more room"),),
    example=lambda: shapes.falling(
        start=2.6, floor=2.1, spec=_spec(lora_r=4, lora_alpha=8), recommended_lr=1e-3,
        learning_rate=[1e-3] * 400,
    ),
    least_steps=MANY,
)  # fmt: skip
def capacity_plateau(facts: Statistics) -> Hit | None:
    spec, ratio = facts.curve.spec, facts.curve.ratio
    small = spec.lora is not False and spec.lora_r is not None and spec.lora_r <= 8
    if not small or ratio is None or not 0.4 < ratio < 2.5 or not _rests_high(facts):
        return None
    return Hit(0.45, {"lora_r": float(spec.lora_r or 0), "drop": facts.drop})


@detector(
    OBSERVATIONS,
    meaning="It overfits although there were few epochs: it needs to be held back.",
    source=NEMO,
    advise=lambda facts: (
        _regularised(
            {"weight_decay": 0.05 if facts.curve.spec.weight_decay >= 0.01 else 0.01},
            "Raise weight_decay: 0.01, then 0.05, then 0.1.",
            facts,
        ),
    ),
    example=lambda: shapes.evaluated(
        shapes.falling(floor=0.3, steps_per_epoch=300), 1.9, 1.6, 1.5, 1.52, 1.58, 1.66, 1.8
    ),
    least_steps=SOME,
)
def needs_regularising(facts: Statistics) -> Hit | None:
    n_epochs = facts.curve.n_epochs
    if n_epochs is None or n_epochs > 2 or facts.rise <= 0.03:
        return None
    if len(facts.evaluations_after_best) < 2 or facts.drop <= 0.1:
        return None
    return Hit(0.6, {"epochs": n_epochs, "rise": facts.rise})


@detector(
    OBSERVATIONS,
    meaning="It does not learn at all, at a rate that should do.",
    source=NEMO,
    advise=lambda facts: (
        Advice("Check which tokens train (Data tab).", NEMO, {}, "no step"),
        advising.twice_the_rank(facts, "Train more weights"),
        Advice("Or the model is too small for this task.", NEMO),
    ),
    example=lambda: shapes.constant(
        2.1, n=400, noise=0.01, recommended_lr=1e-3, learning_rate=[1e-3] * 400
    ),
    least_steps=MANY,
)
def not_falling(facts: Statistics) -> Hit | None:
    ratio = facts.curve.ratio
    if ratio is None or not 0.3 < ratio < 4 or not -0.02 < facts.drop < 0.01:
        return None
    if facts.gradient is not None and facts.gradient < 1e-6:
        return None
    return Hit(0.6, {"drop": facts.drop, "lr_ratio": ratio})


@detector(
    OBSERVATIONS,
    meaning="Its answers repeat themselves: overfitted, or the prompts are not as in training.",
    source=NEMO,
    advise=lambda facts: (
        Advice("Try an earlier checkpoint.", NEMO, {}, "no step"),
        Advice("See that the prompts have the form of the training rows (chat template).", NEMO),
        Advice("Clean the data of rows that repeat themselves.", NEMO),
    ),
    example=lambda: shapes.falling(samples=["so we go and " * 20]),
    least_steps=0,
)
def repetitive_output(facts: Statistics) -> Hit | None:
    shares = [_repeated(text) for text in facts.curve.samples if len(text.split()) >= 20]
    if not shares or (share := _middle(shares)) < 0.5:
        return None
    return Hit(0.7, {"share_repeated": share})


def _repeated(text: str) -> float:
    """Share of the runs of four words that stood in the text before."""
    words = text.split()
    runs = [tuple(words[i : i + 4]) for i in range(len(words) - 3)]
    return 1 - len({*runs}) / len(runs)


def _rests_high(facts: Statistics) -> bool:
    """Whether it is flat at less than a third below its start, and not for too low a rate."""
    low = beliefs(facts)["lr_too_low"] + beliefs(facts)["lr_slightly_low"]
    return 0.05 < facts.drop < 0.33 and abs(facts.slope) < FLAT + facts.noise / 3 and low < 0.4


def _middle(values: list[float]) -> float:
    ordered = sorted(values)
    return ordered[len(ordered) // 2] if ordered else 0.0
