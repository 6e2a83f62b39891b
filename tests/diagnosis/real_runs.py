"""Real runs of ftlab's trainer that are labelled by how they were made, and their curves on disk.

    python -m tests.diagnosis.real_runs [NAME …]

makes them anew: grids of learning rates on small jobs, then runs that are spoiled on purpose at
the best rate of a grid. About ten seconds each on one core.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
import tempfile
import warnings
from array import array
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from ftlab import demo
from ftlab.errors import FtlabError
from tests.diagnosis.real_curves import RECORDED
from tests.diagnosis.real_jobs import GRIDS, SPOILED, Grid, Spoiled, made_data
from tests.diagnosis.real_labels import allowed_when, best, labelled

SQRT_10 = 10**0.5
DIGITS = {"train_loss": 4, "grad_norm": 2, "eval_loss": 4}


def carried_out(
    folder: Path, spec: dict[str, Any], seed: int, change: Callable[[Any], None] | None = None
) -> dict[str, Any]:
    """The curve of a run: what is known of its job, and its metrics by step."""
    from ftlab.advice import recommend
    from ftlab.data.report import scan
    from ftlab.events import Metrics
    from ftlab.models import read_info
    from ftlab.providers import prepare
    from ftlab.train import loop
    from ftlab.train.training import Training

    values = {"random_seed": seed, "n_epochs": 1, **_with_paths(folder, spec)}
    ready = prepare(values)
    recommended = recommend(
        ready.job.spec, scan(values["training_file"]), read_info(values["model"])
    )
    chosen = loop.prepared(ready.job, "cpu")
    if change:
        change(chosen)
    adapter = folder / "adapter"
    shutil.rmtree(adapter, ignore_errors=True)
    with tempfile.TemporaryDirectory() as states:
        run = Training(chosen, lambda: None, loop.Saving(Path(states)))
        events, failure = [], ""
        try:
            for event in chain(run.began(), run.steps(), run.ended(adapter)):
                events.append(event)
        except FtlabError as exc:  # its loss or gradient is no number
            failure = str(exc)
    series: dict[str, dict[int, float]] = {}
    for event in events:
        if isinstance(event, Metrics):
            for name, value in event.values.items():
                series.setdefault(name, {})[event.step] = value
    resolved = ready.job.spec
    return {
        "spec": {
            name: getattr(resolved, name)
            for name in (
                *("learning_rate", "lr_scheduler_type", "warmup_ratio", "min_lr_ratio"),
                *("scheduler_num_cycles", "batch_size", "n_epochs", "training_method"),
            )
        },
        "recommended_lr": recommended["learning_rate"].value,
        "vocab_size": _vocabulary(values["model"]),
        "steps_per_epoch": -(-chosen.training.n_sequences // int(resolved.batch_size or 1)),
        "n_steps": run.n_steps,
        **({"failure": failure} if failure else {}),
        "loss_tokens": sorted(series["loss_tokens"].values())[len(series["loss_tokens"]) // 2],
        **{name: _short(series[name], DIGITS[name]) for name in DIGITS if name in series},
    }


def _with_paths(folder: Path, spec: dict[str, Any]) -> dict[str, Any]:
    """The names of files and models that lie in `folder` as their paths."""
    named = {"model", "training_file", "validation_file"} & spec.keys()
    found = {k: str(folder / spec[k]) for k in named if spec[k] and (folder / spec[k]).exists()}
    return {k: v for k, v in {**spec, **found}.items() if v is not None}


def _vocabulary(model: str) -> int:
    folder = demo.MODEL if model == "demo" else Path(model)
    return json.loads((folder / "config.json").read_text())["vocab_size"]


def _short(points: dict[int, float], digits: int) -> dict[str, list[float]]:
    """Step → value as two lists of so many digits; without the steps where they are 1, 2, 3, …"""
    values = [float(f"{value:.{digits}g}") for value in points.values()]
    values = [int(value) if value.is_integer() else value for value in values]
    if [*points] == [*range(1, len(points) + 1)]:
        return {"values": values}
    return {"steps": [*points], "values": values}


def _relabelled(label: Callable[[Any], list[int]]) -> Callable[[Any], None]:
    """Give every row of the training data other labels."""

    def change(ready: Any) -> None:
        read = ready.training._as_trained
        ready.training._as_trained = lambda row: _replaced(read(row), label)

    return change


def _replaced(row: Any, label: Callable[[Any], list[int]]) -> Any:
    return row._replace(labels=array("i", label(row)))


def _random_targets(ready: Any) -> None:
    draw = random.Random(1)
    size = ready.trainer.model.config.vocab_size

    def label(row: Any) -> list[int]:
        return [x if x < 0 else draw.randrange(size) for x in row.labels]

    _relabelled(label)(ready)


def _nothing_trains(ready: Any) -> None:
    _relabelled(lambda row: [-100] * len(row.labels))(ready)


def _frozen(ready: Any) -> None:
    for parameter in ready.trainer.model.parameters():
        if parameter.requires_grad:
            parameter.register_hook(lambda gradient: gradient * 0)


CHANGES = {
    "random_targets": _random_targets,
    "nothing_trains": _nothing_trains,
    "frozen_adapter": _frozen,
}


def make_grid(folder: Path, name: str, grid: Grid) -> Iterator[dict[str, Any]]:
    """The arms of a grid, each with its curve and its right answers; none if they say nothing."""
    arms = []
    for place in range(grid.n_arms):
        rate = float(f"{grid.highest / SQRT_10**place:.3g}")
        arms.append(carried_out(folder, {**grid.spec, "learning_rate": rate}, grid.seed))
        print(name, rate, best(arms[-1]), arms[-1]["train_loss"]["values"][-1], flush=True)
    for arm in labelled(arms):
        rate = arm["spec"]["learning_rate"]
        yield {"name": f"{name}, {rate:g}", "seed": grid.seed, **arm}


def make_spoiled(folder: Path, name: str, one: Spoiled, spec: dict[str, Any]) -> dict[str, Any]:
    """A run that is spoiled; `spec` is the best arm of its grid."""
    spec = spec | one.changes
    if one.kind == "nothing_left_to_learn":
        carried_out(folder, spec, one.seed + 1)
        kept = folder / "learned"
        shutil.rmtree(kept, ignore_errors=True)
        (folder / "adapter").rename(kept)
        spec = {**spec, "from_checkpoint": str(kept)}
    curve = carried_out(folder, spec, one.seed, CHANGES.get(one.kind))
    return {
        "name": name,
        "allowed": sorted(allowed_when(one.kind, curve)),
        "seed": one.seed,
        **curve,
    }


def main(names: list[str]) -> None:
    warnings.simplefilter("ignore")
    known = json.loads(RECORDED.read_text()) if RECORDED.exists() else []
    found = {curve["name"]: curve for curve in known}
    for name, grid in GRIDS.items():
        if not names or name in names:
            with tempfile.TemporaryDirectory() as folder:
                made_data(Path(folder))
                for curve in make_grid(Path(folder), name, grid):
                    found[curve["name"]] = curve
            saved(found, RECORDED)
    for name, one in SPOILED.items():
        if names and name not in names:
            continue
        arms = [c for c in found.values() if c["name"].startswith(f"{one.grid}, ")]
        optimum = next(c["spec"]["learning_rate"] for c in arms if c.get("ratio") == 1)
        with tempfile.TemporaryDirectory() as folder:
            made_data(Path(folder))
            spec = GRIDS[one.grid].spec | {"learning_rate": optimum}
            found[name] = make_spoiled(Path(folder), name, one, spec)
            print(name, found[name]["train_loss"]["values"][::20], flush=True)
        saved(found, RECORDED)


def saved(found: dict[str, dict[str, Any]], file: Path) -> None:
    lines = ",\n".join(json.dumps(curve, separators=(",", ":")) for curve in found.values())
    file.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
