"""What the hosted service said of jobs, kept while the workbench lives and used where it holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ftlab.estimated import Estimate
from ftlab.issues import Issue, by_gravity
from ftlab.limits import Limits
from ftlab.model_files import ModelInfo
from ftlab.providers import Provider, examine
from ftlab.providers.together.asked import Reports, examined, question, tuned
from ftlab.service_estimate import ServiceEstimate
from ftlab.spec import JobSpec


class ServiceAnswers:
    """Prices by the question that they answer, limits by what is tuned."""

    def __init__(self) -> None:
        self._prices: dict[str, ServiceEstimate] = {}
        self._limits: dict[str, Limits] = {}

    def learn(self, asked: str, model: str, answer: ServiceEstimate) -> None:
        """Keep the answer to a `question`."""
        self._prices[asked] = replace(answer, limits=None, issues=())  # they hold for that spec
        self.learn_limits(model, answer.limits)

    def learn_limits(self, model: str, limits: Limits | None) -> None:
        """Keep what the service takes for a model, where it has said so."""
        if limits is not None:
            self._limits[model] = limits

    def known(self, spec: JobSpec, info: ModelInfo) -> ModelInfo:
        """With the service's own limits over the catalogue's."""
        own = self._limits.get(tuned(spec))
        return info if own is None else replace(info, hosted=own.over(info.hosted))

    def examine(
        self, values: Mapping[str, Any], where: Provider, info: ModelInfo, reports: Reports
    ) -> list[Issue]:
        """All that is to be said about a job before it starts; of a hosted one by the limits that
        are `known`."""
        if where.engine == "together":
            return by_gravity(examined(values, info.hosted, reports))
        training, validation = (reports.get(n) for n in ("training_file", "validation_file"))
        return examine(values, where, training, validation)

    def price_of(self, spec: JobSpec, reports: Reports) -> ServiceEstimate | None:
        """What the service said of this very job."""
        if not self._prices:
            return None
        return self._prices.get(question(spec, reports))

    def priced(self, found: Estimate, spec: JobSpec, answer: ServiceEstimate | None) -> Estimate:
        """The estimate with the service's price, if it gave one."""
        return found if answer is None else found.priced_by(answer, packing=spec.packing)
