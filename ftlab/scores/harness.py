"""lm-evaluation-harness: its command for base and tuned model, and its results in our table.

It is a process of its own, for which the lease of the device is held. What it measures tells
whether tuning has cost what the base could do before (catastrophic forgetting).
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ftlab.answers import BASE, device_of, model_of, tuned_folder
from ftlab.devices import lease
from ftlab.errors import MissingExtra, RunError
from ftlab.models import fetch
from ftlab.processes import environment
from ftlab.run import Run
from ftlab.scores.columns import identity_of
from ftlab.scores.intervals import Z

PACKAGE, EXTRA = "lm_eval", "eval"
POLL = 0.2  # seconds
TAIL = 600  # characters of its log

Told = Callable[[str], None]


class Figure(NamedTuple):
    """One metric of one task."""

    value: float
    stderr: float | None
    higher_is_better: bool


Results = dict[str, dict[str, Figure]]
"""Task → metric → figure."""


class Line(NamedTuple):
    """A metric of a task for both models."""

    task: str
    metric: str
    base: Figure
    tuned: Figure

    @property
    def gain(self) -> float:
        """How much better the tuned model is."""
        change = self.tuned.value - self.base.value
        return change if self.base.higher_is_better else -change

    @property
    def verdict(self) -> str:
        """Worse or better where it is so by more than 1.96 standard errors of the difference;
        nothing where the harness gives no standard error."""
        if self.base.stderr is None or self.tuned.stderr is None:
            return ""
        room = Z * math.hypot(self.base.stderr, self.tuned.stderr)
        if self.gain < -room:
            return "worse than base"
        return "better than base" if self.gain > room else "no better than base"


def evaluate(
    run: Run, tasks: Sequence[str], *, more: Sequence[str] = (), told: Told = lambda _: None
) -> list[Line]:
    """What base and tuned model reach in tasks of the harness; what it found before for the same
    weights is not computed again. `more` are options of its own; `told` hears what it says, and
    may raise to end it.

    Raises MissingExtra where it is not installed, and RunError where it fails.
    """
    if importlib.util.find_spec(PACKAGE) is None:
        raise MissingExtra("lm-eval", EXTRA)
    folder = _folder(run, tasks, more)
    for output in (folder / BASE, folder / _tuned_name(run)):
        if _results_in(output) is None:
            _run(run, command(run, output, tasks, more), output, told)
    return _lines(folder / BASE, folder / _tuned_name(run))


def command(run: Run, output: Path, tasks: Sequence[str], more: Sequence[str] = ()) -> list[str]:
    """What starts the harness for the base, or for what was tuned, as `output` is named."""
    model = {"pretrained": str(fetch(model_of(run)))}
    if output.name != BASE:
        model["pretrained" if run.is_whole_model else "peft"] = str(tuned_folder(run))
    device = device_of(run)
    if device == "cpu":
        model["dtype"] = "float32"
    return [
        *(sys.executable, "-P", "-m", PACKAGE, "run", "--model", "hf"),
        *("--model_args", ",".join(f"{name}={value}" for name, value in model.items())),
        *("--tasks", ",".join(tasks), "--device", device, "--output_path", str(output)),
        *more,
    ]


def kept_lines(run: Run) -> list[Line]:
    """What was found before, of the weights as they are now; files that can't be read are passed
    over."""
    found = list[Line]()
    if not run.adapter.exists():
        return found
    for folder in sorted(_home(run).glob("*/")):
        with contextlib.suppress(RunError):
            found += _lines(folder / BASE, folder / _tuned_name(run))
    return found


def _home(run: Run) -> Path:
    return run.score_folder / "lm-eval"


def _folder(run: Run, tasks: Sequence[str], more: Sequence[str]) -> Path:
    """Of these tasks; in it one folder for each model."""
    asked = json.dumps([sorted(tasks), list(more)])
    return _home(run) / hashlib.sha256(asked.encode()).hexdigest()[:12]


def _tuned_name(run: Run) -> str:
    return f"tuned-{identity_of(tuned_folder(run))[:12]}"


# --- its process -----------------------------------------------------------------------------


def _run(run: Run, arguments: list[str], output: Path, told: Told) -> None:
    """Wait for the device, then for the harness. Raises RunError where that fails."""
    output.mkdir(mode=0o700, parents=True, exist_ok=True)
    device, log = device_of(run), output / "log.txt"
    waits = f"Waiting for {device}."
    with lease(device, "lm-eval", given_up=lambda: bool(told(waits))), log.open("wb") as stream:
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=environment(),
        )
        try:
            while process.poll() is None:
                told(f"lm-eval, {output.name.partition('-')[0]}: {_last_line(log)}")
                time.sleep(POLL)
        finally:
            _end(process)
    if process.returncode or _results_in(output) is None:
        text = log.read_text(encoding="utf-8", errors="replace")[-TAIL:]
        raise RunError(
            f"lm-eval ended with {process.returncode} and without results; it must load the model "
            f"and know the tasks (`lm_eval ls tasks` lists them). Its log ends with: {text}"
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    """It, and what it has started."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _last_line(log: Path) -> str:
    """A progress bar writes over its own line."""
    text = log.read_bytes()[-TAIL:].decode("utf-8", "replace").replace("\r", "\n").strip()
    return text.rpartition("\n")[2][-160:]


# --- its results -----------------------------------------------------------------------------


def _lines(base: Path, tuned: Path) -> list[Line]:
    """Both models side by side, where there are results of both."""
    before, after = _results_in(base), _results_in(tuned)
    return [
        Line(task, metric, figure, after[task][metric])
        for task, metrics in (before or {}).items()
        for metric, figure in metrics.items()
        if after is not None and metric in after.get(task, {})
    ]


def _results_in(output: Path) -> Results | None:
    """The newest of a folder; None where there are none."""
    files = sorted(output.glob("**/results_*.json"))
    return read_results(files[-1]) if files else None


def read_results(file: Path) -> Results:
    """What the harness has written. Raises RunError where the file holds nothing of it."""
    try:
        data = json.loads(file.read_bytes())
        better = data.get("higher_is_better", {})
        return {
            task: dict(_figures(told, better.get(task, {})))
            for task, told in data["results"].items()
        }
    except (OSError, ValueError, KeyError, AttributeError) as exc:
        raise RunError(
            f"{file} can't be read ({exc!r}); it holds results as lm-eval writes them. Move it "
            "away, and run it again."
        ) from exc


def _figures(told: dict[str, Any], better: dict[str, Any]) -> Iterator[tuple[str, Figure]]:
    """Its keys are a metric and the filter of the answers: "acc,none", "acc_stderr,none"."""
    for key, value in told.items():
        metric, _, kind = key.partition(",")
        if not kind or metric.endswith("_stderr") or isinstance(value, (bool, str)):
            continue
        error = told.get(f"{metric}_stderr,{kind}")
        stderr = float(error) if isinstance(error, (int, float)) else None
        name = metric if kind == "none" else f"{metric} ({kind})"
        yield name, Figure(float(value), stderr, bool(better.get(metric, True)))
