"""The hosted service of Together, as a place to train like any other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr

from ftlab.data.report import DataReport
from ftlab.issues import Issue
from ftlab.job import Job, TogetherOptions
from ftlab.limits import Limits
from ftlab.models import ModelInfo
from ftlab.providers import model_of
from ftlab.providers.together.account import address, require_key
from ftlab.providers.together.agreement import offer, unconfirmed
from ftlab.providers.together.asked import FILES, examined
from ftlab.providers.together.piped import secrets_for
from ftlab.providers.together.quoted import limits_now
from ftlab.run import Run
from ftlab.spec import Engine, JobSpec, parse


class Together:
    engine: Engine = "together"
    options = TogetherOptions

    def limits(self, info: ModelInfo) -> Limits:
        """What the service took for the model when the catalogue was written."""
        return info.hosted or Limits()

    def limits_now(
        self, spec: JobSpec, options: Mapping[str, Any], key: SecretStr | None = None
    ) -> Limits | None:
        """What the service takes for the model now; None without a key, or where it does not
        answer."""
        return limits_now(spec, key, options.get("base_url"))

    def require(self) -> None:
        """Nothing: what it needs is a part of ftlab."""

    def examine(
        self,
        values: JobSpec | Mapping[str, Any],
        report: DataReport | None = None,
        validation: DataReport | None = None,
        limits: Limits | None = None,
    ) -> list[Issue]:
        """All that is to be said about a job before it is sent."""
        info, _ = model_of(parse(values)[0])
        scans = dict(zip(FILES, (report, validation), strict=True))
        known = {name: scan for name, scan in scans.items() if scan is not None}
        return examined(values, limits or info.hosted, known)

    def missing(self, options: TogetherOptions, spec: JobSpec) -> list[Issue]:
        """Nothing: what the options ask for, the service has."""
        return []

    def settled(
        self,
        options: TogetherOptions,
        spec: JobSpec,
        report: DataReport | None,
        validation: DataReport | None,
    ) -> tuple[TogetherOptions, dict[str, str]]:
        """The options as they are."""
        return options, {}

    def agree(
        self,
        job: Job,
        report: DataReport | None = None,
        validation: DataReport | None = None,
        key: SecretStr | None = None,
    ) -> None:
        """Raise FtlabError unless the person said what the job may cost, and all secrets are
        there."""
        options = TogetherOptions(**job.options)
        address(options.base_url)
        if options.pay_up_to is None:
            asked = offer(job.spec, report, validation, key=key, base_url=options.base_url)
            raise unconfirmed(asked)
        secrets_for(options, require_key(key))

    def start(self, run: Run, key: SecretStr | None = None) -> None:
        """Start `python -m ftlab.providers.together`, which sends the job and follows it."""
        run.start(require_key(key))
