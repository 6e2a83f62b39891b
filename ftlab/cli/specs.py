"""The verbs about a spec: recommend, check, estimate."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ftlab.cli.files import read_values
from ftlab.cli.printing import plain, print_issues, print_json, say, teller
from ftlab.issues import SHAPES, errors_for

if TYPE_CHECKING:
    from ftlab.data.report import DataReport
    from ftlab.estimated import Estimate
    from ftlab.issues import Issue


def recommend(options: argparse.Namespace) -> int:
    """Recommended values for a model: range, source, reason, and what others say.

    With --json an object: field → {"value", "low", "high", "source", "why", "others"}. low and
    high are numbers or null; others is a list of {"value", "source"}, each value in words.
    """
    from ftlab.advice.asked import recommend_for
    from ftlab.models import model_problem

    found = recommend_for(options.model, options.data, options.method, full=options.full)
    problem = model_problem(options.model)
    if problem is not None and problem.level == "error":
        say(f"{SHAPES['warning']} {problem.message} The advice is for any model.", to=sys.stderr)
    if options.json:
        print_json(found.as_dict())
    else:
        say(found)
    return 0


def check(options: argparse.Namespace) -> int:
    """Check a spec, its model and its data; exit 1 when the embedded trainer would refuse."""
    from ftlab.providers import examine, get_provider, scan_data
    from ftlab.spec import parse

    values = read_values(options.spec)
    where = get_provider("local")
    found = examine(values, where, *scan_data(parse(values)[0]))
    issues = [issue for issue in found if not issue.blocks or where.engine in issue.blocks]
    if options.json:
        print_json([plain(issue) for issue in issues])
    else:
        print_issues(issues)
        say("Nothing to say." if not issues else "")
    return 1 if any("local" in issue.blocks for issue in issues) else 0


def estimate(options: argparse.Namespace) -> int:
    """Tokens, steps, adapter, time, memory and hosted price of a job.

    With --json an object; what is unknown is null, and a range is [low, high]: train_tokens,
    eval_tokens and n_steps over the whole job; trainable_params, trainable_share (0 to 1) and
    adapter_bytes; price in US dollars when hosted, local_price here by --usd-per-hour, and
    answers_per_hour of a hosted endpoint afterwards; duration in seconds and memory in bytes on
    device {name, title, memory_bytes, free_bytes, n_cores}; fits ("fits", "tight" or "does not
    fit"); parts, the bytes of the formula by what they are for; advice, an issue with a fix, when
    the memory is tight; measured, what a probe of this job found; incomplete, true while some
    fields are wrong; guessed, true while tokens are guessed by characters; basis, lines of what
    the figures rest on. With --ask-service the price is the service's own.
    """
    found, is_refused, told = estimate_of(
        options.spec,
        probed=options.probe,
        usd_per_hour=options.usd_per_hour,
        asked=options.ask_service,
    )
    print_issues(told, to=sys.stderr)
    if options.json:
        print_json(found.as_dict())
        return 0
    for name, text in found.in_words().items():
        say(f"{name}: {text}")
    say("\n".join(found.basis))
    if found.advice is not None:
        print_issues([found.advice])
    if is_refused:
        say("As it stands the job would be refused: `ftlab check` says why.", to=sys.stderr)
    return 0


class EstimateOfFile(NamedTuple):
    estimate: Estimate
    is_refused: bool
    """Whether the embedded trainer would refuse the job."""
    told: tuple[Issue, ...] = ()
    """What the hosted service would refuse, or what the account does not cover, if it was asked."""


def estimate_of(
    file: Path, *, probed: bool = False, usd_per_hour: float | None = None, asked: bool = False
) -> EstimateOfFile:
    """The estimate of a file with the values of a spec, after a probe if asked for.

    `usd_per_hour` is what this machine costs; without it a job here has no price. `asked` takes
    the hosted price from the service itself, which gets the data files for it.

    Raises FtlabError when the file can't be read, and as `probe` and `ask_price` do.
    """
    from ftlab.cost import estimate as estimate_job
    from ftlab.probing import probe
    from ftlab.providers import examine, get_provider, scan_data
    from ftlab.spec import parse

    values = read_values(file)
    report, validation = scan_data(parse(values)[0])
    if probed:
        tell = teller()
        probe(values, report=report, validation=validation, told=lambda _, what: tell(what))
    options = {"usd_per_hour": usd_per_hour}
    found = estimate_job(values, report, validation=validation, options=options)
    refused = errors_for(examine(values, get_provider("local"), report, validation), "local")
    told: tuple[Issue, ...] = ()
    if asked:
        found, told = _priced(found, values, report, validation)
    return EstimateOfFile(found, bool(refused), told)


def _priced(
    found: Estimate,
    values: dict[str, Any],
    report: DataReport | None,
    validation: DataReport | None,
) -> tuple[Estimate, tuple[Issue, ...]]:
    """The estimate with the service's own price, and what is to be said of it."""
    from ftlab.providers.together.price import ask_price

    tell = teller()
    answer = ask_price(
        values, report=report, validation=validation, told=lambda _, what: tell(what)
    )
    credit = answer.issue()
    return found.priced_by(answer), (*answer.issues, *([] if credit is None else [credit]))
