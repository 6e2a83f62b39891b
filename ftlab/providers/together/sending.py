"""Starting a job that costs: one request, never a second one, and its outcome found out.

An answer that says what happened settles it. Anything else (no answer, a broken one, 408, 409, 5xx,
a process that died) is unknown, and found out by looking for the job's tag in the account's list.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from ftlab.errors import ServiceError
from ftlab.providers.together.client import Client, is_undone, retry_after, why
from ftlab.providers.together.jobs import JOB_ID, JOBS
from ftlab.providers.together.ledger import Intent, Ledger
from ftlab.providers.together.listing import hosted_jobs
from ftlab.providers.together.recognised import tagged
from ftlab.providers.together.statuses import NO_ENTRY
from ftlab.providers.together.wire import Found

UNCLEAR = (408, 409)
"""Of the refusals, those after which there may be a job all the same."""
FIRST_WAIT = 1.0
"""Seconds until a request that has started nothing is sent again; each wait is twice the last."""
LONGEST_WAITING = 60.0
"""Seconds of such waits after which the price may be another."""
LOOKS = (0.0, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
"""Seconds before each look for a job in the list, which may lag behind: two minutes in all."""
Told = Callable[[str], Any]
Pause = Callable[[float], Any]
"""Waits so many seconds, or raises where nobody wants an answer any more."""


def send(
    client: Client,
    ledger: Ledger,
    run: str,
    body: Mapping[str, Any],
    told: Told,
    pause: Pause | None = None,
) -> Intent:
    """Ask for the job of a prepared intent, and return what became of it: it is bound to its job,
    rejected, or unknown. It is asked for again only when it is certain that nothing was started,
    and for about a minute: then it is still prepared, and the price may be another. `told` hears
    why, and `pause` is how that is waited for. Raises RunError when it isn't prepared.
    """
    content = json.dumps(body, allow_nan=False).encode()
    wait, waited = FIRST_WAIT, 0.0
    while True:
        intent = ledger.move(run, "sent")
        headers = {"Content-Type": "application/json", "Idempotency-Key": intent.tag or run}
        found = client.attempt("POST", JOBS, content=content, headers=headers)
        if not is_undone(found):
            return _settled(client, ledger, run, found)
        intent = ledger.move(run, "prepared", said=why(found))
        asked = retry_after(found) if isinstance(found, httpx.Response) else None
        seconds = max(wait, asked or 0.0)
        told(f"{why(found)}; nothing was started. Asking again in {seconds:.0f} s")
        (pause or client.pause)(seconds)
        wait, waited = 2 * wait, waited + seconds
        if waited > LONGEST_WAITING:
            return intent


def _settled(client: Client, ledger: Ledger, run: str, found: Found) -> Intent:
    """What the only answer to a request says."""
    if not isinstance(found, httpx.Response):
        return ledger.move(run, "unknown", said=why(found))
    status, said = found.status_code, client.said(found)
    if found.is_success and (job_id := _id_in(found)):
        return ledger.move(run, "bound", job_id=job_id)
    if 400 <= status < 500 and status not in UNCLEAR:
        return ledger.move(run, "rejected", said=f"{status}{said}")
    return ledger.move(run, "unknown", said=f"the service answered {status}{said}")


def _id_in(reply: httpx.Response) -> str:
    """The id of the job that a reply is about; empty where it names none."""
    try:
        body = reply.json()
    except (ValueError, RecursionError):
        return ""
    found = body.get("id") if isinstance(body, dict) else None
    return found if isinstance(found, str) and JOB_ID.fullmatch(found) else ""


def reconcile(client: Client, ledger: Ledger, intent: Intent, told: Told) -> Intent:
    """Look for the job of an intent that was sent, and return what it is then: bound, or unknown
    where the list names none for two minutes. Nothing is sent but questions.

    Raises ServiceError when the account may not be looked into.
    """
    said = intent.said
    for seconds in LOOKS:
        if seconds:
            told(f"it is not known yet whether the job was started; looking in {seconds:.0f} s")
            client.pause(seconds)
        try:
            found = tagged(hosted_jobs(client), intent)
        except ServiceError as exc:
            if exc.status in NO_ENTRY:
                raise
            said = f"the list of jobs could not be read ({exc.status or 'no answer'})"
            continue
        if found:
            return bound(ledger, intent, found)
        said = "the list of the account names no such job"
    return ledger.move(intent.run, "unknown", said=said)


def bound(ledger: Ledger, intent: Intent, jobs: list[str]) -> Intent:
    """The intent with its job; more than one are told, because each is paid for."""
    first, *others = jobs
    said = ""
    if others:
        said = (
            f"{len(jobs)} jobs of the account carry the tag {intent.tag}; one was asked for. "
            f"{first} is followed; cancel {' and '.join(others)} there."
        )
    return ledger.move(intent.run, "bound", job_id=first, said=said)


def sweep(client: Client, ledger: Ledger, is_left: Callable[[Intent], bool]) -> list[Intent]:
    """Find, with one look at the list, the jobs of open intents of this service that are left
    alone, and return those that were found."""
    left = [i for i in ledger.open() if i.address == client.address and is_left(i)]
    jobs = hosted_jobs(client) if left else []
    found = ((intent, tagged(jobs, intent)) for intent in left)
    return [bound(ledger, intent, ids) for intent, ids in found if ids]
