"""The recorded curves of real runs, as `real_runs.py` has made them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ftlab.course import rate_at
from ftlab.diagnosis import Curve
from ftlab.diagnosis.reading import NARROW_SPREAD
from ftlab.spec import JobSpec

RECORDED = Path(__file__).parents[1] / "recorded" / "curves.json"


class Recorded(NamedTuple):
    name: str
    seed: int
    allowed: frozenset[str]
    curve: Curve


def real_curves(file: Path = RECORDED) -> Iterator[Recorded]:
    for one in json.loads(file.read_text(encoding="utf-8")):
        yield Recorded(one["name"], one["seed"], frozenset(one["allowed"]), curve_of(one))


def curve_of(one: dict[str, Any]) -> Curve:
    """As the doctor gets it from a run's folder."""
    spec = JobSpec(**one["spec"])
    losses = _points(one["train_loss"])
    return Curve(
        [*losses],
        [*losses.values()],
        eval_loss=_points(one.get("eval_loss", {"values": []})),
        grad_norm=[*_points(one["grad_norm"]).values()],
        learning_rate=[rate_at(spec, step - 1, one["n_steps"]) for step in losses],
        loss_tokens=[one["loss_tokens"]] * len(losses),
        vocab_size=one["vocab_size"],
        steps_per_epoch=one["steps_per_epoch"],
        batch_size=spec.batch_size if isinstance(spec.batch_size, int) else None,
        **_recommended(one, spec),
        n_steps=one["n_steps"],
        spec=spec,
        failure=one.get("failure", ""),
    )


def _recommended(one: dict[str, Any], spec: JobSpec) -> dict[str, float]:
    """What the doctor makes of the recommendation for a model of that width."""
    is_known = one["vocab_size"] == 1024 and spec.training_method == "sft"
    if not is_known:
        return {}
    return {"recommended_lr": one["recommended_lr"], "recommended_spread": NARROW_SPREAD}


def _points(series: dict[str, list[float]]) -> dict[int, float]:
    values = series["values"]
    return dict(zip(series.get("steps", range(1, len(values) + 1)), values, strict=True))
