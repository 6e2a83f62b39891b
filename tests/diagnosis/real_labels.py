"""What is right for a real run, by how it was made and by the grid that it belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.diagnosis.truth import (
    AS_GOOD,
    FEW_ROWS,
    MADE,
    OVERFITTED,
    SCATTERING,
    TELLING,
    labels_of_rate,
)


def labelled(arms: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The arms of a grid with their ratio to the best rate, their regret, their right answers."""
    lowest = min(map(best, arms))
    optimum = next(a["spec"]["learning_rate"] for a in arms if best(a) == lowest)
    if sum(best(a) > (1 + AS_GOOD) * lowest for a in arms) < TELLING * len(arms):
        return
    for arm in arms:
        ratio, regret = arm["spec"]["learning_rate"] / optimum, best(arm) / lowest - 1
        allowed = labels_of_rate(ratio, regret, arm["train_loss"]["values"])
        if "failure" in arm:
            allowed = {"diverged"}
        if has_overfitted(arm):
            allowed |= {"overfitting"}
        if arm["spec"]["batch_size"] <= FEW_ROWS:
            allowed |= {"noisy_batch"}
        yield {**arm, "allowed": sorted(allowed), "ratio": ratio, "regret": regret}


def has_overfitted(curve: dict[str, Any]) -> bool:
    """Whether its last evaluation is far above its lowest."""
    found = curve.get("eval_loss")
    return bool(found) and found["values"][-1] >= OVERFITTED * best(curve)


def best(arm: dict[str, Any]) -> float:
    """The lowest eval_loss after the first step; infinite where there is none."""
    points = zip(arm["eval_loss"]["steps"], arm["eval_loss"]["values"], strict=True)
    losses = [loss for step, loss in points if step > 0 and loss == loss]
    return min(losses, default=float("inf"))


def allowed_when(kind: str, curve: dict[str, Any]) -> set[str]:
    """The right answers for a run that was spoiled in that way."""
    scatters = kind in SCATTERING and curve["spec"]["batch_size"] <= FEW_ROWS
    allowed = MADE[kind] | ({"noisy_batch"} if scatters else set())
    return allowed | ({"overfitting"} if has_overfitted(curve) else set())
