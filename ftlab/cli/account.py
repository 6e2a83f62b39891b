"""The verb about the hosted service: what the account has there."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ftlab.cli.keeping import agreed
from ftlab.cli.numbers import positive
from ftlab.cli.printing import print_columns, print_json, say, say_line, visible
from ftlab.errors import FtlabError
from ftlab.html import counted
from ftlab.issues import SHAPES

if TYPE_CHECKING:
    from ftlab.providers.together.holdings import Account

DEEDS = {
    "cancel": "ID",
    "adopt": "ID",
    "download": "ID",
    "delete": "ID …",
    "ask": 'ID "a question"',
    "endpoint": "ID",
}
"""What can be done, and what it takes."""


def account(options: argparse.Namespace) -> int:
    """List the jobs and files at the hosted service; cancel, adopt, download or delete one.

    The list holds what was started elsewhere too; `ftlab runs` lists the runs of this folder.
    `adopt` follows a job in a run of this folder; `download` fetches what it tuned, or a file's
    content; `delete` takes either away for good; `ask` asks the model of a job there, which is
    billed by the tokens; `endpoint` prints the commands for an endpoint of its own.
    """
    from ftlab.providers.together.holdings import account as found

    if options.do:
        _require_ids(options.do, options.ids)
        return _done(found(), options)
    here = found()
    if options.json:
        print_json(here.as_dict())
        return 0
    return _show(here)


def _require_ids(do: str, given: list[str]) -> None:
    n_least, n_most = {"delete": (1, len(given)), "ask": (2, 2)}.get(do, (1, 1))
    if not n_least <= len(given) <= n_most:
        found = counted(len(given), "argument")
        raise FtlabError(
            f"{do} is given with {found}; it takes the id of a job or a file of the account"
            f"{', and a question' * (do == 'ask')}. Write `ftlab account {do} {DEEDS[do]}`."
        )


def _show(here: Account) -> int:
    from ftlab.providers.together.listing import FILE_TITLES, JOB_TITLES

    for titles, listed in ((JOB_TITLES, here.jobs), (FILE_TITLES, here.files)):
        if listed:
            print_columns(titles, (one.cells() for one in listed))
        else:
            say(f"No {titles[0]} at Together.")
    say_line(
        "`ftlab runs` lists the runs of this folder, those that follow a job there among them."
    )
    return 0


def _done(here: Account, options: argparse.Namespace) -> int:
    one = options.ids[0]
    if options.do == "ask":
        here.chat(one, options.ids[1], told=lambda piece: print(visible(piece), end="", flush=True))
        print()
    elif options.do == "endpoint":
        say(here.endpoint(one).rstrip())
    elif options.do == "cancel":
        question = f"Cancel {one} for good? What it has done so far is billed."
        if not agreed(options, question):
            return 1
        say_line(f"{one}: {here.cancel(one)}")
    elif options.do == "adopt":
        run = here.adopt(one)
        say_line(f"{one} is followed as {run.id}; `ftlab attach {run.id}` shows it.")
    elif options.do == "download":
        place = here.download(one, options.to, step=options.step, told=_told, noted=_noted)
        say_line(f"{one} is in {place}.")
    else:
        return _delete(here, options)
    return 0


def _delete(here: Account, options: argparse.Namespace) -> int:
    if problem := next(filter(None, map(here.why_not_delete, options.ids)), None):
        raise FtlabError(problem)
    if not agreed(options, f"{here.lost(*options.ids)} Go on?"):
        return 1
    here.delete(*options.ids, for_good=True)
    say_line(f"{', '.join(options.ids)}: deleted.")
    return 0


def _noted(note: str) -> None:
    say_line(f"{SHAPES['warning']} {note}")


def _told(share: float) -> None:
    if sys.stderr.isatty():
        print(f"\rdownloading: {share:.0%}", end="\n" * (share == 1), file=sys.stderr, flush=True)


def add_account_arguments(verb: argparse.ArgumentParser) -> None:
    """[DO ID…] and what some of that takes."""
    verb.add_argument("do", nargs="?", choices=DEEDS, metavar="|".join(DEEDS))
    verb.add_argument("ids", nargs="*", metavar="ID", help="of a job or a file there")
    verb.add_argument("--to", type=Path, help="where a download goes; otherwise named by its id")
    verb.add_argument("--step", type=positive, help="download the checkpoint of this step")
    verb.add_argument("--yes", action="store_true", help="don't ask")
    verb.add_argument("--json", action="store_true")
