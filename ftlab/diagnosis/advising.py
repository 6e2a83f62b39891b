"""What to do about each verdict, whose advice it is, and what it changes in the spec.

The rows of NeMo AutoModel's guide on reading curves are all here or in `observations.py`; a change
is given where one follows from the numbers.
"""

from __future__ import annotations

import math
from typing import Any

from ftlab.advice.case import NEMO
from ftlab.diagnosis.findings import Advice
from ftlab.diagnosis.statistics import Statistics
from ftlab.html import rate
from ftlab.rates import rounded

PRACTICE = "general practice"
SWEEP = "the sweep"
SHORT_TRY = 200
"""Steps in which another rate shows itself: NeMo's guide."""
FEW_EPOCHS, LARGE_RANK = 2, 32
DECAYS = (0.01, 0.05, 0.1)


def again(facts: Statistics, share: float = 1.0) -> str:
    """What another run costs."""
    steps = round(share * (facts.curve.n_steps or facts.curve.n))
    return f"{steps:,} step{'' if steps == 1 else 's'} again"


def a_try(facts: Statistics) -> str:
    """What a short run to compare with costs."""
    return f"{min(SHORT_TRY, facts.curve.n_steps or facts.curve.n):,} steps to see it"


def _advice(text: str, source: str = NEMO, cost: str = "", **changes: Any) -> Advice:
    return Advice(text, source, changes, cost)


def rate_advice(facts: Statistics, low: float, high: float, why: str = "") -> tuple[Advice, ...]:
    """Multiply the learning rate by `low` to `high`; within those, the recommended one is taken. A
    sweep knows better: then its best rate, or nothing where no rate on that side is better."""
    measured, is_up = facts.measured, low > 1
    if measured.best is not None:
        value = measured.best.rate
        text = (
            f"The sweep measured {rate(value)} as the best rate ({measured.in_words()}). Take it."
        )
        return (Advice(text, SWEEP, {"learning_rate": value}, "no step"),)
    if measured.is_no_higher_better if is_up else measured.is_no_lower_better:
        return ()
    return (_another_rate(facts, low, high, why),)


def _another_rate(facts: Statistics, low: float, high: float, why: str) -> Advice:
    now, factors = facts.curve.peak_lr, f"{_factor(low)} to {_factor(high)}"
    verb = "Raise" if low > 1 else "Lower"
    if now is None:
        return _advice(f"{verb} the learning rate, {factors}.{why}", cost=a_try(facts))
    wanted = facts.curve.recommended_lr or now * (low * high) ** 0.5
    ends = sorted((now * low, now * high))
    value = rounded(min(max(wanted, ends[0]), ends[1]))
    text = f"{verb} learning_rate from {rate(now)} to {rate(value)} ({factors}).{why}"
    return _advice(text, cost=a_try(facts), learning_rate=value)


def _factor(factor: float) -> str:
    return f"× {factor:g}" if factor >= 1 else f"÷ {1 / factor:g}"


# --- by verdict ------------------------------------------------------------------------------


def mask_bug(facts: Statistics) -> tuple[Advice, ...]:
    look = "Look at a row in the Data tab: what trains is marked there. `ftlab scan` says what is"
    return (
        _advice(f"{look} wrong with rows that train nothing.", PRACTICE, "no step"),
        _advice("Check that the chat template and the tokenizer are the model's own.", PRACTICE),
    )


def diverged(facts: Statistics) -> tuple[Advice, ...]:
    clipping = facts.curve.spec.max_grad_norm
    return (
        *rate_advice(facts, 1 / 10, 1 / 10),
        _advice("Look at the rows of the steps before it: one of them may be damaged.", cost=""),
        _advice("Clip gradients at 1.", max_grad_norm=1.0)
        if clipping == 0
        else _advice("Gradients are clipped; so lower the rate rather than that.")
        if clipping is not None
        else _advice("Clip gradients at 1, if they are not."),
    )


def dead_adapter(facts: Statistics) -> tuple[Advice, ...]:
    spec = facts.curve.spec
    wide = {} if spec.lora_trainable_modules in (None, "all-linear") else {"all": True}
    text = "Train adapters on all linear layers (lora_trainable_modules all-linear)."
    changes = {"lora_trainable_modules": "all-linear"} if wide else {}
    return (
        Advice(text, NEMO, changes, a_try(facts)),
        _advice("Check that some weights train, and that lora_alpha is not 0.", PRACTICE),
    )


def epoch_steps(facts: Statistics) -> tuple[Advice, ...]:
    more = _advice("More rows, or other ones for those that repeat.", PRACTICE)
    return (*_fewer_epochs(facts), *_a_split(facts), more)


def _fewer_epochs(facts: Statistics) -> tuple[Advice, ...]:
    given = facts.curve.spec.n_epochs
    n_epochs = given if given > 1 else math.ceil(facts.curve.n_epochs or 1)
    best = facts.evaluations.best
    if best is not None and facts.curve.steps_per_epoch:
        fewer = max(1, round(best[0] / facts.curve.steps_per_epoch))
    else:
        fewer = max(1, n_epochs // 2)
    if fewer >= n_epochs:
        return ()
    share = fewer / n_epochs
    return (
        _advice(f"Train {fewer} instead of {n_epochs} epochs.", cost=again(facts, share),
                n_epochs=fewer),
    )  # fmt: skip


def _a_split(facts: Statistics) -> tuple[Advice, ...]:
    """Where nothing is measured on other rows yet."""
    spec = facts.curve.spec
    if spec.validation_file or spec.validation_split or facts.curve.evaluations:
        return ()
    text = "Measure on rows that it does not train on (validation_split 0.05)."
    changes = {"validation_split": 0.05} if spec.training_file else {}
    return (Advice(text, NEMO, changes, "no further step"),)


def lr_too_high(facts: Statistics) -> tuple[Advice, ...]:
    warmup = facts.curve.spec.warmup_ratio
    more = _advice(f"Or more warm-up: warmup_ratio {warmup:g} → 0.1.", warmup_ratio=0.1)
    return (*rate_advice(facts, 1 / 5, 1 / 2), *((more,) if warmup < 0.1 else ()))


def overfitting(facts: Statistics) -> tuple[Advice, ...]:
    spec, best = facts.curve.spec, facts.evaluations.best
    at = f"of step {best[0]:,}" if best else "with the lowest eval_loss"
    few = (facts.curve.n_epochs or FEW_EPOCHS + 1) <= FEW_EPOCHS
    found = [_advice(f"Take the checkpoint {at}; nothing is to be trained again.", cost="no step")]
    found += [] if few else _fewer_epochs(facts)
    found.append(stop_early(facts))
    higher = next((x for x in DECAYS if x > spec.weight_decay), None)
    if higher:
        found.append(_advice(f"Raise weight_decay from {spec.weight_decay:g} to {higher:g}.",
                             cost=again(facts), weight_decay=higher))  # fmt: skip
    if spec.lora_r and spec.lora_r > 4:
        half = spec.lora_r // 2
        found.append(_advice(f"Halve lora_r to {half}: less room to learn by heart.",
                             cost=again(facts), **_rank(facts, half)))  # fmt: skip
    if spec.lora is not False and spec.lora_dropout == 0:
        found.append(_advice("Or lora_dropout 0.05.", cost=again(facts), lora_dropout=0.05))
    found += rate_advice(facts, 1 / 5, 1 / 2, " Only if the others do not help.")
    return (*found, _advice("More rows help most."))


def stop_early(facts: Statistics) -> Advice:
    """End by itself next time."""
    text = "Let it end by itself when the validation loss rises (early_stopping_enabled)."
    can = (facts.curve.spec.n_evals or 0) >= 4
    return Advice(text, NEMO, {"early_stopping_enabled": True} if can else {}, "saves steps")


def _rank(facts: Statistics, rank: int) -> dict[str, Any]:
    """Another rank, and alpha in the same proportion."""
    spec = facts.curve.spec
    if not spec.lora_r or not spec.lora_alpha:
        return {"lora_r": rank}
    return {"lora_r": rank, "lora_alpha": max(1, spec.lora_alpha * rank // spec.lora_r)}


def twice_the_rank(facts: Statistics, text: str) -> Advice:
    """More room in the adapter."""
    rank = facts.curve.spec.lora_r
    if facts.curve.spec.lora is False or not rank:
        return _advice(f"{text} with twice the rank, or a larger model.", cost=again(facts))
    more = f"{text}: lora_r from {rank} to {2 * rank}."
    return _advice(more, cost=again(facts), **_rank(facts, 2 * rank))


def noisy_batch(facts: Statistics) -> tuple[Advice, ...]:
    spec, size = facts.curve.spec, facts.curve.batch_size
    if not size:
        return (_advice("Twice as many rows a step.", cost=again(facts)),)
    text = f"Twice as many rows a step: batch_size {2 * size}."
    changes: dict[str, Any] = {"batch_size": 2 * size}
    now = facts.curve.peak_lr
    if facts.measured.rates:
        text += " The rate was measured with the present one: sweep again with it."
    elif now is not None and spec.training_file:
        changes["learning_rate"] = rounded(now * 2**0.5)
        text += f" The learning rate goes with its root: {rate(changes['learning_rate'])}."
    return (Advice(text, NEMO, changes, "as many rows, half the steps"),)


def smooth_slow(facts: Statistics) -> tuple[Advice, ...]:
    size = facts.curve.batch_size or 0
    half = {"batch_size": size // 2} if size > 1 else {}
    text = f"Half as many rows a step: batch_size {size // 2}." if half else "Half the batch."
    return (
        Advice(text, NEMO, half, "as many rows, twice the steps"),
        *rate_advice(facts, 2, 3, " Or both."),
    )


def lr_too_low(facts: Statistics) -> tuple[Advice, ...]:
    found = [*rate_advice(facts, 5, 10)]
    if facts.drop < 0.02:
        found += [
            _advice(
                "If that changes nothing, check which tokens train (Data tab).", cost="no step"
            ),
            twice_the_rank(facts, "Or too few weights train. Try more"),
        ]
    return tuple(found)


def plateau_early(facts: Statistics) -> tuple[Advice, ...]:
    return (
        *rate_advice(facts, 2, 5, " If the loss is as flat as before, it is not the rate."),
        _advice("Then the data: rows that the model does not know yet.", cost="no step"),
    )


def lr_slightly_low(facts: Statistics) -> tuple[Advice, ...]:
    return (
        *rate_advice(facts, 2, 3),
        _advice("Or go on for another epoch or two.", n_epochs=facts.curve.spec.n_epochs + 1,
                cost=again(facts, 1 / max(facts.curve.spec.n_epochs, 1))),
    )  # fmt: skip


def good(facts: Statistics) -> tuple[Advice, ...]:
    spec = facts.curve.spec
    found = [_advice("Keep the learning rate; what is left is min_lr_ratio and warm-up.")]
    if spec.lora is not False and (spec.lora_r or 0) >= LARGE_RANK:
        half = (spec.lora_r or 0) // 2
        text = f"Half the rank ({half}) may do as well: try it, and compare the validation loss."
        found.append(_advice(text, cost=again(facts), **_rank(facts, half)))
    return tuple(found)
