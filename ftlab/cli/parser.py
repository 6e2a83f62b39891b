"""The arguments of the verbs."""

from __future__ import annotations

import argparse
import contextlib
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import ftlab
from ftlab.cli import (
    account,
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
from ftlab.cli.options import add_provider_options
from ftlab.cli.printing import visible
from ftlab.issues import shown

Command = Callable[[argparse.Namespace], int]
Add = Callable[[str, Command], argparse.ArgumentParser]
WITH_OPTIONS = frozenset({"train", "sweep"})
"""Verbs that start something, at a provider with options of its own."""
SPEC_HELP = "a JSON or TOML file with the values of a spec"


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
    _add_account_verb(add)
    for name in WITH_OPTIONS.intersection(arguments):
        add_provider_options(verbs.choices[name])
    return whole


def _add_data_verbs(add: Add) -> None:
    _add_scan_arguments(add("scan", data.scan))
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
    split.add_argument("share", type=_share, help="of the rows, for validation, such as 0.05")


def _add_scan_arguments(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("file", type=Path)
    verb.add_argument("--model", help="count tokens with this model's tokenizer")
    verb.add_argument("--max-seq-length", type=_positive, metavar="TOKENS")
    _add_engine_argument(verb, default="together")
    verb.add_argument(
        "--purpose",
        choices=("fine-tune", "eval"),
        default="fine-tune",
        help="what the file is uploaded for (the service takes other files for evaluations)",
    )
    verb.add_argument("--against", type=Path, help="the training file, when FILE is for validation")
    verb.add_argument("--json", action="store_true")


def _add_engine_argument(verb: argparse.ArgumentParser, default: str) -> None:
    verb.add_argument(
        "--for",
        dest="engine",
        choices=("local", "together"),
        default=default,
        help="whose rules decide: the embedded trainer's or the hosted service's (%(default)s)",
    )


def _add_spec_verbs(add: Add) -> None:
    add_recommend_arguments(add("recommend", specs.recommend))
    check = add("check", specs.check)
    check.add_argument("spec", type=Path, help=SPEC_HELP)
    _add_engine_argument(check, default="local")
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
    add_estimate_arguments(add("estimate", specs.estimate))


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


def add_recommend_arguments(verb: argparse.ArgumentParser) -> None:
    """MODEL [--data FILE] [--method sft|dpo] [--full], as in the notebook too."""
    verb.add_argument("model", help='a folder, a Hugging Face id, or "demo"')
    verb.add_argument("--data", metavar="FILE", help="advice for this much data")
    verb.add_argument(
        "--method",
        choices=("sft", "dpo"),
        help="how to train; otherwise what the data is for, or sft",
    )
    verb.add_argument("--full", action="store_true", help="train all weights, without an adapter")
    verb.add_argument("--json", action="store_true")


def add_estimate_arguments(verb: argparse.ArgumentParser) -> None:
    """SPEC [--probe] [--usd-per-hour USD] [--ask-service] [--json], as in the notebook too."""
    verb.add_argument("spec", type=Path, help=SPEC_HELP)
    verb.add_argument(
        "--probe", action="store_true", help="run a few steps first, and measure memory and time"
    )
    verb.add_argument(
        "--usd-per-hour",
        type=_dollars,
        metavar="USD",
        help="what an hour of this machine costs, for the price here",
    )
    verb.add_argument(
        "--ask-service",
        action="store_true",
        help="upload the data to Together, where it stays, for its own price; nothing is started",
    )
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
    ask = add("ask", runs.ask)
    ask.add_argument("run", nargs="?", help="id or folder; or the newest")
    ask.add_argument("prompt")
    verbs = {
        one: add(one.__name__, one) for one in (runs.pause, runs.resume, runs.stop, runs.attach)
    }
    for verb in verbs.values():
        verb.add_argument("run", nargs="?", help="id or folder; or the newest")
    verbs[runs.resume].add_argument(
        "--pay-up-to", type=float, metavar="USD", help="agree to a price that it was refused for"
    )
    verbs[runs.stop].add_argument("--yes", action="store_true", help="don't ask")
    add_score_arguments(add("score", scoring.score))
    tracking.add_track_arguments(add("track", tracking.track))
    add_compare_arguments(add("compare", comparing.compare))
    add_doctor_arguments(add("doctor", doctor.doctor))
    add("models", models.models)
    add("demo", runs.demo)


def add_score_arguments(verb: argparse.ArgumentParser) -> None:
    """[RUN] [FILE] and what to score, as in the notebook too."""
    verb.add_argument("run", nargs="?", help="id or folder; or the newest")
    verb.add_argument(
        "file", nargs="?", type=Path, help="a JSONL file; otherwise the run's validation rows"
    )
    verb.add_argument(
        "--shots",
        type=_positive,
        default=0,
        metavar="K",
        help="also the base with so many examples of the training rows in the prompt",
    )
    verb.add_argument("--checkpoints", action="store_true", help="also each saved checkpoint")
    verb.add_argument("--metrics", metavar="NAME,…", help="only these; otherwise all that apply")
    verb.add_argument(
        "--max-rows", type=_positive, default=200, metavar="N", help="at most (%(default)s)"
    )
    verb.add_argument("--all-rows", dest="max_rows", action="store_const", const=None)
    verb.add_argument("--judge", metavar="MODEL", help="a model that compares the answers")
    verb.add_argument(
        "--judge-url",
        default="https://api.openai.com/v1",
        metavar="URL",
        help="an OpenAI-compatible address (%(default)s)",
    )
    verb.add_argument(
        "--judge-key", default="", metavar="NAME", help="the environment variable with its key"
    )
    verb.add_argument("--lm-eval", metavar="TASK,…", help="also tasks of lm-evaluation-harness")
    verb.add_argument("--json", action="store_true")


def add_compare_arguments(verb: argparse.ArgumentParser) -> None:
    """RUN… [--json], as in the notebook too."""
    verb.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="id or folder of a run or sweep, or a file of another tool",
    )
    verb.add_argument("--json", action="store_true")


def add_doctor_arguments(verb: argparse.ArgumentParser) -> None:
    """[RUN_OR_CSV] [--json] and what a file can't say, as in the notebook too."""
    verb.add_argument(
        "run", nargs="?", metavar="RUN_OR_CSV", help="id or folder, or a curve; or the newest run"
    )
    verb.add_argument("--vocab-size", type=_positive, metavar="N")
    verb.add_argument("--steps-per-epoch", type=_positive, metavar="N")
    verb.add_argument("--batch-size", type=_positive, metavar="ROWS")
    verb.add_argument("--recommended-lr", type=_rate, metavar="RATE")
    verb.add_argument("--json", action="store_true")


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


def _add_account_verb(add: Add) -> None:
    verb = add("account", account.account)
    verb.add_argument("do", nargs="?", choices=account.DEEDS, metavar="|".join(account.DEEDS))
    verb.add_argument("ids", nargs="*", metavar="ID", help="of a job or a file there")
    verb.add_argument("--to", type=Path, help="where a download goes; otherwise named by its id")
    verb.add_argument("--step", type=_positive, help="download the checkpoint of this step")
    verb.add_argument("--yes", action="store_true", help="don't ask")
    verb.add_argument("--json", action="store_true")


def _positive(text: str) -> int:
    return int(_checked(text, lambda n: n >= 1 and n == int(n), "a whole number from 1", "2048"))


def _share(text: str) -> float:
    return _checked(text, lambda n: 0 < n < 1, "a number between 0 and 1", "0.05")


def _rate(text: str) -> float:
    return _checked(text, lambda n: n > 0, "a number above 0", "2e-4")


def _dollars(text: str) -> float:
    return _checked(text, lambda n: n >= 0, "a number from 0", "2.5")


def _checked(text: str, fits: Callable[[float], bool], takes: str, example: str) -> float:
    """The number that an argument is; argparse's own message would name a Python function."""
    with contextlib.suppress(ValueError):
        if math.isfinite(value := float(text)) and fits(value):
            return value
    raise argparse.ArgumentTypeError(
        f"{shown(text)} is given; it takes {takes}. Give for example {example}."
    )
