"""What can be asked of the service about a job's price, before anything is sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from ftlab.data.report import DataReport
from ftlab.errors import InvalidSpec
from ftlab.exchange.code import UPLOADED
from ftlab.exchange.together import DPO, DPO_SWITCHES, LORA, to_price_body
from ftlab.files import existing
from ftlab.issues import Issue, errors_for
from ftlab.limits import Limits
from ftlab.model_files import ModelInfo
from ftlab.providers.together.files import problem
from ftlab.rules import check, resolve
from ftlab.spec import JobSpec

FILES = ("training_file", "validation_file")
PRICED = {
    *(*FILES, "model", "from_checkpoint", "from_hf_model", "n_epochs", "n_evals"),
    *("training_method", "train_on_inputs", "lora", *LORA, *DPO, *DPO_SWITCHES),
}
"""Fields without which, or with a wrong value of which, there is no price."""

Reports = Mapping[str, DataReport]
"""Field of a data file → its scan."""


def to_upload(spec: JobSpec) -> dict[str, Path]:
    """Field → path of each data file that is not at the service yet."""
    given = {name: file for name in FILES if (file := getattr(spec, name))}
    return {n: existing(f) or Path(f) for n, f in given.items() if not UPLOADED.fullmatch(f)}


def question(spec: JobSpec, info: ModelInfo, reports: Reports) -> str:
    """The same text for jobs with the same price: what is asked, and what is in the files."""
    scans = _of_files_here(spec, reports)
    asked = to_price_body(resolve(spec, scans.get("training_file"), info, "together").spec)
    contents = {name: report.sha256 for name, report in scans.items()}
    return json.dumps([asked, contents], sort_keys=True)


def no_price(spec: JobSpec, limits: Limits | None, reports: Reports) -> list[Issue]:
    """Why the service can give no price; what else it would refuse the job for is not here."""
    return [issue for issue in _refusals(spec, limits, reports) if issue.where in PRICED]


def require_price(spec: JobSpec, limits: Limits | None, reports: Reports) -> tuple[Issue, ...]:
    """What the job itself would be refused for. Raises InvalidSpec where there can be no price."""
    found = _refusals(spec, limits, reports)
    if missing := [issue for issue in found if issue.where in PRICED]:
        raise InvalidSpec(missing)
    return tuple(found)


def _refusals(spec: JobSpec, limits: Limits | None, reports: Reports) -> list[Issue]:
    scans = _of_files_here(spec, reports)
    training, validation = (scans.get(name) for name in FILES)
    found = errors_for(check(spec, limits, training, validation=validation), "together")
    wrong = {issue.where for issue in found}
    problems = {n: problem(path, n) for n, path in to_upload(spec).items() if n not in wrong}
    return found + [issue for issue in problems.values() if issue is not None]


def _of_files_here(spec: JobSpec, reports: Reports) -> Reports:
    """A scan of a file that is at the service says only that it is not here."""
    return {name: reports[name] for name in to_upload(spec) if name in reports}
