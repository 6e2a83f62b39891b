"""The verbs about data files: scan, repair, convert, split."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftlab.cli.numbers import positive
from ftlab.cli.options import add_engine_argument
from ftlab.cli.printing import plain, print_issues, print_json, say, say_line
from ftlab.issues import SHAPES

if TYPE_CHECKING:
    from ftlab.data.problems import Problem
    from ftlab.data.report import DataReport
    from ftlab.issues import Issue


def scan(options: argparse.Namespace) -> int:
    """Check a data file; exit 0 if the engine would take it, 1 if not."""
    from ftlab.data.report import scan as scan_file

    report = scan_file(
        options.file,
        options.model,
        against=options.against,
        max_seq_length=options.max_seq_length,
        purpose=options.purpose,
    )
    accepted = report.accepted_by(options.engine)
    if options.json:
        print_json({"ok": accepted, **_as_dict(report)})
    else:
        _print_report(options.file.name, report, options.engine)
        say(f"{options.engine} would {'take' if accepted else 'refuse'} this file.")
    return 0 if accepted else 1


def _as_dict(report: DataReport) -> dict[str, Any]:
    tokens = report.tokens
    counts = {} if tokens is None else {"total": tokens.total, "trained": report.loss_tokens}
    return {
        "format": report.format,
        "n_rows": report.n_rows,
        "tokens": {**counts, **({} if tokens is None else tokens.quantiles())},
        "issues": [plain(issue) for issue in report.issues],
    }


def _print_report(name: str, report: DataReport, engine: str) -> None:
    say(f"{name}: {report.n_rows:,} rows, format {report.format_in_words}")
    if report.tokens is not None and report.tokens.n_sequences:
        say(f"{report.tokens.total:,} tokens, {report.loss_tokens:,} of them train")
        say("per row: " + ", ".join(f"{k} {n:,}" for k, n in report.tokens.quantiles().items()))
    print_issues([_for_engine(issue, engine) for issue in report.issues])


def _for_engine(issue: Issue, engine: str) -> Issue:
    """The hosted service counts tokens itself; that nobody can here is no error there."""
    is_counted_there = issue.code == "no_tokenizer" and engine == "together"
    return replace(issue, level="tip") if is_counted_there else issue


def repair(options: argparse.Namespace) -> int:
    """Write a copy in which what can be mended is mended."""
    from ftlab.data.report import scan as scan_file

    made = scan_file(options.file).repair(options.to)
    say(made)
    _print_problems(made.problems)
    return 0 if made.path else 1


def convert(options: argparse.Namespace) -> int:
    """Turn a file of another tool, or a table, into JSONL."""
    from ftlab.data.foreign import convert as convert_file

    pairs = [column.partition("=") for column in options.column]
    mapping = {part: name for part, _, name in pairs}
    made = convert_file(options.file, options.to, mapping or None)
    say(f"{made.path or 'no file'}: {made.n_rows:,} rows")
    _print_problems(made.problems)
    if made.set_aside is not None:
        say(f"{made.n_set_aside:,} rows set aside in {made.set_aside}")
    if made.path is None:
        say(
            "No row could be converted; rows need a shape that ftlab knows, or columns that are "
            "named. Say what they stand for: --column user=question --column assistant=answer"
        )
    return 0 if made.path else 1


def split(options: argparse.Namespace) -> int:
    """Split a file in two; rows that say the same stay on one side."""
    from ftlab.data.splits import split_file

    made = split_file(options.file, options.share)
    say(f"{made.train}: {made.n_train:,} rows")
    say(f"{made.validation}: {made.n_validation:,} rows")
    _print_problems(made.problems)
    return 0


def _print_problems(problems: Iterable[Problem]) -> None:
    for problem in problems:
        say_line(f"{SHAPES[problem.level]} {problem.message}")


def add_scan_arguments(verb: argparse.ArgumentParser) -> None:
    """FILE [--model MODEL] and whose rules decide."""
    verb.add_argument("file", type=Path)
    verb.add_argument("--model", help="count tokens with this model's tokenizer")
    verb.add_argument("--max-seq-length", type=positive, metavar="TOKENS")
    add_engine_argument(verb, default="together")
    verb.add_argument(
        "--purpose",
        choices=("fine-tune", "eval"),
        default="fine-tune",
        help="what the file is uploaded for (the service takes other files for evaluations)",
    )
    verb.add_argument("--against", type=Path, help="the training file, when FILE is for validation")
    verb.add_argument("--json", action="store_true")
