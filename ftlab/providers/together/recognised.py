"""Which of an account's jobs is the one that was asked for."""

from __future__ import annotations

from collections.abc import Iterable

from ftlab.errors import ServiceError
from ftlab.providers.together.client import Client
from ftlab.providers.together.jobs import JOB_ID
from ftlab.providers.together.ledger import Intent, Ledger, mark_of
from ftlab.providers.together.listing import HostedJob, hosted_jobs
from ftlab.run import Run
from ftlab.units import age

LEAST_LEFT = len("ftl") + 6
"""Letters and digits of a mark by which a job is known whose suffix the service has cut: one of
16 million other jobs has the same six digits."""
CLOCKS = 300.0
"""Seconds by which a job may seem older than the request for it."""
MOST_NAMED = 5


def tagged(jobs: Iterable[HostedJob], intent: Intent) -> list[str]:
    """The ids of the jobs with the tag of an intent, the oldest first. Letters and digits count:
    the service may write the rest of a name in its own way."""
    mark = _plain(mark_of(intent.tag or ""))
    found = [job for job in jobs if mark and _carries(job, mark) and JOB_ID.fullmatch(job.id)]
    found.sort(key=lambda job: (job.created_at or 0.0, job.id))
    return [job.id for job in found]


def _carries(job: HostedJob, mark: str) -> bool:
    """Whether a job is named with a mark, or with what a service has left of it."""
    suffix = _plain(job.suffix)
    if len(suffix) >= LEAST_LEFT and mark.startswith(suffix):
        return True
    return mark in suffix or mark in _plain(job.output)


def _plain(text: str) -> str:
    return "".join(filter(str.isalnum, text)).lower()


def candidates(client: Client, run: Run, ledger: Ledger) -> str:
    """The jobs that may be that of a run although their names don't say so, in words: of its model
    and data, begun since it was submitted, and known of no other run. Empty where there is none."""
    try:
        found = [job for job in hosted_jobs(client) if _may_be(job, run, ledger)]
    except ServiceError:
        return ""
    named = "; ".join(_in_words(job) for job in found[:MOST_NAMED])
    more = f"; {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
    return f"it may be one of these all the same: {named}{more}" if found else ""


def _may_be(job: HostedJob, run: Run, ledger: Ledger) -> bool:
    since, file, model = run.job.created_at.timestamp(), run.hosted.file, run.job.spec.model
    is_other = mark_of(job.suffix) != "" or ledger.of_job(job.id) is not None
    if is_other or not JOB_ID.fullmatch(job.id):
        return False
    if job.created_at is not None and job.created_at < since - CLOCKS:
        return False
    has_file = file in job.files if file and job.files else True
    has_model = job.model.lower() == model.lower() if model and job.model else True
    return has_file and has_model


def _in_words(job: HostedJob) -> str:
    old = age(job.created_at)
    parts = (job.status, job.model, " and ".join(job.files), f"{old} old" if old else "")
    return f"{job.id} ({', '.join(filter(None, parts))})"
