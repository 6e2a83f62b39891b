"""The verbs about a spec: recommend, check, estimate."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ftlab.cli.files import read_values
from ftlab.cli.numbers import from_zero
from ftlab.cli.printing import plain, print_issues, print_json, say, teller
from ftlab.errors import FtlabError
from ftlab.issues import SHAPES, errors_for

if TYPE_CHECKING:
    from ftlab.data.report import DataReport
    from ftlab.estimated import Estimate
    from ftlab.issues import Issue
    from ftlab.prices import Price
    from ftlab.service_estimate import ServiceEstimate

SPEC_HELP = "a JSON or TOML file with the values of a spec"


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
    """Check a spec, its model and its data; exit 1 when that engine would refuse the job.

    With --template the hosted service's tokens of the first rows are compared with ftlab's, and
    the first one that is another is named.
    """
    values = read_values(options.spec)
    found = _examined(values, options.engine)
    if options.template:
        found += _of_template(values, options.engine, found)
    issues = [issue for issue in found if not issue.blocks or options.engine in issue.blocks]
    if options.json:
        print_json([plain(issue) for issue in issues])
    else:
        print_issues(issues)
        say("Nothing to say." if not issues else "")
    return 1 if errors_for(issues, options.engine) else 0


def _of_template(values: dict[str, Any], engine: str, found: list[Issue]) -> list[Issue]:
    """Issues about the service's tokens; none where the job itself is refused."""
    from ftlab.providers.together.preview import SAME, check_template

    if engine != "together":
        raise FtlabError(
            f"--template is given with --for {engine}; it compares tokens with the hosted "
            "service's. Add --for together."
        )
    if errors_for(found, engine):
        return []
    tell = teller()
    compared = check_template(values, told=lambda _: tell("uploading the data"))
    if not compared:
        say(SAME, to=sys.stderr)
    return list(compared)


def _examined(values: dict[str, Any], engine: str) -> list[Issue]:
    from ftlab.issues import by_gravity
    from ftlab.providers import examine, get_provider, model_of, scan_data
    from ftlab.providers.together.asked import FILES, examined, to_upload
    from ftlab.providers.together.quoted import limits_now
    from ftlab.spec import parse

    given, _ = parse(values)
    if engine == "local":
        return examine(values, get_provider("local"), *scan_data(given))
    here = given.changed(**{name: None for name in FILES if name not in to_upload(given)})
    scans = dict(zip(FILES, scan_data(here), strict=True))
    reports = {name: report for name, report in scans.items() if report is not None}
    limits = limits_now(given) or model_of(given)[0].hosted
    return by_gravity(examined(values, limits, reports))


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
    the figures rest on. With --ask-service the price is the service's own, and `service` says
    what else it told: price, train_tokens and eval_tokens, credit in US dollars, allowed (whether
    it would start the job), files (their ids in the account), basis and issues; the status is 1
    when it would refuse the job.
    """
    asked = estimate_of(
        options.spec,
        probed=options.probe,
        usd_per_hour=options.usd_per_hour,
        asked=options.ask_service,
    )
    found, service = asked.estimate, asked.service
    status = 1 if service is not None and errors_for(service.issues, "together") else 0
    if options.json:
        print_json(asked.as_dict())
        return status
    say_of_service(asked)
    for name, text in found.in_words().items():
        say(f"{name}: {text}")
    say("\n".join(found.basis))
    if found.advice is not None:
        print_issues([found.advice])
    if asked.is_refused:
        text = "As it stands the job would be refused by the embedded trainer: `ftlab check` says"
        say(f"{text} why. The hosted service has rules of its own: --for together.", to=sys.stderr)
    if status:
        say("The hosted service would refuse the job, for what is said above.", to=sys.stderr)
    return status


class EstimateOfFile(NamedTuple):
    estimate: Estimate
    is_refused: bool
    """Whether the embedded trainer would refuse the job; unasked where the service was asked."""
    service: ServiceEstimate | None = None
    """What the hosted service said, if it was asked."""
    by_rates: Price | None = None
    """The hosted price by the table of rates, where the service was asked for its own."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        own = {} if self.service is None else {"service": self.service.as_dict()}
        return {**self.estimate.as_dict(), **own}


def say_of_service(found: EstimateOfFile) -> None:
    """Print whose price it is; what the service would refuse, or the account not cover, goes to
    stderr."""
    if found.service is not None:
        say(found.service.in_words(found.by_rates))
        print_issues(found.service.told(), to=sys.stderr)


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
    if asked:
        return _priced(found, values, report, validation)
    refused = errors_for(examine(values, get_provider("local"), report, validation), "local")
    return EstimateOfFile(found, bool(refused))


def _priced(
    found: Estimate,
    values: dict[str, Any],
    report: DataReport | None,
    validation: DataReport | None,
) -> EstimateOfFile:
    """The estimate with the service's own price."""
    from ftlab.prices import Price
    from ftlab.providers.together.price import ask_price
    from ftlab.spec import parse

    tell = teller()
    answer = ask_price(
        values, report=report, validation=validation, told=lambda _, what: tell(what)
    )
    by_rates = Price(*(found.price or (None, None)))
    priced = found.priced_by(answer, packing=parse(values)[0].packing)
    return EstimateOfFile(priced, is_refused=False, service=answer, by_rates=by_rates)


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
        type=from_zero,
        metavar="USD",
        help="what an hour of this machine costs, for the price here",
    )
    verb.add_argument(
        "--ask-service",
        action="store_true",
        help="upload the data to Together, where it stays, for its own price; nothing is started",
    )
    verb.add_argument("--json", action="store_true")
