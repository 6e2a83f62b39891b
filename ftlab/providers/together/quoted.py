"""From a job to the service's price for it: its limits, its refusals, its files, its figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import SecretStr

from ftlab.errors import ServiceError
from ftlab.exchange.together import to_price_body
from ftlab.files import existing
from ftlab.limits import Limits
from ftlab.model_files import ModelInfo
from ftlab.providers import model_of
from ftlab.providers.together.account import find_key
from ftlab.providers.together.asked import FILES, is_there, to_upload, tuned
from ftlab.providers.together.files import upload, wait_until_checked
from ftlab.providers.together.jobs import JOBS
from ftlab.providers.together.statuses import NO_ENTRY
from ftlab.service_estimate import ServiceEstimate
from ftlab.spec import JobSpec

if TYPE_CHECKING:
    from ftlab.providers.together.client import Client

EXAMPLES = ("Qwen/Qwen3-8B", "Qwen/Qwen3-14B")
UPLOADING, UPLOADED = 0.8, 0.95
"""The share of all that is done when the files are there, and when they were looked into."""

Told = Callable[[float, str], Any]
"""Called with the share that is done (0 to 1) and what is being done."""
Fitted = Callable[[JobSpec, Limits], JobSpec]
"""What is asked for under these limits. Raises InvalidSpec where the service would refuse it."""


class Quote(NamedTuple):
    """What the service says of a job before it is sent."""

    spec: JobSpec
    """With the ids of its files there."""
    limits: Limits
    price: ServiceEstimate

    @property
    def files(self) -> dict[str, str]:
        """Field of a data file → its id."""
        return {name: file for name in FILES if (file := getattr(self.spec, name))}


def quote(
    client: Client, spec: JobSpec, sums: Mapping[str, str], fitted: Fitted, told: Told
) -> Quote:
    """The service's limits and price for a job, for which its data is uploaded; `sums` are the
    SHA-256 of the files. Raises ServiceError, and InvalidSpec for what the service refuses."""
    told(0.0, "asking what Together takes for the model")
    limits = limits_over_catalogue(client, spec)
    spec = fitted(spec, limits)
    spec = spec.changed(**_uploaded(client, spec, sums, told))
    told(UPLOADED, "asking for the price")
    return Quote(spec, limits, price_of(client, to_price_body(spec, limits)))


def _uploaded(client: Client, spec: JobSpec, sums: Mapping[str, str], told: Told) -> dict[str, str]:
    """Field → id of each data file, once the service has looked into it."""
    paths = to_upload(spec)
    total = sum(path.stat().st_size for path in paths.values()) or 1
    ids = {name: file for name in FILES if (file := getattr(spec, name))}
    before = 0.0
    for name, path in paths.items():
        part = path.stat().st_size / total
        ids[name] = upload(client, path, sums[name], partial(_sent, told, path.name, before, part))
        before += part
    for name, file_id in ids.items():
        title = paths[name].name if name in paths else _as_id(file_id)
        told(UPLOADING * before, f"Together checks {title}")
        wait_until_checked(client, file_id, title, name)
    return ids


def _sent(told: Told, name: str, before: float, part: float, share: float) -> None:
    told(UPLOADING * (before + part * share), f"uploading {name}")


def _as_id(file_id: str) -> str:
    """How a file at the service is called in a message."""
    if existing(file_id) is None:
        return file_id
    return f"{file_id} (taken for an id; a file of that name lies here: ./{file_id})"


def price_of(client: Client, body: dict[str, Any]) -> ServiceEstimate:
    """The service's price for a body. Raises ServiceError."""
    path = f"{JOBS}/estimate-price"
    reply = client.json("POST", path, "asked for the price", json=body)
    if reason := reply.get("unavailable_reason"):
        reply["unavailable_reason"] = client.cleaned(reason)
    return ServiceEstimate.from_reply(reply)


# --- limits ----------------------------------------------------------------------------------


def limits_over_catalogue(client: Client, spec: JobSpec, *, once: bool = False) -> Limits:
    """What the service takes for the model of a job, and where it says nothing, the catalogue.
    Raises ServiceError where it has no such model."""
    info, _ = model_of(spec)
    return _limits_of(client, spec, info, once=once).over(info.hosted)


def limits_now(
    spec: JobSpec, key: SecretStr | None = None, base_url: str | None = None
) -> Limits | None:
    """The same where there is a key and the service answers; None otherwise. Raises ServiceError
    where the service has no such model, or refuses the key."""
    from ftlab.providers.together.client import Client

    found = find_key(key) if is_there(spec) else None
    if found is None:
        return None
    try:
        with Client(found, base_url) as client:
            return limits_over_catalogue(client, spec, once=True)
    except ServiceError as exc:
        if exc.status in (404, *NO_ENTRY):
            raise
        return None


def _limits_of(client: Client, spec: JobSpec, info: ModelInfo, *, once: bool) -> Limits:
    name, doing = tuned(spec), "asked for the limits"
    path, asked = f"{JOBS}/models/limits", {"model_name": name}
    reply = client.request("GET", path, doing, once=once, accepted={404}, params=asked)
    found = client.parsed(reply, doing)  # else the address is that of something else
    if reply.status_code != 404:
        return Limits.from_reply(found)
    known = (info.hosted_name, *EXAMPLES)
    other = next(n for n in known if n and n != name)
    raise ServiceError(
        f"Together knows no model or job {name!r} to tune; it tunes the models of its list. "
        f"Choose one of those, such as {other}.",
        404,
    )
