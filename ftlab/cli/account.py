"""The verb about the hosted service: what the account has there."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from ftlab.cli.keeping import agreed
from ftlab.cli.printing import print_columns, print_json, say, say_line
from ftlab.errors import FtlabError

if TYPE_CHECKING:
    from ftlab.providers.together.holdings import Account

DEEDS = ("cancel", "adopt", "download", "delete")


def account(options: argparse.Namespace) -> int:
    """List the jobs and files at the hosted service; cancel, adopt, download or delete one.

    The list holds what was started elsewhere too. `adopt` follows a job in a run of this folder;
    `download` fetches what it tuned, or a file's content; `delete` takes either away for good.
    """
    from ftlab.providers.together.holdings import account as found

    if options.do and not options.ids:
        raise FtlabError(
            f"{options.do} is given without an id; it takes that of a job or a file of the "
            f"account. Write `ftlab account {options.do} ID`."
        )
    if len(options.ids) > 1 and options.do != "delete":
        raise FtlabError(
            f"{len(options.ids)} ids are given; {options.do} takes one. Give them one by one."
        )
    here = found()
    if options.do:
        return _done(here, options)
    if options.json:
        print_json(here.as_dict())
        return 0
    return _show(here)


def _show(here: Account) -> int:
    from ftlab.providers.together.listing import FILE_TITLES, JOB_TITLES

    for titles, listed in ((JOB_TITLES, here.jobs), (FILE_TITLES, here.files)):
        if listed:
            print_columns(titles, (one.cells() for one in listed))
        else:
            say(f"No {titles[0]} at Together.")
    return 0


def _done(here: Account, options: argparse.Namespace) -> int:
    one = options.ids[0]
    if options.do == "cancel":
        question = f"Cancel {one} for good? What it has done so far is billed."
        if not agreed(options, question):
            return 1
        say_line(f"{one}: {here.cancel(one)}")
    elif options.do == "adopt":
        run = here.adopt(one)
        say_line(f"{one} is followed as {run.id}; `ftlab attach {run.id}` shows it.")
    elif options.do == "download":
        place = here.download(one, options.to, step=options.step, told=_told)
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


def _told(share: float) -> None:
    if sys.stderr.isatty():
        print(f"\rdownloading: {share:.0%}", end="\n" * (share == 1), file=sys.stderr, flush=True)
