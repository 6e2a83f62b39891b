"""Time and memory of whole runs on this machine, against what was estimated before them.

    python tests/benchmarks/estimates.py

The demo job, and random Llamas of two sizes with short and long rows. Memory is the peak
resident size of the training process, sampled every 20 ms; time is from `submit()` to the end.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import psutil

from ftlab import demo
from ftlab.cost import estimate
from ftlab.data.report import scan
from ftlab.providers import submit
from ftlab.runs import Run
from tests.small import chat_rows, save_model, write_rows

GIB = 2**30


def jobs(folder: Path) -> dict[str, dict]:
    """Specs by what they show."""
    small = {"hidden_size": 512, "intermediate_size": 1408, "num_hidden_layers": 8}
    large = {"hidden_size": 1024, "intermediate_size": 2816, "num_hidden_layers": 12}
    heads = {"num_attention_heads": 8, "num_key_value_heads": 4, "vocab_size": 32000}
    long = [
        {"messages": [turn for chat in chat_rows(24, start) for turn in chat["messages"]]}
        for start in range(0, 64 * 24, 24)
    ]
    short_file = write_rows(folder / "short.jsonl", chat_rows(256))
    long_file = write_rows(folder / "long.jsonl", long)
    common = {"batch_size": 16, "n_epochs": 1, "n_evals": 0, "n_checkpoints": 1}
    models = {
        name: str(save_model(folder / name, max_position_embeddings=4096, **shape, **heads))
        for name, shape in [("small", small), ("large", large)]
    }
    found = {"demo": dict(demo.JOB)}
    for name, model in models.items():
        for kind, file in [("short", short_file), ("long", long_file)]:
            steps = {"max_steps": 8} if kind == "short" else {"max_steps": 2}
            found[f"{name}, {kind} rows"] = (
                common
                | steps
                | {
                    "model": model,
                    "training_file": str(file),
                }
            )
    return found


def measured(run: Run) -> tuple[float, float]:
    """Seconds and peak bytes of the run's process."""
    began, peak = time.time(), 0
    while not run.state.ended:
        for process in psutil.process_iter(["cmdline"]):
            if str(run.path) in " ".join(process.info["cmdline"] or []):
                try:
                    peak = max(peak, process.memory_info().rss)
                except psutil.NoSuchProcess:  # it ended between the two lines
                    continue
        time.sleep(0.02)
    return time.time() - began, peak


def main() -> None:
    outside = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["FTLAB_LEASES"] = str(folder / "leases")
        for title, values in jobs(folder).items():
            report = scan(values["training_file"], values["model"])
            held_out = values.get("validation_file")
            validation = scan(held_out, values["model"]) if held_out else None
            expected = estimate(values, report, validation=validation)
            run = submit(values, report=report, folder=folder / "runs")
            seconds, peak = measured(run)
            print(f"{title}: {run.state.status}, {expected.train_tokens:,} tokens")
            for what, value, (low, high), unit in (
                ("time", seconds, expected.duration, "s"),
                ("memory", peak / GIB, [b / GIB for b in expected.memory], "GiB"),
            ):
                outside += not low <= value <= high
                print(f"  {what} {value:.2f} {unit}, estimated {low:.2f} to {high:.2f}")
    print(f"{outside} figures outside their interval")
    sys.exit(bool(outside))


if __name__ == "__main__":
    main()
