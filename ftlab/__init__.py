"""ftlab: a fine-tuning workbench that lives in Jupyter.

    %load_ext ftlab
    ftlab.Workbench("train.jsonl", model="demo")

The same verbs without a notebook: scan, convert, repair, split_file a file; check a spec,
estimate, probe, ask_price, submit, attach, compare, doctor, ask, export; sweep the learning rate
and other fields; list_models that are on this machine; check_template at the hosted service, and
see what the account has there.
Importing ftlab loads nothing else; each name below is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ftlab.advice import recommend as recommend
    from ftlab.answers import ask as ask
    from ftlab.comparison import compare as compare
    from ftlab.cost import estimate as estimate
    from ftlab.data.foreign import convert as convert
    from ftlab.data.repair import repair as repair
    from ftlab.data.report import DataReport as DataReport
    from ftlab.data.report import scan as scan
    from ftlab.data.splits import split_file as split_file
    from ftlab.diagnosis import doctor as doctor
    from ftlab.errors import FtlabError as FtlabError
    from ftlab.estimated import Estimate as Estimate
    from ftlab.exports import export as export
    from ftlab.issues import Issue as Issue
    from ftlab.job import Job as Job
    from ftlab.model_cache import list_models as list_models
    from ftlab.probing import probe as probe
    from ftlab.providers import submit as submit
    from ftlab.providers.together.holdings import account as account
    from ftlab.providers.together.preview import check_template as check_template
    from ftlab.providers.together.price import ask_price as ask_price
    from ftlab.rules import check as check
    from ftlab.rules import resolve as resolve
    from ftlab.runs import Run as Run
    from ftlab.runs import Runs as Runs
    from ftlab.runs import attach as attach
    from ftlab.scores import metric as metric
    from ftlab.scores import score as score
    from ftlab.scores.judges import judge as judge
    from ftlab.spec import JobSpec as JobSpec
    from ftlab.sweeps.folder import Sweep as Sweep
    from ftlab.sweeps.folder import Sweeps as Sweeps
    from ftlab.sweeps.start import sweep as sweep
    from ftlab.ui.workbench import Workbench as Workbench

__version__ = "0.1.0"

_HOMES = {
    "account": "ftlab.providers.together.holdings",
    "ask": "ftlab.answers",
    "ask_price": "ftlab.providers.together.price",
    "attach": "ftlab.runs",
    "check": "ftlab.rules",
    "check_template": "ftlab.providers.together.preview",
    "compare": "ftlab.comparison",
    "convert": "ftlab.data.foreign",
    "DataReport": "ftlab.data.report",
    "doctor": "ftlab.diagnosis",
    "Estimate": "ftlab.estimated",
    "estimate": "ftlab.cost",
    "export": "ftlab.exports",
    "FtlabError": "ftlab.errors",
    "Issue": "ftlab.issues",
    "Job": "ftlab.job",
    "JobSpec": "ftlab.spec",
    "judge": "ftlab.scores.judges",
    "list_models": "ftlab.model_cache",
    "metric": "ftlab.scores",
    "probe": "ftlab.probing",
    "recommend": "ftlab.advice",
    "repair": "ftlab.data.repair",
    "resolve": "ftlab.rules",
    "Run": "ftlab.runs",
    "Runs": "ftlab.runs",
    "scan": "ftlab.data.report",
    "score": "ftlab.scores",
    "split_file": "ftlab.data.splits",
    "submit": "ftlab.providers",
    "sweep": "ftlab.sweeps.start",
    "Sweep": "ftlab.sweeps.folder",
    "Sweeps": "ftlab.sweeps.folder",
    "Workbench": "ftlab.ui.workbench",
}
__all__ = sorted(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'ftlab' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext ftlab`: the magic %ftlab, and runs that show themselves live."""
    from ftlab.magics import load

    load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """`%unload_ext ftlab`: takes back all that loading put in."""
    from ftlab.magics import unload

    unload(shell)
