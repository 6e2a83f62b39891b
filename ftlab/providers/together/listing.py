"""The jobs and the files of an account, whoever started them, as the service lists them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from ftlab.errors import ServiceError
from ftlab.events import ENDED
from ftlab.prices import dollars
from ftlab.providers.together.jobs import JOBS, delete
from ftlab.providers.together.translated import STATUSES
from ftlab.units import age, in_bytes

if TYPE_CHECKING:
    import httpx

    from ftlab.providers.together.client import Client

FILES = "/v1/files"
JOB_TITLES = ("job", "status", "model", "output", "cost", "age")
FILE_TITLES = ("file", "name", "state", "size", "age")
NANO = 1e-9
LEAST_NANO = 10**6
"""An amount from which on it is in nano-dollars, as the official SDK reads all of them: no job
costs as many dollars."""
LATEST = 1e11  # seconds since 1970; what is above is no time


class HostedJob(NamedTuple):
    """A job of the account."""

    id: str
    status: str
    """The service's own word, in lower case."""
    model: str
    output: str
    """The name of what it tunes."""
    price: float | None
    """What it has cost, in US dollars, as far as the service says."""
    created_at: float | None
    """Seconds since the epoch by this machine's clock."""
    files: tuple[str, ...]
    """The ids of its data."""
    suffix: str = ""
    """What whoever started it has called it."""

    @property
    def has_ended(self) -> bool:
        return STATUSES.get(self.status) in ENDED

    def cells(self) -> tuple[str, ...]:
        """In words, in the order of JOB_TITLES."""
        cost = "" if self.price is None else dollars(self.price)
        return self.id, self.status, self.model, self.output, cost, age(self.created_at)


class HostedFile(NamedTuple):
    """A file of the account."""

    id: str
    name: str
    status: str
    """What the service's look into it has brought, in lower case."""
    n_bytes: int
    created_at: float | None

    def cells(self) -> tuple[str, ...]:
        """In words, in the order of FILE_TITLES."""
        return self.id, self.name, self.status, in_bytes(self.n_bytes), age(self.created_at)


def hosted_jobs(client: Client) -> list[HostedJob]:
    """All jobs of the account, the newest first. Raises ServiceError."""
    entries, ahead = _listed(client, JOBS, "the jobs were listed")
    return sorted((_job(client, entry, ahead) for entry in entries), key=_newest_first)


def hosted_files(client: Client) -> list[HostedFile]:
    """All files of the account, the newest first. Raises ServiceError."""
    entries, ahead = _listed(client, FILES, "the files were listed")
    return sorted((_file(client, entry, ahead) for entry in entries), key=_newest_first)


def delete_file(client: Client, file_id: str) -> None:
    """Take a file away for good. Raises ServiceError."""
    doing = f"{file_id} was deleted"
    found = delete(client, f"{FILES}/{quote(file_id, safe='')}", doing)
    if found.get("deleted") is False:
        raise ServiceError(
            f"Together did not delete {file_id}; a file that no job uses can be deleted. Ask again "
            "when the jobs that use it have ended."
        )


def _listed(client: Client, path: str, doing: str) -> tuple[list[dict[str, Any]], float]:
    """The entries, each once, and by how many seconds this machine's clock is ahead."""
    reply = client.request("GET", path, doing)
    data = client.parsed(reply, doing).get("data")
    entries = data if isinstance(data, list) else []
    named = (one for one in entries if isinstance(one, dict) and isinstance(one.get("id"), str))
    return list({one["id"]: one for one in named}.values()), _ahead(reply)


def _ahead(reply: httpx.Response) -> float:
    try:
        return time.time() - parsedate_to_datetime(reply.headers.get("date", "")).timestamp()
    except (ValueError, OverflowError):
        return 0.0


def _newest_first(one: HostedJob | HostedFile) -> float:
    return -(one.created_at or 0.0)


def _job(client: Client, entry: Mapping[str, Any], ahead: float) -> HostedJob:
    def word(name: str) -> str:
        return client.cleaned(entry.get(name) or "")

    files = (entry.get(name) for name in ("training_file", "validation_file"))
    return HostedJob(
        id=client.cleaned(entry["id"]),
        status=word("status").lower() or "unknown",
        model=word("model") or word("from_checkpoint"),
        output=word("model_output_name") or word("output_name") or word("suffix"),
        price=in_dollars(entry.get("total_price")),
        created_at=_moment(entry.get("created_at"), ahead),
        files=tuple(file for file in files if isinstance(file, str) and file),
        suffix=word("suffix"),
    )


def _file(client: Client, entry: Mapping[str, Any], ahead: float) -> HostedFile:
    size = entry.get("bytes")
    return HostedFile(
        id=client.cleaned(entry["id"]),
        name=client.cleaned(entry.get("filename") or ""),
        status=client.cleaned(entry.get("processing_status") or "").lower(),
        n_bytes=size if type(size) is int and size >= 0 else 0,
        created_at=_moment(entry.get("created_at"), ahead),
    )


def in_dollars(amount: object) -> float | None:
    """US dollars; an amount may be in nano-dollars."""
    if not isinstance(amount, (int, float)) or isinstance(amount, bool) or not 0 < amount < 1e18:
        return None
    return float(amount) * (NANO if amount >= LEAST_NANO else 1)


def _moment(value: object, ahead: float) -> float | None:
    """A time of the service, in seconds or as ISO 8601 has it, by this machine's clock."""
    if isinstance(value, str):
        value = _seconds(value)
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value < LATEST:
        return None
    return value + ahead


def _seconds(text: str) -> float | None:
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
