"""From a run to its job at the service: data, price, one request; or what came of one before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import partial
from typing import Any

from ftlab.errors import InvalidSpec
from ftlab.exchange.together import OPTIONS, to_body
from ftlab.job import Job, TogetherOptions
from ftlab.limits import Limits
from ftlab.processes import is_locked
from ftlab.providers.together.agreement import NotAgreed, require_agreed
from ftlab.providers.together.asked import FILES, refusals
from ftlab.providers.together.client import Client
from ftlab.providers.together.ledger import OPEN, Intent, Ledger, tag_of
from ftlab.providers.together.listing import hosted_jobs
from ftlab.providers.together.piped import Secrets
from ftlab.providers.together.quoted import UPLOADING, quote
from ftlab.providers.together.recognised import candidates, tagged
from ftlab.providers.together.sending import bound, reconcile, send, sweep
from ftlab.run import Run
from ftlab.run_folder import RunFolder
from ftlab.spec import JobSpec

Tell = Callable[[str], Any]
"""Hears what is being done."""


def known(run: Run, ledger: Ledger, address: str) -> Intent | None:
    """What is known of a run's job; None when nothing was ever asked for. A run that may have asked
    counts as one that did, whatever became of the ledger."""
    intent, hosted = ledger.of(run.id), run.hosted
    if hosted.job_id:
        return ledger.adopt(run.id, hosted.address or address, hosted.job_id)
    if intent is None and hosted.tag:
        return ledger.restore(run.id, hosted.tag, hosted.address or address)
    return intent


def started(
    client: Client, steady: Client, run: Run, ledger: Ledger, secrets: Secrets, tell: Tell
) -> Intent:
    """The intent of a run: bound to its job, rejected, or unknown.

    Asks for the job where nobody has; otherwise finds out what came of that. `client` may be
    stopped; `steady` is the same account, and finishes what it began. Raises Cancelled, InvalidSpec
    and other kinds of FtlabError while it is certain that nothing was started.
    """
    intent = known(run, ledger, client.address)
    if intent is not None or run.history.attempt > 1:
        intent = _found_before(steady, run, ledger, intent)
    while intent is None or intent.state == "prepared":
        body, intent = _prepared(client, run, ledger, secrets, tell)
        tell("asking Together for the job")
        client.pause(0)  # from here on the request is waited for, whoever wants the run to end
        intent = send(steady, ledger, run.id, body, tell, client.pause)
    if intent.state in OPEN:
        intent = reconcile(steady, ledger, intent, tell)
    if intent.state == "unknown" and (others := candidates(steady, run, ledger)):
        intent = ledger.move(run.id, "unknown", said=f"{intent.said}; {others}")
    if intent.job_id:
        run.note_hosted(address=intent.address, tag=intent.tag or "", job_id=intent.job_id)
    return intent


def _found_before(client: Client, run: Run, ledger: Ledger, known: Intent | None) -> Intent:
    """What an earlier attempt has come to, or that of a copy of the folder. A ledger that says that
    nothing was sent may be older than the truth, so one look at the account's list comes first."""
    intent = known or ledger.prepare(_intent(run, client.address))
    jobs = tagged(hosted_jobs(client), intent) if intent.state == "prepared" else []
    return bound(ledger, intent, jobs) if jobs else intent


def _prepared(
    client: Client, run: Run, ledger: Ledger, secrets: Secrets, tell: Tell
) -> tuple[dict[str, Any], Intent]:
    """The request for a run's job, and its intent, both written down."""
    options = TogetherOptions(**run.job.options)
    sums: dict[str, str] = dict(
        zip(FILES, (run.job.data_sha256, run.job.validation_sha256), strict=True)
    )
    fitted = partial(_fitting, run.job)
    found = quote(client, run.job.spec, sums, fitted, partial(_tell_share, tell))
    try:
        require_agreed(run.job.spec, found.price, options.pay_up_to)
    except NotAgreed as refused:
        run.note_hosted(price=refused.most)
        raise
    intent = ledger.prepare(_intent(run, client.address)._replace(price=found.price.price.high))
    file = found.spec.training_file or ""
    run.note_hosted(address=intent.address, tag=intent.tag or "", file=file, price="")
    spec = found.spec.changed(suffix=intent.tag)
    return _body(spec, found.limits, options, secrets), intent


def _fitting(job: Job, spec: JobSpec, limits: Limits) -> JobSpec:
    """The spec of a job; what ftlab had filled in, and the service's own limits don't take, is
    what they do. Raises InvalidSpec for what the person gave."""
    for issue in refusals(spec, limits, {}):
        if issue.where in job.reasons and isinstance(issue.fix, dict):
            spec = spec.changed(**issue.fix)
    if remaining := refusals(spec, limits, {}):
        raise InvalidSpec(remaining)
    return spec


def _intent(run: Run, address: str) -> Intent:
    job = run.job
    text = json.dumps(job.spec.model_dump(mode="json"), sort_keys=True)
    return Intent(
        run=run.id,
        tag=tag_of(job.spec.suffix, f"{run.id} {job.created_at.isoformat()}"),
        state="prepared",
        address=address,
        spec_sha256=hashlib.sha256(text.encode()).hexdigest(),
        files_sha256=" ".join(filter(None, (job.data_sha256, job.validation_sha256))),
        pay_up_to=TogetherOptions(**job.options).pay_up_to,
    )


def _body(
    spec: JobSpec, limits: Limits, options: TogetherOptions, secrets: Secrets
) -> dict[str, Any]:
    """The whole request; what it can't say of the spec, the rules have refused before."""
    body, _ = to_body(spec, limits)
    names = (*OPTIONS, "hf_output_repo_name")
    given = {name: value for name in names if (value := getattr(options, name)) is not None}
    return {**body, **given, **{n: v.get_secret_value() for n, v in secrets.fields.items()}}


def _tell_share(tell: Tell, share: float, what: str) -> None:
    tell(f"{what}: {share / UPLOADING:.0%}" if what.startswith("uploading") else what)


def found_of_others(client: Client, run: Run, ledger: Ledger) -> list[Intent]:
    """Jobs of other runs of the folder that nobody follows and of which nobody knew until now."""

    def is_left(intent: Intent) -> bool:
        return intent.run != run.id and not is_locked(_folder_of(run, intent).lock_file)

    return sweep(client, ledger, is_left)


def _folder_of(run: Run, intent: Intent) -> RunFolder:
    return RunFolder(run.path.parent / intent.run)
