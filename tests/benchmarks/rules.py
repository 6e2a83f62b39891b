"""How long it takes to say everything that is wrong with a spec, as with every key in the form.

    python tests/benchmarks/rules.py

Specs as they are while somebody types, with the limits of a model as the service replies them and
the scan of a small file, a large one, and one of rows of 30,000 different lengths. Figures are the
median and the worst of 1,000 calls of `check()`, after 100 that are not counted; the whole rule
book must stay below 1 ms.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from typing import Any

from ftlab.data.report import DataReport
from ftlab.rulebook import RULES
from ftlab.rules import check
from ftlab.spec import parse
from tests.rules.service_jobs import replies

N_CALLS, N_UNCOUNTED = 1_000, 100
TYPED: dict[str, Any] = {
    "model": "Qwen/Qwen3-8B",
    "training_file": "train.jsonl",
    "validation_file": "valid.jsonl",
    "n_evals": 5,
    "n_epochs": 3,
    "learning_rate": 3e-4,
    "warmup_ratio": 0.05,
    "batch_size": 16,
    "max_seq_length": 512,
    "lora_r": 16,
    "suffix": "first-try",
}
SPECS: dict[str, dict[str, Any]] = {
    "nothing typed": {},
    "all right": TYPED,
    "a value half typed": {**TYPED, "learning_rate": "3e-", "batch_size": 0},
    "eight mistakes": {
        **TYPED,
        **{"n_epochs": 0, "lora_rank": 8, "dpo_beta": 0.1, "train_on_inputs": "yes"},
        **{"from_checkpoint": "ft-1", "max_steps": 5, "packing": True, "lora": False},
    },
}


def scanned(n_rows: int, n_lengths: int) -> DataReport:
    lengths = {20 + length: n_rows // n_lengths for length in range(n_lengths)}
    return DataReport.model_validate(
        {
            "path": "train.jsonl",
            "n_rows": n_rows,
            "format": "conversation",
            "tokens": {"lengths": lengths, "by_role": {}},
        }
    )


def timed(call: Callable[[], object]) -> tuple[float, float]:
    """Median and worst time of a call in ms."""
    times = []
    for _ in range(N_UNCOUNTED + N_CALLS):
        start = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times[N_UNCOUNTED:]), max(times[N_UNCOUNTED:])


def main() -> None:
    limits = replies(random.Random(1))
    reports = {
        "no scan": None,
        "10,000 rows": scanned(10_000, 1_000),
        "1,000,000 rows": scanned(1_000_000, 5_000),
        "30,000 lengths": scanned(1_000_000, 30_000),
    }
    print(f"{len(RULES)} rules, ms: median (worst) of {N_CALLS:,}")
    print(f"{'':20}" + "".join(f"{name:>18}" for name in reports))
    for name, values in SPECS.items():
        figures = [timed(lambda v=values, r=r: check(v, limits, r)) for r in reports.values()]
        cells = [f"{median:.3f} ({worst:.2f})" for median, worst in figures]
        print(f"{name:20}" + "".join(f"{cell:>18}" for cell in cells))
    median, worst = timed(lambda: parse(TYPED))
    print(f"{'parse() alone':20}{f'{median:.3f} ({worst:.2f})':>18}")


if __name__ == "__main__":
    main()
