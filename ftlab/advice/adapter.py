"""Advice on LoRA: rank, alpha, dropout, layers."""

from __future__ import annotations

from ftlab.advice.case import NEMO, RANK, TINKER, TOGETHER, UNSLOTH, Case
from ftlab.recommendation import Other, Recommendation

LORA_RANK = RANK


def rank(case: Case) -> Recommendation:
    low, high = case.usual("lora_r")
    # median gain in the best loss, models of Tinker's sweeps: 4 to 16 0.5 %, 16 to 64 0.3 %
    why = case.by_size(
        small="a small adapter has little room to learn a small file by heart",
        usual="in published sweeps, 16 gained 0.5 % on 4, and 64 another 0.3 %",
        large="much data fills a larger adapter; in published sweeps, 64 gained 0.3 % on 16",
    )
    others = (Other("32", f"{TINKER} (its default)"), Other("8 to 32", UNSLOTH))
    return Recommendation(case.usual_rank, case.source("lora_r"), why, low, high, others)


def alpha(case: Case) -> Recommendation:
    value = 2 * case.rank
    low, high = case.usual("lora_alpha")
    others = [
        Other("32 at every rank", f"{TINKER}; {NEMO} for QLoRA"),
        Other(f"{case.rank} (the rank)", f"{NEMO} in a rule: conservative"),
    ]
    return Recommendation(
        value,
        f"{TOGETHER}, {NEMO}",
        "twice the rank; more acts like a higher learning rate",
        min(low, 1) * case.rank,
        max(high, 2) * case.rank,
        tuple(others),
    )


def dropout(case: Case) -> Recommendation:
    low, high = case.usual("lora_dropout")
    value = case.within("lora_dropout", case.by_size(small=0.05, usual=0.05, large=0.0))
    why = case.by_size(
        small="small data is soon learned by heart",
        usual="a little against learning by heart",
        large="much data needs no dropout",
    )
    others = (Other("0", TOGETHER), Other("0, which is faster", UNSLOTH))
    return Recommendation(value, case.source("lora_dropout"), why, low, high, others)


def modules(_: Case) -> Recommendation:
    return Recommendation(
        "all-linear",
        "LoRA Without Regret (Thinking Machines, 2025), the QLoRA paper",
        "adapters on attention alone learn worse, even with as many parameters",
        others=(Other("q_proj, v_proj", "the LoRA paper of 2021"),),
    )
