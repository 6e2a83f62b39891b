"""Steps, evaluations and the learning rate as pure functions of progress.

The trainer, the estimate and the preview in the form all call these; there is no second version.
The shapes are those of the transformers library, so that a run can be compared with its Trainer.
"""

from __future__ import annotations

import math

DECAY_SHARE = 0.2  # part of a "wsd" run that decays; 10 to 20 % is usual (MiniCPM, 2404.06395)
INVERSE_SQRT_SHARE = 0.01  # time scale of "inverse_sqrt" without warm-up, as a share of the run


def total_steps(
    n_rows: int, sequences_per_step: int, n_epochs: int, max_steps: int | None = None
) -> int:
    """Optimizer steps of a run. The last step of an epoch takes what is left of the rows."""
    steps = math.ceil(n_rows / sequences_per_step) * n_epochs
    return min(steps, max_steps) if max_steps else steps


def evaluation_steps(n_steps: int, n_evals: int) -> list[int]:
    """After which steps to evaluate: evenly spread, the last at the end. Each step once."""
    return sorted({math.ceil(n_steps * i / n_evals) for i in range(1, n_evals + 1)})


def lr_share(
    progress: float,
    lr_scheduler_type: str = "cosine",
    *,
    warmup_ratio: float = 0.0,
    min_lr_ratio: float = 0.0,
    scheduler_num_cycles: float = 0.5,
) -> float:
    """Share of the peak learning rate (0 to 1) at `progress` = steps done / all steps (0 to 1).

    Step k (from 0) runs at `progress` k / n, as in transformers: with warm-up, the first is at 0.
    """
    if progress < warmup_ratio:
        return progress / warmup_ratio
    after = (progress - warmup_ratio) / (1 - warmup_ratio) if warmup_ratio < 1 else 1.0
    if lr_scheduler_type == "inverse_sqrt":
        scale = warmup_ratio or INVERSE_SQRT_SHARE
        decay = math.sqrt(scale / (progress - warmup_ratio + scale))
    else:
        decay = _DECAYS[lr_scheduler_type](after, scheduler_num_cycles)
    return min_lr_ratio + (1 - min_lr_ratio) * decay


def _cosine(after: float, cycles: float) -> float:
    return max(0.0, 0.5 * (1 + math.cos(2 * math.pi * cycles * after)))


def _linear(after: float, _cycles: float) -> float:
    return max(0.0, 1 - after)


def _constant(_after: float, _cycles: float) -> float:
    return 1.0


def _warmup_stable_decay(after: float, _cycles: float) -> float:
    return min(1.0, max(0.0, 1 - after) / DECAY_SHARE)


_DECAYS = {
    "cosine": _cosine,
    "linear": _linear,
    "constant": _constant,
    "wsd": _warmup_stable_decay,
}
