"""ask_price(): what a job would cost by the service's own word. It starts and buys nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from ftlab.data.report import DataReport, scan
from ftlab.errors import InvalidSpec, ServiceError
from ftlab.exchange.together import to_price_body
from ftlab.files import existing
from ftlab.limits import Limits
from ftlab.model_files import ModelInfo
from ftlab.providers import model_of
from ftlab.providers.together.account import secret
from ftlab.providers.together.asked import (
    FILES,
    Reports,
    checksums,
    require_price,
    to_upload,
    tuned,
)
from ftlab.providers.together.files import upload, wait_until_checked
from ftlab.providers.together.jobs import JOBS
from ftlab.rules import resolve
from ftlab.service_estimate import ServiceEstimate
from ftlab.spec import JobSpec, parse

if TYPE_CHECKING:
    from ftlab.providers.together.client import Client

EXAMPLES = ("Qwen/Qwen3-8B", "Qwen/Qwen3-14B")
UPLOADING, UPLOADED = 0.8, 0.95
"""The share of all that is done when the files are there, and when they were looked into."""

Told = Callable[[float, str], Any]
"""Called with the share that is done (0 to 1) and what is being done."""


def ask_price(
    spec: JobSpec | Mapping[str, Any],
    *,
    report: DataReport | None = None,
    validation: DataReport | None = None,
    key: str | SecretStr | None = None,
    base_url: str | None = None,
    told: Told | None = None,
) -> ServiceEstimate:
    """What the hosted service of Together would charge for a job, by its own word.

    The data files are uploaded to the account, unless they are there or named by their ids
    ("file-…"), and stay there; nothing is started and nothing is billed. The key is that of
    TOGETHER_API_KEY or of the keyring, if none is given. Raises InvalidSpec with every issue
    because of which there can be no price, or with the service's own report on a file that it
    refuses, and ServiceError when it does not answer.
    """
    key = secret(key)  # so that no traceback shows it
    scans = {"training_file": report, "validation_file": validation}
    given = {name: known for name, known in scans.items() if known is not None}
    found = PriceQuestion(spec, given, key=key, base_url=base_url, told=told).ask()
    assert found is not None, "nobody cancelled it"
    return found


class PriceQuestion:
    """One question, for a thread beside the one that shows it."""

    def __init__(
        self,
        spec: JobSpec | Mapping[str, Any],
        reports: Reports,
        *,
        key: SecretStr | None = None,
        base_url: str | None = None,
        told: Told | None = None,
    ) -> None:
        self._values, self._known = spec, reports
        self._key, self._base_url = key, base_url
        self._told: Told = told or (lambda _share, _what: None)
        self._stop = Event()
        self._share = 0.0

    def ask(self) -> ServiceEstimate | None:
        """Block until it is answered; None when it was cancelled. Raises as `ask_price` does."""
        from ftlab.providers.together.client import Cancelled, Client

        try:
            with Client(self._key, self._base_url, stop=self._stop, told=self._say) as client:
                return self._ask(client)
        except Cancelled:
            return None

    def cancel(self) -> None:
        """Give up; the request that goes on is not waited for."""
        self._stop.set()

    def _ask(self, client: Client) -> ServiceEstimate:
        spec, wrong = parse(self._values)
        if wrong:
            raise InvalidSpec(wrong)
        self._say("looking at the data")
        info, reports = model_of(spec)[0], _scans(spec, self._known)
        require_price(spec, info.hosted, reports)
        self._say("asking what the service takes for the model")
        limits = limits_of(client, spec, info).over(info.hosted)
        issues = require_price(spec, limits, reports)
        resolved = resolve(spec, reports.get("training_file"), info, "together").spec
        ids = self._upload(client, resolved, reports)
        self._share = UPLOADED
        self._say("asking for the price")
        found = price_of(client, to_price_body(resolved.changed(**ids), limits))
        self._share = 1.0
        self._say("answered")
        sums = checksums(spec, reports)
        return replace(found, limits=limits, files=ids, checksums=sums, issues=tuple(issues))

    def _upload(self, client: Client, spec: JobSpec, reports: Reports) -> dict[str, str]:
        """The id of each data file, once the service has looked into it."""
        paths = to_upload(spec)
        total = sum(path.stat().st_size for path in paths.values()) or 1
        ids = {name: file for name in FILES if (file := getattr(spec, name))}
        before = 0.0
        for name, path in paths.items():
            part = path.stat().st_size / total
            told = partial(self._sent, path, before, part)
            ids[name] = upload(client, path, reports[name].sha256, told)
            before += part
        for name, file_id in ids.items():
            title = paths[name].name if name in paths else _as_id(file_id)
            self._say(f"the service checks {title}")
            wait_until_checked(client, file_id, title, name)
        return ids

    def _sent(self, path: Path, before: float, part: float, share: float) -> None:
        self._share = UPLOADING * (before + part * share)
        self._say(f"uploading {path.name}")

    def _say(self, what: str) -> None:
        self._told(self._share, what)


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


def limits_of(client: Client, spec: JobSpec, info: ModelInfo) -> Limits:
    """What the service takes for the model of a job. Raises ServiceError where it has none."""
    name, doing = tuned(spec), "asked for the limits"
    path, asked = f"{JOBS}/models/limits", {"model_name": name}
    reply = client.request("GET", path, doing, accepted={404}, params=asked)
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


def _scans(spec: JobSpec, known: Reports) -> dict[str, DataReport]:
    """Of the files that are here; what is at the service already, it has looked into itself."""
    return {
        name: known[name] if name in known and known[name].is_of(str(path)) else scan(path)
        for name, path in to_upload(spec).items()
    }
