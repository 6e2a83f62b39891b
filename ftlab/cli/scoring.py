"""The verb about how good a run's models are: score."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftlab.cli.numbers import positive
from ftlab.cli.printing import print_columns, print_json, say, say_line, teller

if TYPE_CHECKING:
    from ftlab.scores import Scores


def score(options: argparse.Namespace) -> int:
    """Score a run's base and tuned model on its validation rows, or on the rows of a file.

    ▲ is better than the base, ▼ worse, = no better, as far as the paired 95 % interval over the
    rows says so. What was found lies in the run's folder; a second call takes it from there.

    With --json an object: headline; scores, a list of {metric, column, value, interval, n,
    from_base: {value, low, high, p} or null, verdict}; gained and lost, the rows that tuning
    changed most, each with line, metric, base, tuned and answers; notes; usage of a judge; harness,
    what lm-eval has found.
    """
    found = scores_of(options, told=teller())
    if options.json:
        print_json(found.as_dict())
        return 0
    from ftlab.scores.tables import cells, changes, harness_cells, legend
    from ftlab.scores.words import headline

    print_columns(*cells(found))
    for text in legend(found):
        say(text)
    for title, rows in (("Gained most", found.gained()), ("Lost most", found.lost())):
        if rows:
            say("")
            say(title)
            print_columns(*changes(rows))
    if found.harness:
        say("")
        print_columns(*harness_cells(found.harness))
    say("")
    for text in (headline(found), *found.said):
        say_line(text)
    return 0


def scores_of(options: argparse.Namespace, told: Any = lambda _: None) -> Scores:
    """What the arguments ask for."""
    from ftlab.scores import score as find
    from ftlab.scores.judges import judge

    judges = []
    if options.judge:
        judges = [judge(options.judge_url, options.judge, options.judge_key)]
    run, file = _run_and_file(options.run, options.file)
    return find(
        run,
        file,
        metrics=options.metrics.split(",") if options.metrics else None,
        judges=judges,
        max_rows=options.max_rows,
        shots=options.shots,
        checkpoints=options.checkpoints,
        lm_eval=tuple(options.lm_eval.split(",")) if options.lm_eval else (),
        told=told,
        progress=lambda _done, _of, what: told(what),
    )


def _run_and_file(run: str | None, file: Path | None) -> tuple[str | None, Path | None]:
    """One argument that is a file of rows is that of the newest run."""
    if run is not None and file is None and Path(run).suffix == ".jsonl":
        return None, Path(run)
    return run, file


def add_score_arguments(verb: argparse.ArgumentParser) -> None:
    """[RUN] [FILE] and what to score, as in the notebook too."""
    verb.add_argument("run", nargs="?", help="id or folder; or the newest")
    verb.add_argument(
        "file", nargs="?", type=Path, help="a JSONL file; otherwise the run's validation rows"
    )
    verb.add_argument(
        "--shots",
        type=positive,
        default=0,
        metavar="K",
        help="also the base with so many examples of the training rows in the prompt",
    )
    verb.add_argument("--checkpoints", action="store_true", help="also each saved checkpoint")
    verb.add_argument("--metrics", metavar="NAME,…", help="only these; otherwise all that apply")
    verb.add_argument(
        "--max-rows", type=positive, default=200, metavar="N", help="at most (%(default)s)"
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
