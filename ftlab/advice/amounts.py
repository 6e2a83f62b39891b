"""Advice on how much: rows per step, epochs, tokens per row, evaluations."""

from __future__ import annotations

import math

from ftlab.advice.case import ENOUGH_STEPS, NEMO, SMALL_BATCH, TINKER, TOGETHER, TRL, UNSLOTH, Case
from ftlab.data.guess import SPREAD
from ftlab.recommendation import Other, Recommendation

MOST_EPOCHS = 5
EVALUATIONS = 5
LENGTH_UNIT = 64  # tokens


def batch_size(case: Case) -> Recommendation | None:
    if case.hosted:
        why = "the service packs rows into sequences, and takes as many as the model allows"
        return Recommendation("max", TOGETHER, why, others=(case.nemo("batch_size"),))
    if case.n_rows is None or case.batch is None:
        return None
    return Recommendation(
        case.batch,
        f"{NEMO}, {TINKER}",
        f"{case.sequences}: up to {case.largest_batch}, and at least {ENOUGH_STEPS} steps "
        "where possible",
        min(SMALL_BATCH, case.batch),
        max(case.usual("batch_size")[1], case.batch),
        (case.nemo("batch_size"), Other("128", TINKER)),
    )


def n_epochs(case: Case) -> Recommendation:
    if case.dpo:
        why = "preferences are learned by heart sooner than answers are"
        return Recommendation(1, "Zephyr's recipes", why, 1, 3, (Other("3", TRL),))
    usual = case.by_size(small=3 if case.lora else 2, usual=2, large=1)
    value = _enough(case, usual)
    low, high = case.usual("n_epochs")
    tip = Other("1 to 3", f"{NEMO} in a tip: beyond 3 nearly always overfits")
    others = (Other("1 to 3", UNSLOTH), Other("1", TOGETHER))
    return Recommendation(
        value,
        f"{NEMO}, {TINKER}",
        case.data + (f"; as many for {ENOUGH_STEPS} steps" if value > usual else ""),
        min(low, value),
        max(high, value),
        (tip, *others) if high > 3 else others,
    )


def _enough(case: Case, usual: int) -> int:
    """More epochs where even small batches leave too few steps."""
    if case.n_rows is None:
        return usual
    per_step = min(SMALL_BATCH, case.rows_per_step or SMALL_BATCH)
    return max(usual, min(math.ceil(ENOUGH_STEPS * per_step / case.n_rows), MOST_EPOCHS))


def max_seq_length(case: Case) -> Recommendation | None:
    """Long enough for every row, within the model's context."""
    context, tokens = case.info.context_length, case.report and case.report.sizes
    if tokens is None or not tokens.longest:
        return Recommendation(context, "the model", "its whole context") if context else None
    longest, about = tokens.longest, ""
    if case.report is not None and case.report.tokens is None:
        longest, about = round(longest * SPREAD[1]), "at most about "
    value = max(-(-longest // LENGTH_UNIT) * LENGTH_UNIT, LENGTH_UNIT)
    has = f"the longest row has {about}{longest:,} tokens"
    if context is not None and value > context:
        return Recommendation(context, "the model", f"its context; {has}")
    return Recommendation(value, "the data", has)


def n_evals(case: Case) -> Recommendation | None:
    if case.spec.validation_file is None and case.spec.validation_split is None:
        return None
    why = "enough to see the curve turn; each costs a pass over the validation rows"
    return Recommendation(EVALUATIONS, "ftlab", why, 3, 20, (Other("0", TOGETHER),))


def inputs(_: Case) -> Recommendation:
    return Recommendation(
        "auto",
        TOGETHER,
        "answers are what is to be learned; of plain text, all of it",
        others=(Other("True for short answers to long prompts", "Shi et al., 2405.14394"),),
    )
