"""What can be asked of the service about a job's price, before anything is sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ftlab.data.report import DataReport
from ftlab.errors import InvalidSpec
from ftlab.exchange.code import UPLOADED
from ftlab.exchange.together import DPO, DPO_SWITCHES, LORA, to_price_body
from ftlab.files import existing
from ftlab.issues import Issue, errors_for, shown
from ftlab.limits import Limits
from ftlab.origin import is_here
from ftlab.providers import model_of
from ftlab.providers.together.files import problem
from ftlab.providers.together.ledger import LONGEST_OWN, LONGEST_SUFFIX, own_of
from ftlab.rules import check, resolve
from ftlab.spec import JobSpec, parse

FILES = ("training_file", "validation_file")
PRICED = {
    *(*FILES, "model", "from_checkpoint", "from_hf_model", "n_epochs", "n_evals"),
    *("training_method", "train_on_inputs", "lora", *LORA, *DPO, *DPO_SWITCHES),
}
"""Fields without which, or with a wrong value of which, there is no price."""
UNPACKED = (
    "Together's estimate does not know that packing is off; without it each row is billed as "
    "max_seq_length tokens. Go by the table of rates, or leave packing on."
)

Reports = Mapping[str, DataReport]
"""Field of a data file → its scan."""


def to_upload(spec: JobSpec) -> dict[str, Path]:
    """Field → path of each data file that is not at the service yet."""
    given = {name: file for name in FILES if (file := getattr(spec, name))}
    return {n: existing(f) or Path(f) for n, f in given.items() if not UPLOADED.fullmatch(f)}


def tuned(spec: JobSpec) -> str:
    """By which name the service has the limits of what is tuned."""
    return spec.model or (spec.from_checkpoint or "").partition(":")[0]


def is_there(spec: JobSpec) -> bool:
    """Whether what is tuned is the service's, and has no other name here: it need not hear how
    anything of this machine is called."""
    name, source = tuned(spec), spec.from_checkpoint
    return (
        bool(name)
        and name != "demo"
        and existing(name) is None
        and not (source and is_here(source))
    )


def question(spec: JobSpec, reports: Reports) -> str:
    """The same text for jobs with the same price: what is asked, and what is in the files."""
    training, info = _of_files_here(spec, reports).get("training_file"), model_of(spec)[0]
    asked = to_price_body(resolve(spec, training, info, "together").spec)
    return json.dumps([asked, checksums(spec, reports)], sort_keys=True)


def checksums(spec: JobSpec, reports: Reports) -> dict[str, str]:
    """Field → SHA-256 of each data file that is not at the service yet, as it was scanned."""
    return {name: report.sha256 for name, report in _of_files_here(spec, reports).items()}


def no_price(spec: JobSpec, limits: Limits | None, reports: Reports) -> list[Issue]:
    """Why the service can give no price; what else it would refuse the job for is not here."""
    return [issue for issue in refusals(spec, limits, reports) if issue.where in PRICED]


def require_price(spec: JobSpec, limits: Limits | None, reports: Reports) -> list[Issue]:
    """What is to be said beside the price. Raises InvalidSpec where there can be none."""
    if missing := no_price(spec, limits, reports):
        raise InvalidSpec(missing)
    return beside_the_price(spec, limits, reports)


def beside_the_price(spec: JobSpec, limits: Limits | None, reports: Reports) -> list[Issue]:
    """What the job itself would be refused for, and what the service's price leaves out."""
    unpacked = Issue("warning", UNPACKED, "packing_is_off", "packing")
    return refusals(spec, limits, reports) + [unpacked] * (spec.packing is False)


def refusals(spec: JobSpec, limits: Limits | None, reports: Reports) -> list[Issue]:
    """Why the service would refuse a job, as far as ftlab knows."""
    return errors_for(examined(spec, limits, reports), "together")


def examined(
    values: JobSpec | Mapping[str, Any], limits: Limits | None, reports: Reports
) -> list[Issue]:
    """All that is to be said about a job at the service before it is asked."""
    spec, _ = parse(values)
    scans, files = _of_files_here(spec, reports), to_upload(spec)
    training, validation = (scans.get(name) for name in FILES)
    found = check(values, limits, training, validation=validation)
    problems = {name: issue for name, path in files.items() if (issue := problem(path, name))}
    found = [i for i in found if i.where not in problems or "together" not in i.blocks]
    return [*found, *problems.values(), *_from_here(spec), *_too_long(spec)]


def _from_here(spec: JobSpec) -> list[Issue]:
    """The service has nothing of this machine, and need not hear how it is called here."""
    name = spec.from_checkpoint
    if not name or not is_here(name):
        return []
    text = (
        f"from_checkpoint is {shown(name)}, which is on this machine; the hosted service goes on "
        "from jobs of its own. Name such a job (“ft-…”), or leave it out and name a model."
    )
    return [Issue("error", text, "goes_on", "from_checkpoint", blocks=("together",))]


def _too_long(spec: JobSpec) -> list[Issue]:
    """A name that is cut is not the person's any more."""
    own = own_of(spec.suffix)
    if len(own) <= LONGEST_OWN:
        return []
    text = (
        f"suffix has {len(own)} characters; at Together {LONGEST_OWN} are yours: it takes "
        f"{LONGEST_SUFFIX}, and ftlab puts a mark in front by which it knows the job again. Use a "
        f"shorter one, such as {own[:LONGEST_OWN]}."
    )
    fix = {"suffix": own[:LONGEST_OWN]}
    return [Issue("error", text, "suffix_too_long", "suffix", fix=fix, blocks=("together",))]


def _of_files_here(spec: JobSpec, reports: Reports) -> Reports:
    """A scan of a file that is at the service says only that it is not here."""
    return {name: reports[name] for name in to_upload(spec) if name in reports}
