"""The doctor: what the curve of a run means, how sure that is, and what to do.

`verdicts.py` and `observations.py` hold the detectors; each carries a curve that proves it.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ftlab.diagnosis.curve import Curve as Curve
from ftlab.diagnosis.doctor import diagnose as diagnose
from ftlab.diagnosis.findings import Advice as Advice
from ftlab.diagnosis.findings import Diagnosis as Diagnosis
from ftlab.diagnosis.findings import Finding as Finding
from ftlab.diagnosis.reading import SUFFIXES, curve_of_file, curve_of_run
from ftlab.diagnosis.watch import Watch as Watch
from ftlab.errors import RunError, UnreadableData

if TYPE_CHECKING:
    from ftlab.run import Run


def doctor(
    run: Run | Path | str | None = None,
    *,
    vocab_size: int | None = None,
    steps_per_epoch: float | None = None,
    batch_size: int | None = None,
    recommended_lr: float | None = None,
) -> Diagnosis:
    """What the curve of a run means, or that in a CSV or JSON file; without one, of the newest run.

    A file has the columns step and train_loss, and may have eval_loss, grad_norm, learning_rate,
    loss_tokens, tokens_per_second, memory_gib, gpu_memory_gib, utilization (percent), step_seconds
    and loader_seconds, under these names or those of transformers, W&B, NeMo and torchtune; or it
    is a trainer_state.json. A row without a loss is no step.
    The keywords are what such a file can't say. Raises UnreadableData for another file, and
    RunError where there is no such run, or where it is a sweep.
    """
    known = {
        **{"vocab_size": vocab_size, "steps_per_epoch": steps_per_epoch},
        **{"batch_size": batch_size, "recommended_lr": recommended_lr},
    }
    return diagnose(curve_of(run, known))


def curve_of(run: Run | Path | str | None, known: dict) -> Curve:
    """The curve of a run, its id or its folder, or that in a file; `known` is added to it."""
    from ftlab.run import Run
    from ftlab.runs import attach

    for name, value in known.items():
        if value is not None:
            _check(name, value)
    if isinstance(run, (str, Path)) and Path(run).suffix.lower() in SUFFIXES:
        return curve_of_file(run, **known)
    _refuse_sweep(run.path if isinstance(run, Run) else run)
    found = run if isinstance(run, Run) else attach(run)
    return replace(curve_of_run(found), **{k: v for k, v in known.items() if v is not None})


def _check(name: str, value: float) -> None:
    least = 2 if name == "vocab_size" else 1 if name == "batch_size" else 0
    if not math.isfinite(value) or value < least or value == 0:
        allowed = f"a number from {least} on" if least else "a number above 0"
        raise UnreadableData(
            f"{name} is {value}; it must be {allowed}. Correct it, or leave it out."
        )


def _refuse_sweep(path: Path | str | None) -> None:
    if path is not None and (Path(path) / "sweep.json").is_file():
        raise RunError(
            f"{path} is a sweep, which has no curve of its own; the doctor takes one run. Give it "
            "one of the sweep's arms, such as sweep.winner or a folder below its arms/."
        )
