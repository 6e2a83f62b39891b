"""One job of an account: where it is asked about, looked up, cancelled and deleted."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ftlab.errors import ServiceError

if TYPE_CHECKING:
    from ftlab.providers.together.client import Client

JOBS = "/v1/fine-tunes"
JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def path_of(job_id: str) -> str:
    """Where a job is asked about. Raises ServiceError for what can be no id of one."""
    if JOB_ID.fullmatch(job_id):
        return f"{JOBS}/{job_id}"
    raise ServiceError(
        f"{job_id!r} is no id of a job; ids are of letters, digits, '.', '_' and '-'. Take one "
        "from the account's list."
    )


def looked_up(client: Client, job_id: str) -> dict[str, Any]:
    """All that the service says of a job, under the id by which it was asked for. Raises
    ServiceError."""
    return {**client.json("GET", path_of(job_id), f"{job_id} was looked up"), "id": job_id}


def cancel(client: Client, job_id: str) -> str:
    """Cancel a job, and return the service's word for its state: one that ended before stays what
    it was. Raises ServiceError."""
    doing = f"{job_id} was cancelled"
    reply = client.request("POST", f"{path_of(job_id)}/cancel", doing, accepted=(400, 409))
    found = client.parsed(reply, doing) if reply.is_success else {}
    return _status(found) or _status(looked_up(client, job_id))


def delete_job(client: Client, job_id: str) -> None:
    """Take a job and all that it made away for good. Raises ServiceError."""
    delete(client, path_of(job_id), f"{job_id} was deleted")


def delete(client: Client, path: str, doing: str) -> dict[str, Any]:
    """The reply. A request may be lost after it was heard: what is gone then need not be told."""
    reply = client.request("DELETE", path, doing, accepted={404})
    return {} if reply.status_code == 404 or not reply.content else client.parsed(reply, doing)


def _status(found: dict[str, Any]) -> str:
    value = found.get("status")
    return value.lower() if isinstance(value, str) else ""
