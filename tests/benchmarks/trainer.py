"""ftlab's trainer against TRL's, on the same tokens in the same order from the same adapter.

    python tests/benchmarks/trainer.py [sft|packed|bf16|dpo|wide|start|all] [--pairs 5] [--steps 4]

Every contender is a process of its own and they take turns; the first two steps of each don't
count. Printed are medians and ranges, and of what ran one after the other the ratios, beside what
is wanted of them. The exit status says whether all of it holds. Memory is the highest resident
size of a process. `wide` compares with the machine's bare matrix products, `start` is
`first_step.py`. Nothing else should run meanwhile; `all` takes most of an hour on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ftlab.processes import environment, patience
from tests.benchmarks import first_step
from tests.benchmarks.trainer_figures import (
    WARM_UP,
    Goal,
    Told,
    judge,
    padding,
    table,
    useful_operations,
)
from tests.benchmarks.trainer_rows import LONGEST, make

ROOT = Path(__file__).parents[2]
REPORTING = Goal(0.005, at_most=True)
OFFLINE = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}

SMALL = {  # 24M weights in linear layers, 8M in the embedding
    "hidden_size": 512,
    "intermediate_size": 1280,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 8,
    "vocab_size": 16384,
    "tie_word_embeddings": True,
}
WIDE = SMALL | {
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "num_hidden_layers": 4,
    "num_attention_heads": 32,
}
LORA = {"lora_r": 16, "lora_trainable_modules": "all-linear", "learning_rate": 1e-3, "n_epochs": 1}
ROWS = {**LORA, "batch_size": 8}
PACKS = {**LORA, "batch_size": 1, "packing": True}
PAIRS = {**LORA, "batch_size": 4, "training_method": "dpo"}

FLAT = {"padding_free": True, "max_length": None}
PADDED = {"max_length": LONGEST}
TUNED = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(2 << 30)}


@dataclass(frozen=True)
class Peer:
    """TRL with some of its settings, and what is wanted against it."""

    title: str
    config: dict[str, Any]
    speed: Goal
    """Tokens per second, as a ratio."""
    memory: Goal | None = None
    """Peak, as a ratio."""
    variables: dict[str, str] = field(default_factory=dict)
    """Of its environment."""


@dataclass(frozen=True)
class Case:
    """What ftlab trains, and against whom."""

    values: dict[str, Any]
    peers: tuple[Peer, ...] = ()
    shape: dict[str, Any] = field(default_factory=lambda: SMALL)
    dtype: str = "float32"
    products: Goal | None = None
    """Useful operations per second, as a share of those of bare matrix products."""


CASES = {
    "sft": Case(
        ROWS,
        (
            Peer("TRL padding_free", FLAT, Goal(2.2, 2.08), Goal(0.5, 0.47, at_most=True)),
            Peer("same, malloc tuned", FLAT, Goal(1.8, 1.71), variables=TUNED),
            Peer("TRL padded", PADDED, Goal(3.3, 3.3)),
        ),
    ),
    "packed": Case(PACKS, (Peer("TRL packing", {**PADDED, "packing": True}, Goal(2.0, 1.96)),)),
    "bf16": Case(ROWS, (Peer("TRL padding_free", FLAT, Goal(2.5, 2.0)),), dtype="bfloat16"),
    "dpo": Case(PAIRS, (Peer("TRL DPO", PADDED, Goal(4.5, 4.0)),)),
    "wide": Case(ROWS, shape=WIDE, products=Goal(0.85, 0.89)),
    "wide bf16": Case(ROWS, shape=WIDE, dtype="bfloat16", products=Goal(0.45, 0.33)),
}
GROUPS = {
    **{name: [name] for name in ("sft", "packed", "bf16", "dpo", "start")},
    "wide": ["wide", "wide bf16"],
    "all": ["sft", "packed", "bf16", "dpo", "wide", "wide bf16", "start"],
}


def measure(name: str, n_pairs: int, n_steps: int) -> bool:
    """Let the contenders of a case take turns, and print it; returns whether all goals hold."""
    case = CASES[name]
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        make(folder, case.shape, {**case.values, "max_steps": WARM_UP + n_steps}, case.dtype)
        empty = padding(folder, case.values["batch_size"])
        print(f"{name}: {case.dtype}, {n_steps} steps; padded, {empty:.0%} would be padding")
        rounds = [_round(case, folder, WARM_UP + n_steps) for _ in range(n_pairs)]
        ours, *theirs = map(list, zip(*rounds, strict=True))
        table({"ftlab": ours, **{p.title: t for p, t in zip(case.peers, theirs, strict=True)}})
        held = [
            judge("reporting, share of a step", [told.reporting for told in ours], REPORTING),
            *(_against(case, p, ours, t) for p, t in zip(case.peers, theirs, strict=True)),
        ]
        if case.products:
            size, goal = case.values["batch_size"], case.products
            for what, narrow in (("useful operations", False), ("those it takes", True)):
                operations = useful_operations(folder, size, narrow=narrow)
                shares = [operations / told.counted / (told.products or 1) for told in ours]
                held.append(judge(f"{what} / bare products", shares, None if narrow else goal))
    return all(held)


def _round(case: Case, folder: Path, n_steps: int) -> list[Told]:
    """What each said: ftlab first, then its peers."""
    told = [
        _run(
            "trainer_ftlab",
            folder,
            {"products": case.products is not None},
            environment() | patience(),
        )
    ]
    for peer in case.peers:
        asked = {
            "method": case.values.get("training_method", "sft"),
            "dtype": case.dtype,
            "config": {
                "per_device_train_batch_size": case.values["batch_size"],
                "learning_rate": case.values["learning_rate"],
                "bf16": case.dtype == "bfloat16",
                "max_steps": n_steps,
                **peer.config,
            },
        }
        told.append(_run("trainer_trl", folder, asked, {**os.environ, **OFFLINE, **peer.variables}))
    print(f"  {told[0].threads} threads, tokens/s", *(f"{one.speed:,.0f}" for one in told))
    return told


def _run(module: str, folder: Path, asked: Mapping[str, Any], variables: Mapping[str, str]) -> Told:
    """Run a contender to its end."""
    module = f"tests.benchmarks.{module}"
    done = subprocess.run(
        [sys.executable, "-m", module, str(folder), str(time.time()), json.dumps(asked)],
        cwd=ROOT,
        env=dict(variables),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"{module} failed:\n{done.stderr}")
    return Told(**json.loads(done.stdout.splitlines()[-1]))


def _against(case: Case, peer: Peer, ours: Sequence[Told], theirs: Sequence[Told]) -> bool:
    """Print the ratios of pairs; returns whether they hold."""
    pairs = list(zip(ours, theirs, strict=True))
    print(f"  against {peer.title}")
    if case.values.get("packing"):  # each has rows of its own in a step
        speeds = [a.speed / b.speed for a, b in pairs]
    else:
        speeds = [b.counted / a.counted for a, b in pairs]
        apart = [abs(x - y) for a, b in pairs for x, y in zip(a.losses, b.losses, strict=True)]
        print(f"    losses of steps differ by {max(apart):.1e} at most, of {ours[0].losses[0]:.3g}")
    held = judge("tokens per second", speeds, peer.speed)
    return judge("peak", [a.peak_bytes / b.peak_bytes for a, b in pairs], peer.memory) and held


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("group", nargs="?", choices=GROUPS, default="all")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4, help="those that count")
    asked = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)
    held = [
        first_step.measure(asked.pairs)
        if name == "start"
        else measure(name, asked.pairs, asked.steps)
        for name in GROUPS[asked.group]
    ]
    sys.exit(not all(held))


if __name__ == "__main__":
    main()
