"""The verbs about runs as things that one keeps: runs, rename, delete, tidy, queue."""

from __future__ import annotations

import argparse
import sys

from ftlab.cli.printing import print_columns, print_json, say, say_line
from ftlab.errors import RunError
from ftlab.units import in_bytes

MOVES = {"up": -1, "down": 1, "cancel": 0}


def runs(options: argparse.Namespace) -> int:
    """List the runs of this folder, the newest first, and its sweeps; `ftlab account` lists what is
    at Together."""
    from ftlab.overview import TITLES
    from ftlab.runs import Runs
    from ftlab.sweeps.folder import Sweeps

    here = Runs()
    found = here.overviews(options.tag)
    if options.json:
        print_json([one._asdict() for one in found])
        return 0
    sweeps = [] if options.tag is not None else [*Sweeps(here.folder)]
    if not found and not sweeps:
        which = "" if options.tag is None else f" with the tag {options.tag!r}"
        say_line(f"There is no run{which} in {here.folder}. `ftlab train SPEC` starts one.")
        return 0
    named = any(one.name or one.tags for one in found)
    titles = ("id", *TITLES[1:], *(("name", "tags") if named else ()))
    rows = [(one.id, *one.cells()[1:], one.name, ", ".join(one.tags)) for one in found]
    if rows:
        print_columns(titles, (row[: len(titles)] for row in rows))
    for sweep in sweeps:
        say(f"{sweep.id}: {sweep.status}, {sweep.answer.headline if sweep.answer else 'a sweep'}")
    if any(run.is_hosted for run in here):
        say_line("`ftlab account` lists all that is at Together, started here or elsewhere.")
    return 0


def rename(options: argparse.Namespace) -> int:
    """Give a run a name, notes or tags; its id and its folder stay."""
    from ftlab.sweeps.folder import find

    run = find(options.run)
    if options.name is not None:
        run.rename(options.name)
    if options.notes is not None:
        run.note(options.notes)
    if options.tags is not None:
        run.tag(*options.tags.split(","))
    about = run.about
    said = [f"name {about.name!r}", f"tags {', '.join(about.tags) or 'none'}"]
    said += [f"notes {about.notes!r}"] if about.notes else []
    say_line(f"{run.id}: {'; '.join(said)}")
    return 0


def delete(options: argparse.Namespace) -> int:
    """Take a run away for good, after asking; never one that is live."""
    from ftlab.sweeps.folder import find
    from ftlab.upkeep import why_not_delete

    run = find(options.run)
    if problem := why_not_delete(run):
        raise RunError(problem)
    named = f" {run.name!r}" if run.name else ""
    frees = in_bytes(run.bytes_on_disk)
    if not agreed(options, f"Delete run {run.id}{named} for good? That frees {frees}."):
        return 1
    say_line(f"{run.id} is deleted; {in_bytes(run.delete())} are free.")
    return 0


def tidy(options: argparse.Namespace) -> int:
    """Keep only the best or the last checkpoint of a run, after asking."""
    from ftlab.runs import attach
    from ftlab.upkeep import tidying

    run = attach(options.run)
    plan = tidying(run, options.keep)
    if not plan.gone:
        say_line(f"{run.id} has nothing to remove: {plan.in_words()}.")
        return 0
    if not agreed(options, f"{plan.in_words().capitalize()}?"):
        return 1
    say_line(f"{run.id} is tidied; {in_bytes(run.tidy(options.keep))} are free.")
    return 0


def queue(options: argparse.Namespace) -> int:
    """Show who uses each device and who waits; move one who waits up or down, or cancel it."""
    from ftlab.queues import move, queues

    if options.do and options.run is None:
        raise RunError(
            f"{options.do} is given without a run; it takes the id of one that waits. "
            f"Write `ftlab queue {options.do} RUN`."
        )
    if options.do == "cancel":
        _cancel_waiting(options.run)
    elif options.do:
        move(options.run, MOVES[options.do])
    found = queues()
    if options.json:
        print_json([one.as_dict() for one in found])
        return 0
    for one in found:
        say(one)
    if not found:
        say("No device is in use, and nobody waits.")
    return 0


def _cancel_waiting(run_id: str) -> None:
    from ftlab.queues import where
    from ftlab.sweeps.folder import find

    where(run_id)
    find(run_id).cancel()
    say_line(f"{run_id} was asked to leave the queue.")


def agreed(
    options: argparse.Namespace, question: str, otherwise: str = "Nothing was removed."
) -> bool:
    """Whether a person says yes. Raises RunError where there is nobody to ask."""
    if options.yes:
        return True
    if not sys.stdin.isatty():
        raise RunError(
            f"{question} Nobody can be asked here; what is lost does not come back. "
            "Give --yes to agree."
        )
    say_line(question)
    try:
        answer = input("Type yes to go on: ")
    except EOFError:
        answer = ""
    if answer.strip().lower() in ("y", "yes"):
        return True
    say(otherwise)
    return False
