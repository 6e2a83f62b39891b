"""Whatever a curve holds, there is a diagnosis and no exception."""

from __future__ import annotations

import json
import math
import random

import pytest

from ftlab.diagnosis import Curve, Watch, diagnose

ODD = (0.0, -1.0, 1e-300, 1e300, math.nan, math.inf, -math.inf)


def odd_curve(draw: random.Random) -> Curve:
    n = draw.choice((0, 1, 2, 3, 5, 9, 10, 11, 49, 50, 51, 120, 400))

    def series(share: float) -> list[float]:
        return [draw.choice(ODD) if draw.random() < share else draw.random() for _ in range(n)]

    share = draw.choice((0.0, 0.02, 0.5, 1.0))
    stride = draw.choice((1, 1, 10))
    names = ("grad_norm", "learning_rate", "loss_tokens", "tokens_per_second", "memory_gib")
    return Curve(
        [stride * (i + draw.choice((0, 1))) for i in range(n)],
        series(share),
        {stride * i: x for i, x in enumerate(series(share)) if draw.random() < 0.1},
        **{name: series(share) if draw.random() < 0.6 else () for name in names},
        seconds=series(share),
        loader_seconds=series(share),
        utilization=series(share),
        vocab_size=draw.choice((None, 2, 32_000)),
        steps_per_epoch=draw.choice((None, 0.5, 1, 3, 20, 1e9)),
        batch_size=draw.choice((None, 1, 64)),
        recommended_lr=draw.choice((None, 1e-4, 1e-300)),
        n_steps=draw.choice((None, 1, 10_000)),
        is_over=draw.random() < 0.5,
        samples=["", "word " * 40],
    )


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("seed", range(150))
def test_a_curve_of_anything_is_diagnosed(seed):
    curve = odd_curve(random.Random(seed))
    found = diagnose(curve)
    assert found.is_decided or found.needs
    assert 0 <= found.confidence <= 1
    assert json.dumps(found.as_dict())
    assert str(found)
    assert found._repr_html_().startswith("<div")
    assert Watch().add(curve)
