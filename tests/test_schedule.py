"""The schedules, against those of transformers."""

from __future__ import annotations

import math

import pytest
import torch
from transformers import get_scheduler

from ftlab.schedule import evaluation_steps, lr_share, total_steps

N = 200


def transformers_shares(name, warmup, **options):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = get_scheduler(
        name,
        optimizer,
        num_warmup_steps=round(warmup * N),
        num_training_steps=N,
        scheduler_specific_kwargs=options or None,
    )
    shares = []
    for _ in range(N):
        shares.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return shares


@pytest.mark.parametrize("warmup", [0.0, 0.05, 0.5])
@pytest.mark.parametrize(
    ("ours", "theirs", "options"),
    [
        ({"lr_scheduler_type": "linear"}, "linear", {}),
        ({"lr_scheduler_type": "cosine"}, "cosine", {}),
        (
            {"lr_scheduler_type": "cosine", "scheduler_num_cycles": 1.5},
            "cosine",
            {"num_cycles": 1.5},
        ),
        (
            {"lr_scheduler_type": "cosine", "min_lr_ratio": 0.1},
            "cosine_with_min_lr",
            {"min_lr_rate": 0.1},
        ),
        ({"lr_scheduler_type": "constant"}, "constant_with_warmup", {}),
    ],
)
def test_shares_equal_transformers(ours, theirs, options, warmup):
    shares = [lr_share(step / N, warmup_ratio=warmup, **ours) for step in range(N)]
    assert shares == pytest.approx(transformers_shares(theirs, warmup, **options), abs=1e-12)


def test_inverse_square_root_equals_transformers():
    shares = [lr_share(s / N, "inverse_sqrt", warmup_ratio=0.1) for s in range(N)]
    assert shares == pytest.approx(transformers_shares("inverse_sqrt", 0.1), abs=1e-12)


def test_wsd_is_flat_and_falls_in_the_last_fifth():
    assert lr_share(0.05, "wsd", warmup_ratio=0.1) == pytest.approx(0.5)
    assert lr_share(0.5, "wsd") == 1
    assert lr_share(0.9, "wsd") == pytest.approx(0.5)
    assert lr_share(1.0, "wsd", min_lr_ratio=0.2) == pytest.approx(0.2)


@pytest.mark.parametrize("name", ["cosine", "linear", "constant", "wsd", "inverse_sqrt"])
@pytest.mark.parametrize("warmup", [0.0, 0.3, 1.0])
def test_shares_stay_within_0_and_1(name, warmup):
    shares = [lr_share(i / 50, name, warmup_ratio=warmup) for i in range(51)]
    assert all(0 <= share <= 1 and math.isfinite(share) for share in shares)


@pytest.mark.parametrize(
    ("arguments", "steps"), [((100, 16, 2), 14), ((100, 16, 2, 5), 5), ((1, 16, 1), 1)]
)
def test_total_steps(arguments, steps):
    assert total_steps(*arguments) == steps


@pytest.mark.parametrize(
    ("n_steps", "n_evals", "steps"),
    [(10, 2, [5, 10]), (10, 3, [4, 7, 10]), (2, 5, [1, 2]), (7, 0, [])],
)
def test_evaluations_are_spread_and_end_at_the_end(n_steps, n_evals, steps):
    assert evaluation_steps(n_steps, n_evals) == steps
