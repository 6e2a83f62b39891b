"""%ftlab: the verbs of the library in a notebook."""

from __future__ import annotations

import argparse
import shlex
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_magic, magics_class

from ftlab.cli import (
    add_compare_arguments,
    add_doctor_arguments,
    add_estimate_arguments,
    add_recommend_arguments,
    add_score_arguments,
    add_train_arguments,
    diagnosis_of,
    estimate_of,
    say_of_service,
    scores_of,
    submitted,
)
from ftlab.cli.options import add_provider_options
from ftlab.cli.sweeps import add_sweep_arguments, started
from ftlab.cli.tracking import add_track_arguments

VERBS = (
    *("scan", "recommend", "estimate", "train", "sweep", "runs", "compare", "doctor", "account"),
    *("score", "attach", "pause", "resume", "track"),
)


SWEEP = ("ftlab.sweeps.folder", "Sweep")
"""A run to Python, which is not shown as one; not loaded before there is one."""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with a line in one sentence, where argparse would end the process."""

    def error(self, message: str) -> Any:
        raise UsageError(f"{message}. {self.format_usage().strip()}")


@magics_class
class FtlabMagics(Magics):
    @line_magic
    def ftlab(self, line: str) -> Any:
        """%ftlab shows the Workbench; other verbs show what they find.

        scan FILE [--model M], recommend MODEL [--data FILE] [--method dpo] [--full],
        estimate SPEC.json [--probe] [--ask-service],
        train SPEC.json [--on together] [--pay-up-to USD] [--n-gpus N] …,
        sweep SPEC.json [--rates RATE,…] [--n N] [--vary FIELD=VALUE,…] [--no-halving]
        [--range-test] [--max-train-rows ROWS] [--on together] [--pay-up-to USD],
        runs, score [RUN] [FILE] [--shots K] [--checkpoints] …, compare RUN… [--json],
        track [RUN] [--to TRACKER,…] [--project NAME],
        doctor [RUN_OR_CSV], account, attach [RUN], pause [RUN], resume [RUN].
        """
        options = _parser().parse_args(shlex.split(line))
        return options.show(options)


def _parser() -> _Parser:
    parser = _Parser(prog="%ftlab", add_help=False)
    parser.set_defaults(show=_workbench)
    verbs = parser.add_subparsers(metavar="VERB")
    scan = verbs.add_parser("scan", add_help=False)
    scan.add_argument("file")
    scan.add_argument("--model")
    scan.add_argument("--max-seq-length", type=int)
    scan.set_defaults(show=_scan)
    recommend = verbs.add_parser("recommend", add_help=False)
    add_recommend_arguments(recommend)
    recommend.set_defaults(show=_recommend)
    estimate = verbs.add_parser("estimate", add_help=False)
    add_estimate_arguments(estimate)
    estimate.set_defaults(show=_estimate)
    train = verbs.add_parser("train", add_help=False)
    add_train_arguments(train)
    add_provider_options(train)
    train.set_defaults(show=_train)
    doctor = verbs.add_parser("doctor", add_help=False)
    add_doctor_arguments(doctor)
    doctor.set_defaults(show=_doctor)
    sweep = verbs.add_parser("sweep", add_help=False)
    add_train_arguments(sweep)
    add_provider_options(sweep)
    add_sweep_arguments(sweep)
    sweep.set_defaults(show=started)
    verbs.add_parser("runs", add_help=False).set_defaults(show=_runs)
    score = verbs.add_parser("score", add_help=False)
    add_score_arguments(score)
    score.set_defaults(show=_score)
    compare = verbs.add_parser("compare", add_help=False)
    add_compare_arguments(compare)
    compare.set_defaults(show=_compare)
    verbs.add_parser("account", add_help=False).set_defaults(show=_account)
    track = verbs.add_parser("track", add_help=False)
    add_track_arguments(track)
    track.set_defaults(show=_track)
    for name, show in {"attach": _attach, "pause": _pause, "resume": _resume}.items():
        verb = verbs.add_parser(name, add_help=False)
        verb.add_argument("run", nargs="?")
        verb.set_defaults(show=show)
    return parser


def _workbench(_: argparse.Namespace) -> Any:
    from ftlab.ui.workbench import Workbench

    return Workbench()


def _scan(options: argparse.Namespace) -> Any:
    from ftlab.data.report import scan

    return scan(options.file, options.model, max_seq_length=options.max_seq_length)


def _recommend(options: argparse.Namespace) -> Any:
    from ftlab.advice.asked import recommend_for

    found = recommend_for(options.model, options.data, options.method, full=options.full)
    return found.as_dict() if options.json else found


def _estimate(options: argparse.Namespace) -> Any:
    found = estimate_of(
        options.spec,
        probed=options.probe,
        usd_per_hour=options.usd_per_hour,
        asked=options.ask_service,
    )
    if options.json:
        return found.as_dict()
    say_of_service(found)
    return found.estimate


def _train(options: argparse.Namespace) -> Any:
    return submitted(options)


def _runs(_: argparse.Namespace) -> Any:
    from ftlab.runs import Runs

    return Runs()


def _score(options: argparse.Namespace) -> Any:
    found = scores_of(options)
    return found.as_dict() if options.json else found


def _compare(options: argparse.Namespace) -> Any:
    from ftlab.comparison import compare

    found = compare(options.runs)
    return found.as_dict() if options.json else found


def _account(_: argparse.Namespace) -> Any:
    from ftlab.providers.together.holdings import account

    return account()


def _attach(options: argparse.Namespace) -> Any:
    from ftlab.sweeps.folder import find

    return find(options.run)


def _pause(options: argparse.Namespace) -> Any:
    run = _attach(options)
    run.pause()
    return run


def _resume(options: argparse.Namespace) -> Any:
    return _attach(options).resume()


def _track(options: argparse.Namespace) -> Any:
    from ftlab.cli.tracking import track

    track(options)


def _doctor(options: argparse.Namespace) -> Any:
    found = diagnosis_of(options)
    return found.as_dict() if options.json else found


# --- loading ---------------------------------------------------------------------------------


def load(shell: Any) -> None:
    """Put in the magic, its completion, and the live view of runs. Doing it twice is harmless."""
    from ftlab.runs import Run

    shell.register_magics(FtlabMagics)
    shell.set_hook("complete_command", _complete, str_key="%ftlab")
    shell.display_formatter.mimebundle_formatter.for_type(Run, _live)
    shell.display_formatter.mimebundle_formatter.for_type_by_name(*SWEEP, _still)


def unload(shell: Any) -> None:
    """Take out what `load` put in."""
    from ftlab.runs import Run

    shell.magics_manager.magics["line"].pop("ftlab", None)
    shell.strdispatchers["complete_command"].strs.pop("%ftlab", None)
    shell.display_formatter.mimebundle_formatter.pop(Run, None)
    shell.display_formatter.mimebundle_formatter.pop(".".join(SWEEP), None)


def _complete(_shell: Any, event: Any) -> list[str]:
    return [verb for verb in VERBS if verb.startswith(event.symbol)]


def _still(sweep: Any, include: Any = None, exclude: Any = None) -> dict[str, Any]:
    """A sweep as it stands."""
    return {"text/plain": repr(sweep), "text/html": sweep._repr_html_()}


def _live(run: Any, include: Any = None, exclude: Any = None) -> dict[str, Any]:
    """A run as a widget that goes on, with its static copy for where no widget runs."""
    from ftlab.ui.workbench import run_view

    bundle: Any = run_view(run)._repr_mimebundle_()
    return {**bundle, "text/html": run._repr_html_()}
