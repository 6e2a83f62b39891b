"""`ftlab`: the verbs of the library in a terminal.

Each command is a function whose docstring is its help; what it prints is for people unless
--json is given.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper

from ftlab.cli.asking import add_ask_arguments, answers_of
from ftlab.cli.comparing import add_compare_arguments
from ftlab.cli.doctor import add_doctor_arguments, diagnosis_of
from ftlab.cli.hosted import submitted
from ftlab.cli.parser import add_train_arguments, make_parser
from ftlab.cli.printing import print_issues, say
from ftlab.cli.runs import FOLLOWING
from ftlab.cli.scoring import add_score_arguments, scores_of
from ftlab.cli.specs import (
    add_estimate_arguments,
    add_recommend_arguments,
    estimate,
    estimate_of,
    say_of_service,
)
from ftlab.errors import FtlabError, InvalidSpec

__all__ = [
    "add_ask_arguments",
    "add_compare_arguments",
    "add_doctor_arguments",
    "add_estimate_arguments",
    "add_recommend_arguments",
    "add_score_arguments",
    "add_train_arguments",
    "answers_of",
    "diagnosis_of",
    "estimate_of",
    "main",
    "say_of_service",
    "scores_of",
    "submitted",
]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 done, 1 refused or failed, 2 wrong usage."""
    _print_anything()
    given = sys.argv[1:] if arguments is None else arguments
    options = make_parser(given).parse_args(given)
    try:
        return options.command(options)
    except InvalidSpec as exc:
        is_json = getattr(options, "json", False)  # then nothing else goes to stdout
        print_issues(exc.issues, to=sys.stderr if is_json else None)
    except BrokenPipeError:
        # The reader of our output has gone, as `| head` does; Python would tell it at exit too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except FtlabError as exc:
        say(exc, to=sys.stderr)
    except OSError as exc:
        say(f"{exc}. The path must be one that you can read and write; correct it.", to=sys.stderr)
    except KeyboardInterrupt:
        goes_on = " What was started goes on: `ftlab runs` lists it, `ftlab attach` shows it."
        nothing = " Nothing was started." * (options.command is estimate)
        say(f"Interrupted.{nothing}" + goes_on * (options.command in FOLLOWING), to=sys.stderr)
    return 1


def _print_anything() -> None:
    """Escape what a terminal's own encoding has not, as the marks of issues in ASCII."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a notebook's are none
            stream.reconfigure(errors="backslashreplace")
