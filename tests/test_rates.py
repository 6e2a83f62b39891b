"""The learning rate: Tinker's formula against Tinker's own, and the law on known curves."""

from __future__ import annotations

import json
import math
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ftlab import rates
from ftlab.models import ModelInfo
from ftlab.rates import Setup, best_rate, kind_of, law, learning_rate, tinker
from ftlab.recommendation import Other
from tests.benchmarks.rate_laws import CHOSEN, hypotheses, left_out
from tests.benchmarks.sweeps import RATES, Curve, load, regrets, spline
from tests.tinker_models import WIDTHS

ORACLE = Path(__file__).parents[1] / ".venv-oracles" / "tinker-cookbook"
NEMO = Other("1e-5 to 5e-5", "NeMo")
# The widths are in the package, so no model is looked up; without a network that would show.
ASK = """
import json, sys
from tinker_cookbook import hyperparam_utils as official
found = {}
for name in sorted({*official._LORA_PARAMS_PER_RANK_BY_COMPONENT, *json.load(sys.stdin)}):
    width = official._get_hidden_size(name)
    try:
        rates = [official.get_lr(name, is_lora=True), official.get_lr(name, is_lora=False)]
    except (NotImplementedError, ValueError) as exc:
        rates = None
    found[name] = [width, rates]
json.dump(found, sys.stdout)
"""


def info(name="m", **values):
    return ModelInfo(name=name, **values)


@pytest.fixture(scope="module")
def official():
    """Model → (width, (rate with LoRA, rate without) or None), from the package itself."""
    assert (ORACLE / "tinker_cookbook").is_dir(), "It is missing; tests/run.sh installs it."
    environment = {**os.environ, "PYTHONPATH": str(ORACLE), "HF_HUB_OFFLINE": "1"}
    arguments = [sys.executable, "-c", ASK]
    done = subprocess.run(
        arguments, input=json.dumps(list(WIDTHS)), capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_formula_is_tinkers_on_every_model_that_it_covers(official):
    covered = {name: value for name, value in official.items() if value[1]}
    assert len(covered) == 26
    for name, (width, (with_lora, without)) in covered.items():
        model = info(name, hidden_size=width)
        assert tinker(model) == pytest.approx(with_lora, rel=1e-12), name
        assert tinker(model, lora=False) == pytest.approx(without, rel=1e-12), name


def test_the_formula_is_silent_where_tinkers_is(official):
    others = {name: width for name, (width, found) in official.items() if not found}
    assert len(others) == 20
    for name, width in others.items():
        assert tinker(info(name, hidden_size=width)) is None, name


def test_recorded_widths_are_the_packages(official):
    assert {name: official[name][0] for name in WIDTHS} == WIDTHS


def test_a_folder_is_known_by_its_architecture():
    folder = info("/home/llama/my-model", family="qwen3", hidden_size=4096)
    named = info("Qwen/Qwen3-8B", hidden_size=4096)
    assert tinker(folder) == tinker(named)
    assert tinker(info("Qwen/Qwen3-8B")) is None  # its width is not known


@pytest.mark.parametrize(
    ("name", "family", "kind"),
    [
        ("Qwen/Qwen3.5-9B", None, "flat"),
        ("tuned", "qwen3_5_moe", "flat"),
        ("Qwen/Qwen3-8B", "qwen3", "steep"),
        ("meta-llama/Llama-3.2-1B", None, "steep"),
        ("openai/gpt-oss-20b", None, "steep"),
        ("Qwen/Qwen3-Next-80B-A3B-Instruct", "qwen3_next", "between"),
        ("deepseek-ai/DeepSeek-V3.1", "deepseek_v3", "between"),
        ("mistralai/Mistral-7B-v0.3", "mistral", "between"),
    ],
)
def test_families(name, family, kind):
    assert kind_of(info(name, family=family)) == kind


def test_the_fit_finds_a_law_that_is_there(tmp_path):
    """Curves made by the law on the coarse grid of the sweeps, with noise and diverged runs."""
    chance = random.Random(1)
    lines = ["model,lr,rank,test_nll"]
    for name in WIDTHS:
        for rank in (1, 4, 16, 64):
            best = math.log(law(kind_of(info(name)), rank))
            for rate in (4e-5, 1e-4, 3e-4, 1e-3):
                loss = 0.5 * (1 + 0.02 * (math.log(rate) - best) ** 2)
                lines.append(f"{name},{rate},{rank},{loss * (1 + chance.gauss(0, 2e-4)):.4f}")
            lines.append(f"{name},3e-3,{rank},1.9")
    file = tmp_path / "sweeps.csv"
    file.write_text("\n".join(lines))
    s = load(file)
    assert len(s.model) == 4 * len(WIDTHS)
    chosen = next(one for one in hypotheses(s) if one.name == CHOSEN)
    fitted = chosen.parameters[chosen.best(np.ones(len(s.model)))]
    assert fitted == pytest.approx((rates.RANK_ONE, rates.SLOPES["steep"], rates.SLOPES["flat"]))
    assert s.at(left_out(chosen, s.model)).mean() < 0.03
    assert s.at(np.log(np.full(len(s.model), 3e-4))).mean() > 0.3


def test_a_parabola_is_read_exactly_between_its_points():
    x = np.log([4e-5, 1e-4, 3e-4, 1e-3])
    curve = Curve(x, 0.5 * (1 + 0.01 * (x - math.log(2e-4)) ** 2))
    assert spline(curve, np.log([2e-4]))[0] == pytest.approx(0.5)
    found = regrets(curve)
    assert found.min() == pytest.approx(0, abs=1e-3)
    twice = found[np.abs(RATES - 4e-4).argmin()]
    assert twice == pytest.approx(math.log(2) ** 2, rel=0.05)  # percent


# Published losses (sft_sweep.md of tinker-cookbook): model, rank → rate → test loss.
PUBLISHED = {
    ("meta-llama/Llama-3.1-8B", 4): {4e-5: 0.6121, 1e-4: 0.6005, 3e-4: 0.5925, 1e-3: 0.6021},
    ("meta-llama/Llama-3.1-8B", 64): {4e-5: 0.6110, 1e-4: 0.5977, 3e-4: 0.5839, 1e-3: 0.5839},
    ("Qwen/Qwen3-8B", 16): {4e-5: 0.5605, 1e-4: 0.5520, 3e-4: 0.5438, 1e-3: 0.5405},
    ("Qwen/Qwen3.5-9B", 16): {4e-5: 0.7436, 1e-4: 0.7297, 3e-4: 0.7178, 1e-3: 0.7476},
    ("moonshotai/Kimi-K2.6", 1): {4e-5: 0.5653, 1e-4: 0.5609, 3e-4: 0.5595, 1e-3: 0.5880},
}


@pytest.mark.parametrize("group", PUBLISHED, ids=lambda group: f"{group[0]}-{group[1]}")
def test_the_recommended_rate_lies_beside_the_best_published_one(group):
    name, rank = group
    losses = PUBLISHED[group]
    tested = sorted(losses)
    best = tested.index(min(tested, key=losses.get))
    below, above = tested[max(best - 1, 0)], tested[min(best + 1, len(tested) - 1)]
    assert below < best_rate(info(name), Setup(rank=rank)) < above


def test_the_law_worked_out_by_hand():
    assert law("steep", 16) == pytest.approx(2e-4 * 16**0.35)
    assert law("flat", 1) == law("steep", 1) == 2e-4
    assert law("steep", 1024) == law("steep", 128)  # nothing was swept beyond


def test_what_it_depends_on():
    model = info("meta-llama/Llama-3.1-8B", hidden_size=4096)
    rate = best_rate(model, Setup())
    assert best_rate(model, Setup(alpha=256)) == pytest.approx(rate / 4)  # 8 ^ (2/3)
    assert best_rate(model, Setup(rows=32)) == pytest.approx(rate / 2)
    assert best_rate(model, Setup(lora=False)) == pytest.approx(rate / 10)
    assert best_rate(info("m", family="llama", hidden_size=1024), Setup()) == pytest.approx(
        2 * rate
    )
    assert best_rate(model, Setup(rows=1)) == best_rate(model, Setup(rows=8))


def test_the_demo_model_gets_a_rate_that_was_seen_to_work():
    from ftlab.models import read_info

    rate = best_rate(read_info("demo"), Setup(rows=16))
    assert 2e-3 < rate < 8e-3  # measured best: 4.6e-3


@pytest.mark.parametrize("setup", [Setup(), Setup(lora=False), Setup(method="dpo"), Setup(rows=4)])
@pytest.mark.parametrize("name", ["meta-llama/Llama-3.1-8B", "x/unknown"])
def test_value_range_and_reasons(name, setup):
    found = learning_rate(info(name, hidden_size=4096), setup, NEMO)
    assert 0 < found.low < found.value < found.high
    assert found.source
    assert found.why
    assert found.others
    assert float(f"{found.value:.2g}") == found.value


def test_those_who_disagree_are_named():
    found = learning_rate(info("meta-llama/Llama-3.1-8B", hidden_size=4096), Setup(), NEMO)
    said = {other.source: other.value for other in found.others}
    assert said["Tinker's formula"] == "2.9e-4"
    assert said["NeMo"] == "1e-5 to 5e-5"
    assert said["Together's default"] == "1e-5"


def test_preferences_take_far_smaller_steps():
    model = info("meta-llama/Llama-3.1-8B", hidden_size=4096)
    for lora in (True, False):
        sft, dpo = (best_rate(model, Setup(lora=lora, method=m)) for m in ("sft", "dpo"))
        assert 20 < sft / dpo < 200


def test_the_range_of_an_unknown_family_is_wider():
    known, unknown = (
        learning_rate(info(name), Setup(), NEMO) for name in ("Qwen/Qwen3-8B", "x/unknown")
    )
    assert unknown.high / unknown.low > known.high / known.low
    assert math.isclose(rates.SPREAD["between"], 3)
