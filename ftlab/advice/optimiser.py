"""Advice on the optimiser: rate, warm-up, schedule, decay, and the strength of preferences."""

from __future__ import annotations

from ftlab.advice.case import NEMO, TINKER, TOGETHER, TRL, Case
from ftlab.rates import learning_rate
from ftlab.recommendation import Other, Recommendation

SHORT_RUN, LONG_RUN = 500, 5_000  # steps
FEW_WARMUP_STEPS, MOST_WARMUP_STEPS = 10, 1_000
WARMUP = 0.05
BETA = 0.1


def rate(case: Case) -> Recommendation:
    return learning_rate(case.info, case.setup, case.nemo("learning_rate"))


def warmup(case: Case) -> Recommendation:
    """NeMo: 5 to 10 steps below 500, 5 to 10 % up to 5,000, beyond that 10 % or 1,000 steps."""
    steps = case.n_steps
    if steps is None or SHORT_RUN <= steps <= LONG_RUN:
        why = "5 to 10 % for runs of 500 to 5,000 steps"
        return _warmup(WARMUP, why if steps else "how many steps is not known yet", 0.03, 0.1)
    few = FEW_WARMUP_STEPS if steps < SHORT_RUN else MOST_WARMUP_STEPS
    share = min(0.1, few / steps)
    return _warmup(_short(share), f"{few:,} of {steps:,} steps at most", _short(share / 2), 0.1)


def _warmup(value: float, why: str, low: float, high: float) -> Recommendation:
    others = (Other("0.1, at most 1,000 steps", f"{NEMO}'s default"), Other("0", TOGETHER))
    return Recommendation(value, NEMO, why, low, high, others)


def _short(share: float) -> float:
    return float(f"{share:.2g}")


def schedule(_: Case) -> Recommendation:
    why = "falls slowly at first and ends at nothing, without a setting of its own"
    others = (Other("linear", f"{TINKER}; {TRL}"),)
    return Recommendation("cosine", f"{NEMO}, {TOGETHER}", why, others=others)


def lowest_rate(_: Case) -> Recommendation:
    why = "the last steps settle; a rest of the rate helps only when training goes on afterwards"
    others = (Other("0.02 to 0.1", f"{NEMO} for all weights (1e-7 to 1e-6)"),)
    return Recommendation(0.0, TOGETHER, why, 0.0, 0.1, others)


def weight_decay(case: Case) -> Recommendation:
    low, high = case.usual("weight_decay")
    value = case.within("weight_decay", case.by_size(small=0.01, usual=0.01, large=0.0))
    few = "a little against learning by heart"
    why = case.by_size(small=few, usual=few, large="much data needs none")
    if case.lora:
        why += "; the guide gives it for all weights, and 0.01 for QLoRA"
    source, others = case.source("weight_decay"), (Other("0", TOGETHER),)
    return Recommendation(value, source, why, low, high, others)


def clipping(_: Case) -> Recommendation:
    why = "a single bad batch can't throw the weights far"
    return Recommendation(1.0, f"{NEMO}, {TOGETHER}", why, 0.3, 1.0)


def beta(_: Case) -> Recommendation:
    why = "how strongly the tuned model is held to the reference; less lets it go further"
    others = (Other("0.05 to 0.9", "Together's guide"), Other("0.01", "Zephyr's recipes"))
    return Recommendation(BETA, f"the DPO paper, {TRL}, {TOGETHER}", why, 0.05, 0.5, others)
