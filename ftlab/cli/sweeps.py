"""The verb sweep: what it will take, its start, and how it goes."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ftlab.cli.files import read_values
from ftlab.cli.hosted import confirmed
from ftlab.cli.options import given_options
from ftlab.cli.printing import print_columns, print_json, say, teller

if TYPE_CHECKING:
    from ftlab.sweeps.folder import Sweep
    from ftlab.sweeps.ready import ReadySweep

LOOK_EVERY = 0.3  # seconds
GO_ON = (
    "`ftlab promote {0}` makes the best arm a run of its own, which can go on to its end; with "
    "--to best.json it writes the spec with these values instead."
)


def sweep(options: argparse.Namespace) -> int:
    """Try a job with several learning rates, or other values, and say which is best; Ctrl-C leaves
    the sweep going.

    Says first what it will take. With --json an object at the end: id, status, headline; value,
    low and high, the learning rate of the best arm and the interval in which the best may lie, and
    basis, how that was found; fitted, where the parabola through the arms is lowest; steps and
    steps_of_grid, what was spent and what all arms to the end would take; regret_of_recommended in
    %; arms, a list of {name, changes, best_loss, regret in %, steps, state}, the best one named by
    best; winning_spec, the values with those of the best. What is unknown is null.
    """
    found = started(options)
    if found is None:
        return 1
    say(f"Sweep {found.id} goes on by itself; Ctrl-C leaves it going.", _aside(options))
    return show(found, as_json=options.json)


def started(options: argparse.Namespace) -> Sweep | None:
    """The sweep of a file with the values of a spec; None where a person does not agree to its
    price. Says what it will take first."""
    from ftlab.providers.together.account import require_key
    from ftlab.sweeps.start import prepare_sweep
    from ftlab.sweeps.start import started as start

    to = _aside(options)
    asked: dict[str, Any] = {
        "learning_rate": _numbers(options.rates),
        "n": options.n,
        "halving": not options.no_halving,
        "range_test": options.range_test,
        "max_train_rows": options.max_train_rows,
        "ray": options.ray,
        **dict(options.vary),
    }
    values = read_values(options.spec)
    if options.on == "together":
        require_key()  # before anybody is asked to agree to a price
    asked |= given_options(options, options.on)
    ready = prepare_sweep(values, options.on, **asked)
    for name, text in ready.cost.in_words().items():
        say(f"{name}: {text}", to)
    say(ready.cost.basis[0], to)
    if options.on == "together":
        if (agreed := _agreed(ready, asked.get("pay_up_to"))) is None:
            say("Nothing was started.", to)
            return None
        scans = {"report": ready.report, "validation": ready.validation}
        ready = prepare_sweep(values, options.on, **scans, **{**asked, "pay_up_to": agreed})
    return start(ready)


def _aside(options: argparse.Namespace) -> Any:
    """Where words go that are no result."""
    return sys.stderr if getattr(options, "json", False) else None


def _agreed(ready: ReadySweep, given: str | None) -> float | None:
    """What a person agrees to pay for all arms; None where they don't. Raises FtlabError with the
    price where what they gave does not suffice for them."""
    from ftlab.providers.together.agreement import unconfirmed
    from ftlab.sweeps.ready import offer_of

    tell = teller()
    found = offer_of(ready, told=lambda _, what: tell(what))
    if given is None:
        return confirmed(found)
    if found.most is not None and float(given) < found.most:
        raise unconfirmed(found)
    return float(given)


def show(found: Sweep, *, as_json: bool = False) -> int:
    """Its progress until it ends, then what it says; 0 when it completed."""
    _follow(found)
    state = found.state
    if as_json:
        print_json(as_dict(found))
        return 0 if state.status == "completed" else 1
    from ftlab.sweeps.shown import TITLES, rows_of

    print_columns(TITLES, rows_of(found).values())
    if (answer := found.answer) is not None:
        say(answer.headline)
        say(f"The interval: {answer.basis}.")
        say(f"Best values: {_best_values(found, answer.best)}.")
    say(f"{found.id}: {state.status}" + (f", {state.detail}" if state.detail else ""))
    if state.status == "paused" or found.is_left:
        say(f"`ftlab resume {found.id}` goes on from there.")
    elif (winner := found.winner) is not None:
        if winner.adapter.exists():
            say(f'Its best arm is in {winner.path}; `ftlab ask {winner.path} "a prompt"` tries it.')
        say(GO_ON.format(found.id))
    return 0 if state.status == "completed" else 1


def promote(options: argparse.Namespace) -> int:
    """Make the best arm of a sweep a run like any other, or write the spec with its values.

    The run can be tried, and resumed where it is not at its end. With --to nothing is copied: the
    winning spec goes into a new JSON file, which `ftlab train` takes.
    """
    from ftlab.cli.files import require_new, write_new

    found = _sweep_named(options.sweep)
    if options.to is not None:
        require_new(options.to)
        write_new(options.to, json.dumps(_given(found), indent=1) + "\n")
        say(f"The winning spec is in {options.to}; `ftlab train {options.to}` trains it.")
        return 0
    run = found.promote()
    said = f"The best arm of {found.id} is run {run.id}, {run.status}"
    if run.status == "paused" and not run.why_not_resume:
        say(f"{said}: `ftlab resume {run.id}` trains it to its end.")
    elif run.adapter.exists():
        say(f'{said}: `ftlab ask {run.id} "a prompt"` tries it.')
    else:
        say(f"{said}: {run.state.detail}")
    return 0


def _sweep_named(name: str | None) -> Sweep:
    """By id or path, or the newest."""
    from ftlab.errors import RunError
    from ftlab.sweeps.folder import Sweep, Sweeps, find

    found = next(iter(Sweeps()), None) if name is None else find(name)
    if isinstance(found, Sweep):
        return found
    said = f"{found.id} is a run" if found else "There is no sweep here"
    raise RunError(f"{said}; promote takes a sweep, by id or folder. `ftlab runs` lists them.")


def _best_values(found: Sweep, best: int) -> str:
    name = found.all_arms[best].name
    return f"learning_rate {name}" if "learning_rate" in found.plan.varied else name


def as_dict(found: Sweep) -> dict[str, Any]:
    """What --json tells of a sweep."""
    from ftlab.sweeps.shown import arms_as_dicts

    answer = found.answer
    told = ("value", "low", "high", "basis", "regret_of_recommended", "steps", "steps_of_grid")
    known = {name: None if answer is None else getattr(answer, name) for name in told}
    known["fitted"] = answer.fit.rate if answer and answer.fit else None
    return {
        "id": found.id,
        "status": found.status,
        "headline": None if answer is None else answer.headline,
        "best": None if answer is None else found.all_arms[answer.best].name,
        **known,
        "arms": arms_as_dicts(found),
        "winning_spec": None if answer is None else _given(found),
    }


def _given(found: Sweep) -> dict[str, Any]:
    return found.winning_spec.model_dump(mode="json", exclude_unset=True)


def _follow(found: Sweep) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    from ftlab.sweeps.cost import steps_of

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[steps]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(found.id, total=steps_of(found.plan), steps="")
        while True:
            ended, answer = not found.is_alive, found.answer
            says = (
                answer.headline.partition(" · ")[0]
                if answer
                else found.state.detail or found.status
            )
            done = 0 if answer is None else answer.steps
            progress.update(task, completed=done, description=says, steps=f"{done:,} steps")
            if ended:
                return
            time.sleep(LOOK_EVERY)


# --- arguments -------------------------------------------------------------------------------


def add_sweep_arguments(verb: argparse.ArgumentParser) -> None:
    """SPEC and what is varied, as in the notebook too."""
    verb.add_argument("--rates", metavar="RATE,…", help="learning rates, such as 1e-4,3e-4,1e-3")
    verb.add_argument(
        "--n", type=int, metavar="N", help="so many rates around the recommended one (7; hosted 3)"
    )
    verb.add_argument(
        "--vary",
        action="append",
        default=[],
        type=varied,
        metavar="FIELD=VALUE,…",
        help="another field, such as lora_r=8,64",
    )
    verb.add_argument("--no-halving", action="store_true", help="all arms to their end")
    verb.add_argument(
        "--range-test", action="store_true", help="one short run first, which bounds the rates"
    )
    verb.add_argument("--max-train-rows", type=int, metavar="ROWS", help="of a part of the rows")
    verb.add_argument(
        "--ray", metavar="ADDRESS", help="of a Ray cluster that trains the arms, such as auto"
    )


def varied(text: str) -> tuple[str, list[Any]]:
    """A field and its values: numbers, words, and JSON where a value is no word."""
    name, sign, values = text.partition("=")
    if not (sign and name.strip() and values.strip()):
        raise argparse.ArgumentTypeError(
            f"{text!r} is given; it takes a field and its values. Give for example lora_r=8,64."
        )
    return name.strip(), [_value(value) for value in values.split(",")]


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text.strip()


def _numbers(text: str | None) -> Sequence[Any] | None:
    return None if text is None else [_value(part) for part in text.split(",")]
