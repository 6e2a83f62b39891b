"""A job that was started elsewhere becomes a run of this folder."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import SecretStr

import ftlab
from ftlab.exchange.together import from_body
from ftlab.job import Job, TogetherOptions
from ftlab.providers.together.account import require_key
from ftlab.providers.together.client import Client
from ftlab.providers.together.jobs import looked_up
from ftlab.providers.together.ledger import Ledger
from ftlab.run_folder import RunFolder
from ftlab.runs import Run, Runs
from ftlab.spec import parse


def adopt(
    job_id: str,
    folder: Path | str | None = None,
    key: str | SecretStr | None = None,
    base_url: str | None = None,
) -> Run:
    """A run that follows a job of the account, which goes on or has ended; where a run of the
    folder has it already, that one. Nothing is started at the service. Raises ServiceError where
    the account has no such job."""
    secret = require_key(SecretStr(key) if isinstance(key, str) else key)
    key = None  # so that no traceback shows it
    with Client(secret, base_url) as client:
        reply = looked_up(client, job_id)
        where = client.address
    place = Runs(folder).folder
    place.mkdir(parents=True, exist_ok=True)
    with Ledger(place) as ledger:
        run = _known(ledger, place, job_id) or _new(ledger, place, where, job_id, reply)
    if run.is_left or run.history.status is None:
        run.start(secret)
    return run


def _known(ledger: Ledger, place: Path, job_id: str) -> Run | None:
    """The run that has the job; None also where its folder is gone."""
    intent = ledger.of_job(job_id)
    if intent is None or not RunFolder(place / intent.run).exists:
        return None
    return Run(place / intent.run)


def _new(ledger: Ledger, place: Path, where: str, job_id: str, reply: Mapping[str, Any]) -> Run:
    values, _ = from_body({n: v for n, v in reply.items() if v is not None})
    spec, _ = parse(values)
    job = Job(
        spec=spec,
        provider="together",
        options=TogetherOptions(pay_up_to=None, base_url=where).model_dump(),
        created_at=_created(reply),
        ftlab_version=ftlab.__version__,
    )
    run = Run.create(job, place)
    run.note_hosted(address=where, job_id=job_id)
    ledger.adopt(run.id, where, job_id)
    return run


def _created(reply: Mapping[str, Any]) -> datetime:
    """When the job was started; now, where the service does not say."""
    try:
        found = datetime.fromisoformat(str(reply.get("created_at")))
    except ValueError:
        return datetime.now(UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
