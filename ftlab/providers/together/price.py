"""ask_price(): what a job would cost by the service's own word. It starts and buys nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from threading import Event
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from ftlab.data.report import DataReport, scan
from ftlab.errors import InvalidSpec
from ftlab.issues import Issue
from ftlab.limits import Limits
from ftlab.providers import model_of
from ftlab.providers.together.account import secret
from ftlab.providers.together.asked import (
    Reports,
    checksums,
    require_price,
    to_upload,
)
from ftlab.providers.together.quoted import Told, quote
from ftlab.rules import resolve
from ftlab.service_estimate import ServiceEstimate
from ftlab.spec import JobSpec, parse

if TYPE_CHECKING:
    from ftlab.providers.together.client import Client


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
        reports, issues = _scans(spec, self._known), list[Issue]()
        require_price(spec, None, reports)

        def fitted(spec: JobSpec, limits: Limits) -> JobSpec:
            issues.extend(require_price(spec, limits, reports))
            info = model_of(spec)[0]
            return resolve(spec, reports.get("training_file"), info, "together").spec

        sums = checksums(spec, reports)
        found = quote(client, spec, sums, fitted, self._tell)
        self._tell(1.0, "answered")
        return replace(
            found.price,
            limits=found.limits,
            files=found.files,
            checksums=sums,
            issues=tuple(issues),
        )

    def _tell(self, share: float, what: str) -> None:
        self._share = share
        self._say(what)

    def _say(self, what: str) -> None:
        self._told(self._share, what)


def _scans(spec: JobSpec, known: Reports) -> dict[str, DataReport]:
    """Of the files that are here; what is at the service already, it has looked into itself."""
    return {
        name: known[name] if name in known and known[name].is_of(str(path)) else scan(path)
        for name, path in to_upload(spec).items()
    }
