"""`ftlab`: the verbs of the library in a terminal.

Each command is a function whose docstring is its help; what it prints is for people unless
--json is given.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, NoReturn

import ftlab
from ftlab.errors import FtlabError, InvalidSpec
from ftlab.issues import SHAPES, Issue, errors_for

if TYPE_CHECKING:
    from ftlab.cost import Estimate

Command = Callable[[argparse.Namespace], int]
LINES_SHOWN = 8
SPEC_HELP = "a JSON file with the values of a spec"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 done, 1 refused or failed, 2 wrong usage."""
    options = _parser().parse_args(arguments)
    try:
        return options.command(options)
    except InvalidSpec as exc:
        _print_issues(exc.issues)
    except BrokenPipeError:
        # The reader of our output has gone, as `| head` does; Python would tell it at exit too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (FtlabError, ValueError) as exc:
        _say(exc, to=sys.stderr)
    except OSError as exc:
        _say(f"{exc}. The path must be one that you can read and write; correct it.", to=sys.stderr)
    except KeyboardInterrupt:
        _say("Interrupted. A run that was started goes on: see `ftlab runs`.", to=sys.stderr)
    return 1


class _Parser(argparse.ArgumentParser):
    """Says what was typed without what it could do to the terminal."""

    def error(self, message: str) -> NoReturn:
        super().error(_visible(message))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="ftlab", description="A fine-tuning workbench.")
    parser.add_argument("--version", action="version", version=f"ftlab {ftlab.__version__}")
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Command) -> argparse.ArgumentParser:
        text = command.__doc__ or ""
        verb = verbs.add_parser(name, help=text.splitlines()[0], description=text)
        verb.set_defaults(command=command)
        return verb

    scan = add("scan", _scan)
    scan.add_argument("file", type=Path)
    scan.add_argument("--model", help="count tokens with this model's tokenizer")
    scan.add_argument("--max-seq-length", type=_positive, metavar="TOKENS")
    scan.add_argument(
        "--for",
        dest="engine",
        choices=("local", "together"),
        default="together",
        help="whose rules decide: the embedded trainer's or the hosted service's (the default)",
    )
    scan.add_argument(
        "--purpose",
        choices=("fine-tune", "eval"),
        default="fine-tune",
        help="what the file is uploaded for (the service takes other files for evaluations)",
    )
    scan.add_argument("--against", type=Path, help="the training file, when FILE is for validation")
    scan.add_argument("--json", action="store_true")
    repair = add("repair", _repair)
    repair.add_argument("file", type=Path)
    repair.add_argument("--to", type=Path, help="the new file, or its folder")
    convert = add("convert", _convert)
    convert.add_argument("file", type=Path)
    convert.add_argument("to", type=Path, help="the new JSONL file")
    convert.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="PART=COLUMN",
        help="what a column stands for, such as user=question and assistant=answer",
    )
    split = add("split", _split)
    split.add_argument("file", type=Path)
    split.add_argument("share", type=float, help="of the rows, for validation, such as 0.05")
    add_recommend_arguments(add("recommend", _recommend))
    for name, command in {"check": _check, "train": _train}.items():
        verb = add(name, command)
        verb.add_argument("spec", type=Path, help=SPEC_HELP)
        if name != "train":
            verb.add_argument("--json", action="store_true")
    add_estimate_arguments(add("estimate", _estimate))
    add("runs", _runs)
    ask = add("ask", _ask)
    ask.add_argument("run", nargs="?", help="id or folder; or the newest")
    ask.add_argument("prompt")
    for name, command in {"stop": _stop, "attach": _attach}.items():
        add(name, command).add_argument("run", nargs="?", help="id or folder; or the newest")
    add("demo", _demo)
    return parser


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
    """SPEC [--probe] [--json], as in the notebook too."""
    verb.add_argument("spec", type=Path, help=SPEC_HELP)
    verb.add_argument(
        "--probe", action="store_true", help="run a few steps first, and measure memory and time"
    )
    verb.add_argument("--json", action="store_true")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is no length; give 1 or more tokens")
    return value


# --- commands --------------------------------------------------------------------------------


def _scan(options: argparse.Namespace) -> int:
    """Check a data file; exit 0 if the engine would take it, 1 if not."""
    from ftlab.data.report import scan

    report = scan(
        options.file,
        options.model,
        against=options.against,
        max_seq_length=options.max_seq_length,
        purpose=options.purpose,
    )
    accepted = report.accepted_by(options.engine)
    if options.json:
        tokens = report.tokens
        counts = {} if tokens is None else {"total": tokens.total, "trained": report.loss_tokens}
        quantiles = {} if tokens is None else tokens.quantiles()
        found = {
            "ok": accepted,
            "format": report.format,
            "n_rows": report.n_rows,
            "tokens": {**counts, **quantiles},
            "issues": [_plain(issue) for issue in report.issues],
        }
        _print_json(found)
        return 0 if accepted else 1
    _say(f"{options.file.name}: {report.n_rows:,} rows, format {report.format_in_words}")
    if report.tokens is not None and report.tokens.n_sequences:
        _say(f"{report.tokens.total:,} tokens, {report.loss_tokens:,} of them train")
        _say("per row: " + ", ".join(f"{k} {n:,}" for k, n in report.tokens.quantiles().items()))
    _print_issues(report.issues)
    _say(f"{options.engine} would {'take' if accepted else 'refuse'} this file.")
    return 0 if accepted else 1


def _repair(options: argparse.Namespace) -> int:
    """Write a copy in which what can be mended is mended."""
    from ftlab.data.report import scan

    made = scan(options.file).repair(options.to)
    _say(made)
    for problem in made.problems:
        _say(f"{SHAPES[problem.level]} {problem.message}")
    return 0 if made.path else 1


def _convert(options: argparse.Namespace) -> int:
    """Turn a file of another tool, or a table, into JSONL."""
    from ftlab.data.foreign import convert

    pairs = [column.partition("=") for column in options.column]
    mapping = {part: name for part, _, name in pairs}
    made = convert(options.file, options.to, mapping or None)
    _say(f"{made.path or 'no file'}: {made.n_rows:,} rows")
    for problem in made.problems:
        _say(f"{SHAPES[problem.level]} {problem.message}")
    if made.set_aside is not None:
        _say(f"{made.n_set_aside:,} rows set aside in {made.set_aside}")
    if made.path is None:
        _say(
            "No row could be converted; rows need a shape that ftlab knows, or columns that are "
            "named. Say what they stand for: --column user=question --column assistant=answer"
        )
    return 0 if made.path else 1


def _split(options: argparse.Namespace) -> int:
    """Split a file in two; rows that say the same stay on one side."""
    from ftlab.data.splits import split_file

    made = split_file(options.file, options.share)
    _say(f"{made.train}: {made.n_train:,} rows")
    _say(f"{made.validation}: {made.n_validation:,} rows")
    for problem in made.problems:
        _say(f"{SHAPES[problem.level]} {problem.message}")
    return 0


def _recommend(options: argparse.Namespace) -> int:
    """Recommended values for a model: range, source, reason, and what others say.

    With --json an object: field → {"value", "low", "high", "source", "why", "others"}. low and
    high are numbers or null; others is a list of {"value", "source"}, each value in words.
    """
    from ftlab.advice.asked import recommend_for

    found = recommend_for(options.model, options.data, options.method, full=options.full)
    if options.json:
        print(json.dumps(found.as_dict(), ensure_ascii=False))
    else:
        print(_visible(str(found)))
    return 0


def _check(options: argparse.Namespace) -> int:
    """Check a spec, its model and its data; exit 1 when the embedded trainer would refuse."""
    from ftlab.providers import examine, get_provider, scan_data
    from ftlab.spec import parse

    values = _read_values(options.spec)
    where = get_provider("local")
    found = examine(values, where, *scan_data(parse(values)[0]))
    issues = [issue for issue in found if not issue.blocks or where.engine in issue.blocks]
    if options.json:
        _print_json([_plain(issue) for issue in issues])
    else:
        _print_issues(issues)
        _say("Nothing to say." if not issues else "")
    return 1 if any("local" in issue.blocks for issue in issues) else 0


def _estimate(options: argparse.Namespace) -> int:
    """Tokens, steps, adapter, time, memory and hosted price of a job.

    With --json an object; what is unknown is null, and a range is [low, high]: train_tokens,
    eval_tokens and n_steps over the whole job; trainable_params, trainable_share (0 to 1) and
    adapter_bytes; price in US dollars when hosted; duration in seconds and memory in bytes on
    device {name, title, memory_bytes, free_bytes, n_cores}; fits ("fits", "tight" or "does not
    fit"); parts, the bytes of the formula by what they are for; advice, an issue with a fix, when
    the memory is tight; measured, what a probe of this job found; incomplete, true while some
    fields are wrong; basis, lines of what the figures rest on.
    """
    found, is_refused = estimate_of(options.spec, probed=options.probe)
    if options.json:
        _print_json(found.as_dict())
        return 0
    for name, text in found.in_words().items():
        _say(f"{name}: {text}")
    _say("\n".join(found.basis))
    if found.advice is not None:
        _print_issues([found.advice])
    if is_refused:
        _say("As it stands the job would be refused: `ftlab check` says why.", to=sys.stderr)
    return 0


class EstimateOfFile(NamedTuple):
    estimate: Estimate
    is_refused: bool
    """Whether the embedded trainer would refuse the job."""


def estimate_of(file: Path, *, probed: bool = False) -> EstimateOfFile:
    """The estimate of a file with the values of a spec, after a probe if asked for.

    Raises FtlabError when the file can't be read, and as `probe` does.
    """
    from ftlab.cost import estimate
    from ftlab.probing import probe
    from ftlab.providers import examine, get_provider, scan_data
    from ftlab.spec import parse

    values = _read_values(file)
    report, validation = scan_data(parse(values)[0])
    if probed:
        tell = _teller()
        probe(values, report=report, validation=validation, told=lambda _, what: tell(what))
    found = estimate(values, report, validation=validation)
    refused = errors_for(examine(values, get_provider("local"), report, validation), "local")
    return EstimateOfFile(found, bool(refused))


def _train(options: argparse.Namespace) -> int:
    """Train on this machine and show the progress; Ctrl-C leaves the run going."""
    from ftlab.providers import submit

    run = submit(_read_values(options.spec))
    return _show(run)


def _runs(options: argparse.Namespace) -> int:
    """List the runs of this folder, the newest first."""
    from ftlab.runs import Runs

    runs = Runs()
    found = [repr(run)[1:-1] for run in runs]
    _say("\n".join(found) or f"There is no run in {runs.folder}. `ftlab train SPEC` starts one.")
    return 0


def _attach(options: argparse.Namespace) -> int:
    """Show a run's progress, from its beginning to its end."""
    from ftlab.runs import attach

    return _show(attach(options.run))


def _stop(options: argparse.Namespace) -> int:
    """End a run after its present step and keep what it has learned."""
    from ftlab.runs import attach

    run = attach(options.run)
    run.stop()
    return _show(run)


def _ask(options: argparse.Namespace) -> int:
    """Answers of the base model and of a run's tuned model to one prompt."""
    from ftlab.answers import ask
    from ftlab.runs import attach

    _print_answers([ask(attach(options.run), options.prompt, told=_teller())])
    return 0


def _demo(options: argparse.Namespace) -> int:
    """Tune the model inside ftlab on its own data: about a minute, no network."""
    from ftlab import demo
    from ftlab.answers import ask
    from ftlab.data.rows import Rows
    from ftlab.providers import submit
    from ftlab.scores import exact_matches

    _say("Tuning a tiny chat model to turn customer messages into JSON.")
    run = submit(demo.JOB)
    if _show(run):
        return 1
    rows = Rows(demo.HELD_OUT)
    questions = [rows[i]["messages"][0]["content"] for i in (0, 1, 2)]
    tell = _teller()
    _print_answers([ask(run, question, told=tell) for question in questions])
    for title, file in {"held-out rows": demo.HELD_OUT, "new patterns": demo.NEW_PATTERNS}.items():
        before, after = (exact_matches(run, file, tuned=tuned) for tuned in (False, True))
        _say(f"Exactly right on {title}: base {before}, tuned {after}")
    return 0


# --- printing --------------------------------------------------------------------------------


def _show(run: Any) -> int:
    """A progress bar until the run ends; 0 when it completed."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[steps]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as progress:
        task = progress.add_task(_visible(run.id), total=None, steps="")
        for _ in run.follow():
            history = run.history
            progress.update(
                task,
                total=history.n_steps,
                completed=history.last_step,
                steps=f"{history.last_step} of {history.n_steps} steps" if history.n_steps else "",
                description=_visible(_losses(history) or run.state.detail or run.status),
            )
    state = run.state
    _say(f"{run.id}: {state.status}" + (f", {state.detail}" if state.detail else ""))
    for log in _warnings(run):
        _say(f"{SHAPES['warning']} {log}")
    if state.status == "completed":
        _say(f'The adapter is in {run.adapter}; `ftlab ask {run.id} "a prompt"` tries it.')
    return 0 if state.status == "completed" else 1


def _warnings(run: Any) -> list[str]:
    """What the run's process warned of."""
    return [log.text for log in run.history.logs if log.level == "warning"]


def _losses(history: Any) -> str:
    parts = {
        "loss": history.latest("train_loss"),
        "validation": history.latest("eval_loss"),
    }
    return "  ".join(f"{name} {value:.3g}" for name, value in parts.items() if value is not None)


def _teller() -> Callable[[str], None]:
    """Prints what is being waited for, each time that it changes."""
    last = ""

    def tell(text: str) -> None:
        nonlocal last
        if text != last:
            last = text
            _say(text, to=sys.stderr)

    return tell


def _print_answers(comparisons: Sequence[Any]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(show_lines=True)
    for title in ("prompt", "base", "tuned"):
        table.add_column(title, overflow="fold")
    for comparison in comparisons:
        table.add_row(*(Text(_visible(text)) for text in comparison))
    Console().print(table)


def _print_issues(issues: Sequence[Issue]) -> None:
    for issue in issues:
        _say(f"{SHAPES[issue.level]} {issue.message}")
        if len(issue.lines) > 1:
            shown = ", ".join(map(str, issue.lines[:LINES_SHOWN]))
            _say(f"    lines {shown}" + (", …" if issue.count > LINES_SHOWN else ""))


def _say(text: object, to: IO[str] | None = None) -> None:
    """Print what may hold anything: names of files, texts of rows, what a process said."""
    print(_visible(str(text)), file=to)


def _visible(text: str) -> str:
    """Text without the control characters that could steer a terminal."""
    return "".join(c if c.isprintable() or c in "\n\u3000\xa0" else _named(c) for c in text)


def _named(char: str) -> str:
    """A character as an escape of JSON, or of Python where JSON has none so short."""
    number = ord(char)
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _print_json(value: Any) -> None:
    """One line of JSON; what could steer a terminal is escaped as JSON has it."""
    text = json.dumps(value, ensure_ascii=False)
    print("".join(c if c.isprintable() else _in_json(c) for c in text))


def _in_json(char: str) -> str:
    return _named(char) if ord(char) < 0x10000 else json.dumps(char)[1:-1]


def _plain(issue: Issue) -> dict[str, Any]:
    kept = ("level", "blocks", "code", "where", "lines", "count", "message")
    return {name: value for name, value in issue.as_dict().items() if name in kept}


def _read_values(file: Path) -> dict[str, Any]:
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as exc:
        raise FtlabError(
            f"{file} can't be read as a spec ({exc}); it takes one JSON object with the values. "
            'Write for example {"model": "demo", "training_file": "train.jsonl"}.'
        ) from exc
    if not isinstance(values, dict):
        raise FtlabError(
            f"{file} holds a JSON {type(values).__name__}; a spec is one JSON object. "
            "Put the values into braces."
        )
    return values


if __name__ == "__main__":
    sys.exit(main())
