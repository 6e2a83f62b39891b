"""The arguments of the verbs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import ftlab
from ftlab.cli import (
    account,
    asking,
    comparing,
    data,
    doctor,
    exports,
    forms,
    keeping,
    models,
    runs,
    scoring,
    specs,
    sweeps,
    tracking,
)
from ftlab.cli.numbers import share
from ftlab.cli.options import add_engine_argument, add_provider_options
from ftlab.cli.printing import visible
from ftlab.cli.specs import SPEC_HELP

Command = Callable[[argparse.Namespace], int]
Add = Callable[[str, Command], argparse.ArgumentParser]
WITH_OPTIONS = frozenset({"train", "sweep"})
"""Verbs that start something, at a provider with options of its own."""


class _Parser(argparse.ArgumentParser):
    """Says what was typed without what it could do to the terminal."""

    def error(self, message: str) -> NoReturn:
        super().error(visible(message))


def make_parser(arguments: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Of the whole command line; the chosen verb is the `command` of what it parses. The options of
    where a job runs are made from models, which are loaded for `arguments` that name such a verb
    alone: the others do without."""
    whole = _Parser(prog="ftlab", description="A fine-tuning workbench.")
    whole.add_argument("--version", action="version", version=f"ftlab {ftlab.__version__}")
    verbs = whole.add_subparsers(metavar="COMMAND")

    def say_how(_: argparse.Namespace) -> int:
        whole.print_help(sys.stderr)
        return 2

    whole.set_defaults(command=say_how)

    def add(name: str, command: Command) -> argparse.ArgumentParser:
        text = command.__doc__ or ""  # none under python -OO
        verb = verbs.add_parser(name, help=text.partition("\n")[0], description=text)
        verb.set_defaults(command=command)
        return verb

    _add_data_verbs(add)
    _add_spec_verbs(add)
    _add_form_verbs(add)
    _add_run_verbs(add)
    account.add_account_arguments(add("account", account.account))
    for name in WITH_OPTIONS.intersection(arguments):
        add_provider_options(verbs.choices[name])
    return whole


def _add_data_verbs(add: Add) -> None:
    data.add_scan_arguments(add("scan", data.scan))
    repair = add("repair", data.repair)
    repair.add_argument("file", type=Path)
    repair.add_argument("--to", type=Path, help="the new file, or its folder")
    convert = add("convert", data.convert)
    convert.add_argument("file", type=Path)
    convert.add_argument("to", type=Path, help="the new JSONL file")
    convert.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="PART=COLUMN",
        help="what a column stands for, such as user=question and assistant=answer",
    )
    split = add("split", data.split)
    split.add_argument("file", type=Path)
    split.add_argument("share", type=share, help="of the rows, for validation, such as 0.05")


def _add_spec_verbs(add: Add) -> None:
    specs.add_recommend_arguments(add("recommend", specs.recommend))
    check = add("check", specs.check)
    check.add_argument("spec", type=Path, help=SPEC_HELP)
    add_engine_argument(check, default="local")
    check.add_argument(
        "--template",
        action="store_true",
        help="with --for together: upload the data and compare the service's tokens of the first "
        "rows with ftlab's; nothing is started and nothing is billed",
    )
    check.add_argument("--json", action="store_true")
    # Among these because it reads a spec too; the help lists the verbs in this order.
    add_train_arguments(add("train", runs.train))
    _add_sweep_verb(add("sweep", sweeps.sweep))
    specs.add_estimate_arguments(add("estimate", specs.estimate))


def add_train_arguments(verb: argparse.ArgumentParser) -> None:
    """SPEC [--on local|together], as in the notebook too."""
    verb.add_argument("spec", type=Path, help=SPEC_HELP)
    verb.add_argument(
        "--on",
        choices=("local", "together"),
        default="local",
        help="where: on this machine, or at the hosted service, which is paid for (%(default)s)",
    )


def _add_sweep_verb(verb: argparse.ArgumentParser) -> None:
    add_train_arguments(verb)
    sweeps.add_sweep_arguments(verb)
    verb.add_argument("--json", action="store_true")


def _add_form_verbs(add: Add) -> None:
    exports.add_export_arguments(add("export", exports.export))
    read = add("import", forms.import_)
    read.add_argument("file", type=Path)
    read.add_argument("--to", type=Path, metavar="SPEC", help="a new JSON file, instead of stdout")
    engines = add("engines", forms.engines)
    engines.add_argument("spec", type=Path, help=SPEC_HELP)
    engines.add_argument("--json", action="store_true")


def _add_run_verbs(add: Add) -> None:
    _add_keeping_verbs(add)
    promote = add("promote", sweeps.promote)
    promote.add_argument("sweep", nargs="?", help="id or folder; or the newest")
    promote.add_argument("--to", type=Path, metavar="SPEC", help="a new JSON file for its values")
    asking.add_ask_arguments(add("ask", asking.ask))
    asking.add_serve_arguments(add("serve", asking.serve))
    verbs = {
        one: add(one.__name__, one) for one in (runs.pause, runs.resume, runs.stop, runs.attach)
    }
    for verb in verbs.values():
        verb.add_argument("run", nargs="?", help="id or folder; or the newest")
    verbs[runs.resume].add_argument(
        "--pay-up-to", type=float, metavar="USD", help="agree to a price that it was refused for"
    )
    verbs[runs.stop].add_argument("--yes", action="store_true", help="don't ask")
    scoring.add_score_arguments(add("score", scoring.score))
    tracking.add_track_arguments(add("track", tracking.track))
    comparing.add_compare_arguments(add("compare", comparing.compare))
    doctor.add_doctor_arguments(add("doctor", doctor.doctor))
    add("models", models.models)
    add("demo", runs.demo)


def _add_keeping_verbs(add: Add) -> None:
    listed = add("runs", keeping.runs)
    listed.add_argument("--tag", help="only runs with this tag")
    listed.add_argument("--json", action="store_true")
    rename = add("rename", keeping.rename)
    rename.add_argument("run", help="id or folder")
    rename.add_argument("name", nargs="?", help="a new name; an empty one takes the old away")
    rename.add_argument("--notes", help="replace its notes")
    rename.add_argument("--tags", metavar="TAG,…", help="replace its tags")
    delete = add("delete", keeping.delete)
    delete.add_argument("run", help="id or folder")
    tidy = add("tidy", keeping.tidy)
    tidy.add_argument("run", help="id or folder")
    tidy.add_argument("--keep", choices=("best", "last"), default="best", help="by default best")
    for verb in (delete, tidy):
        verb.add_argument("--yes", action="store_true", help="don't ask")
    queue = add("queue", keeping.queue)
    queue.add_argument("do", nargs="?", choices=tuple(keeping.MOVES), metavar="up|down|cancel")
    queue.add_argument("run", nargs="?", help="id of a run that waits")
    queue.add_argument("--json", action="store_true")
