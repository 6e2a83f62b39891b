"""The verbs that follow runs or try them: train, attach, pause, resume, stop, ask, demo."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from ftlab.cli.hosted import submitted
from ftlab.cli.keeping import agreed
from ftlab.cli.printing import print_table, say, teller, visible
from ftlab.cli.sweeps import show, sweep
from ftlab.issues import SHAPES

NOTHING_YET = "Together has kept no checkpoint yet: nothing is left of what was paid for if"
UNDISTURBED = "It goes on."


def train(options: argparse.Namespace) -> int:
    """Train here, or at Together, which is paid for, and show the progress; Ctrl-C leaves the run
    going.

    With --on together the service is asked for its price, for which it gets the data, and nothing
    starts before somebody agrees to that: when asked, or by --pay-up-to.
    """
    run = submitted(options)
    return 1 if run is None else _show(run)


def attach(options: argparse.Namespace) -> int:
    """Show a run's progress, from its beginning to its end."""
    from ftlab.sweeps.folder import find

    return _show(find(options.run))


def pause(options: argparse.Namespace) -> int:
    """Save a run's state after its present step and free the device; `ftlab resume` goes on."""
    from ftlab.sweeps.folder import find

    run = find(options.run)
    run.pause()
    _show(run)
    return 0 if run.status == "paused" else 1


def resume(options: argparse.Namespace) -> int:
    """Go on with a run that was paused, that failed, or whose process was killed; with
    --pay-up-to with one that was refused for its price."""
    from ftlab.sweeps.folder import Sweep, find

    run = find(options.run)
    if options.pay_up_to is None or isinstance(run, Sweep):
        return _show(run.resume())
    return _show(run.resume(pay_up_to=options.pay_up_to))


def stop(options: argparse.Namespace) -> int:
    """End a run after its present step and keep what it has learned; a job at Together leaves
    nothing as long as no checkpoint is kept there, and asks first."""
    from ftlab.sweeps.folder import find

    run = find(options.run)
    if run.leaves_nothing and not agreed(options, f"{NOTHING_YET} {run.id} ends.", UNDISTURBED):
        return 1
    run.stop()
    return _show(run)


def ask(options: argparse.Namespace) -> int:
    """Answers of the base model and of a run's tuned model to one prompt."""
    from ftlab.answers import ask as answers_of
    from ftlab.runs import attach as find

    _print_answers([answers_of(find(options.run), options.prompt, told=teller())])
    return 0


def demo(options: argparse.Namespace) -> int:
    """Tune the model inside ftlab on its own data: about a minute, no network."""
    from ftlab import demo as brought
    from ftlab.answers import ask as answers_of
    from ftlab.data.rows import Rows
    from ftlab.providers import submit
    from ftlab.scores import score

    say("Tuning a tiny chat model to turn customer messages into JSON.")
    run = submit(brought.JOB)
    if _show(run):
        return 1
    rows = Rows(brought.HELD_OUT)
    questions = [rows[i]["messages"][0]["content"] for i in (0, 1, 2)]
    tell = teller()
    _print_answers([answers_of(run, question, told=tell) for question in questions])
    files = {"held-out rows": brought.HELD_OUT, "new patterns": brought.NEW_PATTERNS}
    for title, file in files.items():
        found = score(run, file, metrics=["exact_match"], told=tell)
        before, after = (_matches(found, column) for column in ("base", "tuned"))
        say(f"Exactly right on {title}: base {before}, tuned {after}")
    return 0


FOLLOWING = (train, sweep, attach, pause, resume, stop, demo)
"""Verbs that watch a run, which goes on without them."""


def _show(run: Any) -> int:
    """A progress bar until the run ends, then how it ended; 0 when it completed."""
    from ftlab.sweeps.folder import Sweep

    if isinstance(run, Sweep):
        return show(run)
    _follow(run)
    state = run.state
    say(
        f"{run.id}: {state.status}"
        + (f", {state.detail}" if state.detail not in ("", state.status) else "")
    )
    if state.status == "paused" or run.is_left:
        say(f"`ftlab resume {run.id}` goes on from there.")
    for log in _warnings(run):
        say(f"{SHAPES['warning']} {log}")
    if state.status == "completed":
        say(f'{run.tuned_in_words}; `ftlab ask {run.id} "a prompt"` tries it.')
    return 0 if state.status == "completed" else 1


def _follow(run: Any) -> None:
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[steps]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as progress:
        task = progress.add_task(visible(run.id), total=None, steps="")
        for _ in run.follow():
            history = run.history
            progress.update(
                task,
                total=history.n_steps,
                completed=history.last_step,
                steps=f"{history.last_step} of {history.n_steps} steps" if history.n_steps else "",
                description=visible(_losses(history) or run.state.detail or run.status),
            )


def _warnings(run: Any) -> list[str]:
    """What the run's process warned of."""
    return [log.text for log in run.history.logs if log.level == "warning"]


def _losses(history: Any) -> str:
    parts = {
        "loss": history.latest("train_loss"),
        "validation": history.latest("eval_loss"),
    }
    return "  ".join(f"{name} {value:.3g}" for name, value in parts.items() if value is not None)


def _matches(found: Any, column: str) -> str:
    """ "193 of 200 (96.5%, 93.0 to 98.3)"."""
    one = found.get("exact_match", column)
    value, low, high = one.found
    return f"{value * one.n:.0f} of {one.n} ({value:.1%}, {100 * low:.1f} to {100 * high:.1f})"


def _print_answers(comparisons: Sequence[Sequence[str]]) -> None:
    print_table(("prompt", "base", "tuned"), comparisons)
