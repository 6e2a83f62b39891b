"""Halving against full grids: each grid is trained once, and halving is played over its curves.

Every arm has the schedule of the whole run, so that a halved sweep sees what the grid has seen, up
to where it stops an arm; some sweeps are halved for real, which must come to the same. An arm that
halving adds beyond the grid is trained when it is asked for.
"""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from ftlab import demo
from ftlab.demo.chatter import chats
from ftlab.demo.text import data_files
from ftlab.processes import environment
from ftlab.providers import prepare
from ftlab.sweeps.answer import answer
from ftlab.sweeps.folder import Sweep
from ftlab.sweeps.noise import best_loss
from ftlab.sweeps.plan import Arm, Plan, grid, planned
from ftlab.sweeps.rungs import Standing, decide
from tests.small import write_rows

N_ARMS = 7
WANTED = {"median": 1.0, "worst": 3.0, "ample": 35.0, "scarce": 60.0}  # %
SHAPES: dict[str, dict[str, Any]] = {
    "demo": {},
    "qwen3": {
        **{"hidden_size": 64, "intermediate_size": 192, "num_hidden_layers": 3, "head_dim": 16},
        **{"num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": True},
    },
    "gpt2": {"n_embd": 64, "n_layer": 3, "n_head": 4, "n_positions": 512},
}
PRETRAINING = {"lora": False, "learning_rate": 3e-3, "batch_size": 16, "warmup_ratio": 0.05}
PRETRAINED_ON = 8000  # chats
SFT = {"batch_size": 4, "learning_rate": 4e-3}
DPO = {"batch_size": 2, "learning_rate": 1e-3, "training_method": "dpo"}
ALIKE = {"warmup_ratio": 0.05, "lora_r": 8}
SIZES = {("sft", "ample"): (800, 1), ("sft", "scarce"): (24, 20)}
SIZES |= {("dpo", "ample"): (400, 1), ("dpo", "scarce"): (12, 20)}
"""Rows and epochs."""
MEASURED = {"sft": 48, "dpo": 24}  # validation rows


class Case(NamedTuple):
    """A sweep."""

    shape: str
    method: str
    data: str
    seed: int

    @property
    def name(self) -> str:
        return " ".join(map(str, self))


class Recorded(NamedTuple):
    """An arm that was trained to its end."""

    losses: dict[int, float]
    failed: str


def cases(n_seeds: int) -> list[Case]:
    """Every shape, method and amount of data; of three seeds one each, or all."""
    found = list[Case]()
    for shape in SHAPES:
        for method, data in SIZES:
            first = len(found) // n_seeds
            seeds = [(first + i) % 3 for i in range(n_seeds)]
            found += [Case(shape, method, data, seed) for seed in seeds]
    return found


# --- what is trained -------------------------------------------------------------------------


def model(folder: Path, shape: str) -> Path:
    """The demo model, or another one that was taught to chat for a minute."""
    path = folder / "models" / shape / "tuned"
    if shape == "demo":
        return demo.MODEL
    if not (path / "model.safetensors").exists():
        _pretrain(path, shape)
    return path


def _pretrain(path: Path, shape: str) -> None:
    import shutil

    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from ftlab.train.loop import train

    made = path.with_name("untrained")
    shutil.copytree(demo.MODEL, made, ignore=shutil.ignore_patterns("*.safetensors", "config.json"))
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        shape, vocab_size=1024, bos_token_id=None, eos_token_id=2, pad_token_id=0, **SHAPES[shape]
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(made)
    chatter = ({"messages": chat} for chat in islice(chats(1), PRETRAINED_ON))
    rows = write_rows(made / "rows.jsonl", chatter)
    job = prepare({**PRETRAINING, "model": str(made), "training_file": str(rows)}).job
    for _ in train(job, path, "cpu", lambda: None):
        pass


def plan(folder: Path, case: Case, *, halving: bool) -> Plan:
    """Seven rates a factor √10 apart."""
    n_rows, n_epochs = SIZES[case.method, case.data]
    name = "train.jsonl" if case.method == "sft" else "preferences.jsonl"
    drawn = (row for i in range(9) for row in data_files(100 * case.seed + i)[name])
    held = data_files(1000 + case.seed)["held_out.jsonl" if case.method == "sft" else name]
    kind = f"{case.method} {case.data} {case.seed}"
    rows = write_rows(folder / f"{kind}.jsonl", islice(drawn, n_rows))
    measured = write_rows(folder / f"{kind} held.jsonl", held[: MEASURED[case.method]])
    values = {
        **(SFT if case.method == "sft" else DPO),
        **ALIKE,
        **{"model": str(model(folder, case.shape)), "random_seed": case.seed},
        **{"training_file": str(rows), "validation_file": str(measured), "n_epochs": n_epochs},
    }
    job = prepare(values).job
    n_steps = -(-n_rows // int(job.spec.batch_size)) * n_epochs
    rates = grid(job.spec.learning_rate or 0.0, N_ARMS)
    return planned(job, {"learning_rate": rates}, n_steps, halving=halving)


def train(folder: Path, plan: Plan) -> Sweep:
    """Train a sweep to its end."""
    sweep = Sweep.of(plan, folder / "sweeps")
    arguments = [sys.executable, "-P", "-m", "ftlab.train.sweep", str(sweep.path)]
    with sweep.log_file.open("wb") as log:
        subprocess.run(arguments, env=environment(), stdout=log, stderr=log, check=False)
    if sweep.status != "completed":
        sys.exit(f"{sweep}: {sweep.state}")
    return sweep


# --- grids, recorded -------------------------------------------------------------------------


class Curves:
    """The recorded arms of a case, in a file; an arm that is not there is trained."""

    def __init__(self, folder: Path, case: Case) -> None:
        self.plan = plan(folder, case, halving=True)
        self._folder, self._grid = folder, plan(folder, case, halving=False)
        self._file = folder / f"{case.name}.json"
        self._known: dict[str, Any] = {}
        if self._file.exists():
            self._known = json.loads(self._file.read_text())
        else:
            self._record(self._grid)

    def of(self, arm: Arm) -> Recorded:
        """An arm to its end."""
        if arm.name not in self._known:
            self._record(self._grid.model_copy(update={"arms": (arm,)}))
        losses, failed = self._known[arm.name]
        return Recorded({int(step): float(loss) for step, loss in losses.items()}, failed)

    def _record(self, plan: Plan) -> None:
        for arm, run in train(self._folder, plan).arms:
            failed = run.state.detail if run.status == "failed" else ""
            self._known[arm.name] = run.history.series["eval_loss"], failed
        self._file.write_text(json.dumps(self._known))


class Played(NamedTuple):
    """A halved sweep."""

    arms: list[Arm]
    curves: dict[int, dict[int, float]]
    decided: list[Any]


def play(plan: Plan, of: Callable[[Arm], Recorded]) -> Played:
    """The course of a sweep whose arms are known."""
    arms, curves, decided = [*plan.arms], dict[int, dict[int, float]](), list[Any]()
    live, rung = {*range(len(arms))}, 0
    while rung < len(plan.rungs) and live:
        step = plan.rungs[rung]
        standings = list[Standing]()
        for number in sorted(live):
            known = of(arms[number])
            curves[number] = {s: loss for s, loss in known.losses.items() if s <= step}
            failed = known.failed if max(known.losses) < step else ""
            standings.append(Standing(number, step, {} if failed else curves[number], failed))
        decision = decide(plan, arms, rung, standings)
        decided.append(_in_short(decision))
        live -= decision.stopped.keys()
        live |= {*range(len(arms), len(arms) + len(decision.added))}
        arms += [Arm(**arm) for arm in decision.added]
        rung += not decision.added
    return Played(arms, curves, decided)


def _in_short(decision: Any) -> Any:
    return decision.rung, decision.kept, sorted(decision.stopped), len(decision.added)


class Figures(NamedTuple):
    """What halving made of a grid."""

    best: float
    pick: float
    regret: float
    """%"""
    share: float
    """% of the steps of the grid."""

    @property
    def is_same_decade(self) -> bool:
        return abs(math.log10(self.pick / self.best)) < 1


def figures(plan: Plan, of: Callable[[Arm], Recorded]) -> Figures:
    """The pick of halving against the best arm of the grid, both by their best checkpoint."""
    whole = {arm.rate or 0.0: best_loss(of(arm).losses) or math.inf for arm in plan.arms}
    best = min(whole, key=whole.__getitem__)
    played = play(plan, of)
    found = answer(plan, played.arms, played.curves)
    assert found is not None
    loss = best_loss(played.curves[found.best]) or math.inf
    regret = 100 * (loss / whole[best] - 1)
    return Figures(best, played.arms[found.best].rate or 0.0, regret, 100 * found.share)


def is_the_same_for_real(folder: Path, plan: Plan, of: Callable[[Arm], Recorded]) -> bool:
    """Whether a halved sweep decides and measures what was played."""
    sweep, played = train(folder, plan), play(plan, of)
    curves = sweep.curves()
    return [_in_short(d) for d in sweep.decisions] == played.decided and curves == played.curves


def measure(folder: Path, n_seeds: int = 1, n_real: int = 3) -> bool:
    """Print the table; returns whether all is as wanted. What was trained stays in the folder."""
    print(f"{'sweep':24}{'best':>9}{'pick':>9}{'regret':>9}{'steps':>8}   decade")
    rows = list[tuple[Case, Figures]]()
    for case in cases(n_seeds):
        curves = Curves(folder, case)
        found = figures(curves.plan, curves.of)
        rows.append((case, found))
        decade = "same" if found.is_same_decade else "another"
        print(
            f"{case.name:24}{found.best:9.2g}{found.pick:9.2g}{found.regret:8.2f} %"
            f"{found.share:6.0f} %   {decade}",
            flush=True,
        )
    held = [*_judged(rows)]
    for case in cases(n_seeds)[:: len(rows) // n_real + 1]:
        curves = Curves(folder, case)
        same = is_the_same_for_real(folder, curves.plan, curves.of)
        print(f"{case.name}: halved for real, {'the same' if same else 'NOT the same'}", flush=True)
        held.append(same)
    return all(held)


def _judged(rows: list[tuple[Case, Figures]]) -> Iterator[bool]:
    regrets = [found.regret for _, found in rows]
    same = sum(found.is_same_decade for _, found in rows)
    print(f"same decade: {same} of {len(rows)}")
    yield same == len(rows)
    said = partial(_said, WANTED)
    yield said("regret, median", statistics.median(regrets), "median")
    yield said("regret, worst", max(regrets), "worst")
    for data in ("ample", "scarce"):
        shares = [found.share for case, found in rows if case.data == data]
        yield said(f"steps, {data}, most", max(shares), data)


def _said(wanted: dict[str, float], what: str, figure: float, name: str) -> bool:
    holds = figure <= wanted[name]
    print(f"{what}: {figure:.2f} % {'✓' if holds else '✗'} (at most {wanted[name]:g} %)")
    return holds
