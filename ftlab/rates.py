"""The learning rate: what published sweeps say, Tinker's formula, and how it moves with the rest.

Our own law was fitted on Tinker's published supervised sweeps (tinker-cookbook, recipes/chat_sl/
results/sft_sweep.md, 2026-08): adapters of 34 models at ranks 1 to 128, 120 curves over the rate,
on chats of tulu3 with alpha 32, 128 rows per step and 780 steps. On the curves that Tinker's
formula covers, it loses 0.47 % of the best loss on average, and the best constant (3e-4) 0.32 %.
The law, fitted without the model that it is judged on, loses 0.08 %, at worst 0.6 %; 0.10 % when
the grouping of families is learned without that model too. For a family that it has never seen it
is hardly better than a constant (0.33 against 0.38 %), so the range is wider there. What was tried,
how grid edges and diverged runs were treated: tests/benchmarks/learning_rates.py.
"""

from __future__ import annotations

import math
import re
from pathlib import PurePath
from typing import Literal, NamedTuple

from ftlab.models import ModelInfo
from ftlab.recommendation import Other, Recommendation, shown

# Tinker's formula (tinker-cookbook 0.6.1, hyperparam_utils.py, get_lr): it falls with the width of
# the model by a power that depends on what the name contains; the first that fits counts.
TINKER_BASE, TINKER_LORA, TINKER_WIDTH = 5e-5, 10.0, 2000
TINKER_POWER = {"llama": 0.781, "qwen": 0.0775}

# The law: RANK_ONE × rank^slope. 90 % of resamplings of the models: 1.8e-4 to 2.2e-4, slopes 0.30
# to 0.40 and 0.05 to 0.15. DeepSeek and Kimi were swept at ranks 1 to 4 only, which says nothing
# of a slope: they get the one between, as families do that were not swept at all.
RANK_ONE = 2e-4
SLOPES = {"steep": 0.35, "flat": 0.10, "between": 0.225}
SPREAD = {"steep": 2.0, "flat": 2.0, "between": 3.0}
"""Factor each way within which at least 95 % of the best rates of the sweeps lie."""
FLAT = re.compile(r"qwen-?3[._][5-9]")  # Qwen3.5, 3.6, 3.8: one architecture, linear attention
STEEP = re.compile(r"llama|qwen(?!.*next)|nemotron|gpt[-_]?oss")
RANKS = (1, 128)  # swept; beyond them the law holds still

# Twice the alpha moves the weights twice as far at the same rate, so the rate falls with alpha: by
# 1 / alpha were only B moving, by its root were A moving as much. On the demo model at rank 16 the
# best rate was 9.9e-3, 4.4e-3 and 1.6e-3 for alpha 8, 32 and 128 (tests/benchmarks/alpha.py, one
# seed, 2026-11): a power of 0.66.
SWEEP_ALPHA, ALPHAS, ALPHA_POWER = 32, (4.0, 512.0), 2 / 3
# Rate ∝ √batch for small batches: Tinker's guide and NeMo's (twice the batch, 1.4 times the rate).
SWEEP_ROWS, ROWS = 128, (8, 256)

# Among the widths that were swept, width says nothing beyond the rank. For narrower models the
# rate goes with 1 / width, as for any matrix under Adam (Yang et al., 2203.03466): 3e-3 for the
# demo model (width 128) with 16 rows per step, where 4.6e-3 was best.
SWEEP_WIDTH, NARROWEST = 2048, 128

CONSTANT = 3e-4  # the constant that loses least on the same sweeps
DPO_LORA, DPO_FULL = (1e-6, 5e-6, 2e-5), (1e-7, 5e-7, 2e-6)  # low, value, high
DIGITS = 2

Kind = Literal["steep", "flat", "between"]


class Setup(NamedTuple):
    """What the learning rate depends on besides the model."""

    lora: bool = True
    rank: int = 16
    alpha: float = SWEEP_ALPHA
    """As peft scales: the update is multiplied by alpha / rank."""
    rows: int | None = None
    """Rows per optimizer step; None is unknown, or packed sequences of many rows."""
    method: str = "sft"


def tinker(info: ModelInfo, *, lora: bool = True) -> float | None:
    """Tinker's formula, exactly; None for families that it is not calibrated for.

    5e-5 × 10 with LoRA × (2000 / hidden size)^p. The family is looked for in the model's name, and
    for folders with other names in the architecture.
    """
    power = _tinker_power(info)
    if power is None or info.hidden_size is None:
        return None
    base = TINKER_BASE * TINKER_LORA if lora else TINKER_BASE
    return base * (TINKER_WIDTH / info.hidden_size) ** power


def _tinker_power(info: ModelInfo) -> float | None:
    for text in _names(info):
        for family, power in TINKER_POWER.items():
            if family in text:
                return power
    return None


def _names(info: ModelInfo) -> tuple[str, str]:
    """What tells the family: the model's name (of a folder, the last part), the architecture."""
    is_path = info.name.startswith(("/", ".", "~")) or info.name.count("/") > 1
    name = PurePath(info.name).name if is_path else info.name
    return name.lower(), (info.family or "").lower()


def kind_of(info: ModelInfo) -> Kind:
    """How the best rate of this model's family goes with the rank."""
    text = " ".join(_names(info))
    if FLAT.search(text):
        return "flat"
    return "steep" if STEEP.search(text) else "between"


def law(kind: Kind, rank: int) -> float:
    """The best rate for an adapter with alpha 32 and 128 rows per step."""
    return RANK_ONE * _within(rank, RANKS) ** SLOPES[kind]


def alpha_factor(alpha: float) -> float:
    """What another alpha than that of the sweeps does to the rate."""
    return (SWEEP_ALPHA / _within(alpha, ALPHAS)) ** ALPHA_POWER


def rows_factor(rows: int | None) -> float:
    """What another number of rows per step than that of the sweeps does to the rate."""
    return 1.0 if rows is None else math.sqrt(_within(rows, ROWS) / SWEEP_ROWS)


def width_factor(info: ModelInfo) -> float:
    """What a model narrower than those of the sweeps does to the rate; 1 for the others."""
    width = info.hidden_size or SWEEP_WIDTH
    return SWEEP_WIDTH / _within(width, (NARROWEST, SWEEP_WIDTH))


def best_rate(info: ModelInfo, setup: Setup) -> float:
    """The recommended rate, not rounded.

    Full fine-tuning takes a tenth of what an adapter of rank 16 and alpha 32 takes (Tinker's
    factor); for DPO the usual values do not depend on the model.
    """
    if setup.method == "dpo":
        return (DPO_LORA if setup.lora else DPO_FULL)[1]
    elsewhere = width_factor(info) * rows_factor(setup.rows)
    if not setup.lora:
        return law(kind_of(info), Setup().rank) / TINKER_LORA * elsewhere
    return law(kind_of(info), setup.rank) * alpha_factor(setup.alpha) * elsewhere


def learning_rate(info: ModelInfo, setup: Setup, nemo: Other) -> Recommendation:
    """The rate for a model and a setup, with its range and with what others say of it.

    `nemo` is what NeMo's guide says for as much data.
    """
    if setup.method == "dpo":
        return _preference_rate(setup)
    rate = best_rate(info, setup)
    is_swept = setup.lora and width_factor(info) == 1
    spread = SPREAD[kind_of(info) if is_swept else "between"]
    return Recommendation(
        value=rounded(rate),
        low=rounded(rate / spread),
        high=rounded(rate * spread),
        source="ftlab's fit of Tinker's published sweeps",
        why=_why(info, setup),
        others=tuple(_others(info, setup, nemo)),
    )


def _preference_rate(setup: Setup) -> Recommendation:
    low, value, high = DPO_LORA if setup.lora else DPO_FULL
    others = (
        [Other("1e-5", "TRL's default for all weights × 10"), Other("1e-5", "Together's default")]
        if setup.lora
        else [Other("1e-6", "TRL's default"), Other("3e-7 to 1e-6", "SimPO's authors")]
    )
    source = "Unsloth's guide, Zephyr's recipes" if setup.lora else "Zephyr's recipes"
    why = "preferences need far smaller steps than SFT; more makes answers fall apart"
    return Recommendation(value, source, why, low, high, tuple(others))


def _why(info: ModelInfo, setup: Setup) -> str:
    kind = kind_of(info)
    rank = setup.rank if setup.lora else Setup().rank
    seen = "a family of the sweeps" if kind != "between" else "a family not swept at such ranks"
    parts = [f"{seen}: {shown(RANK_ONE)} × {_within(rank, RANKS)}^{SLOPES[kind]:g} at rank {rank}"]
    if not setup.lora:
        parts.append("÷ 10 without an adapter")
    elif alpha_factor(setup.alpha) != 1:
        parts.append(f"× {alpha_factor(setup.alpha):.2g} for alpha {setup.alpha:g} instead of 32")
    if width_factor(info) != 1:
        parts.append(f"× {width_factor(info):.2g} for width {info.hidden_size} instead of 2,048")
    if setup.rows is not None and rows_factor(setup.rows) != 1:
        parts.append(f"× {rows_factor(setup.rows):.2g} for {setup.rows} rows a step instead of 128")
    return ", ".join(parts)


def _others(info: ModelInfo, setup: Setup, nemo: Other) -> list[Other]:
    formula = tinker(info, lora=setup.lora)
    constant = CONSTANT if setup.lora else CONSTANT / TINKER_LORA
    return [
        *([Other(shown(rounded(formula)), "Tinker's formula")] if formula else []),
        Other(shown(constant), "the constant that loses least on the same sweeps"),
        nemo,
        Other("2e-4", "Unsloth's guide") if setup.lora else Other("2e-5", "TRL's default"),
        Other("1e-5", "Together's default"),
    ]


def rounded(rate: float) -> float:
    """To two significant digits: the sweeps do not support more."""
    return float(f"{rate:.{DIGITS}g}")


def _within(value: float, bounds: tuple[float, float]) -> float:
    return min(max(value, bounds[0]), bounds[1])
