"""A sweep that can start: what it will take, and whether its price is agreed to."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pydantic import SecretStr

from ftlab.data.report import DataReport
from ftlab.job import TogetherOptions
from ftlab.prices import Price
from ftlab.providers import Provider
from ftlab.sweeps.cost import SweepCost, cost_of
from ftlab.sweeps.plan import Plan

if TYPE_CHECKING:
    from ftlab.providers.together.agreement import Offer, Told


class ReadySweep(NamedTuple):
    """A sweep that its provider takes, and the scans of its files."""

    plan: Plan
    where: Provider
    report: DataReport | None
    validation: DataReport | None

    @property
    def cost(self) -> SweepCost:
        """What it will take."""
        return cost_of(self.plan, self.report, self.validation)


def agree(ready: ReadySweep, key: SecretStr | None = None) -> None:
    """Raise FtlabError where a person has to agree to the price of all arms first."""
    job = ready.plan.job
    if ready.where.engine == "together" and TogetherOptions(**job.options).pay_up_to is None:
        from ftlab.providers.together.agreement import unconfirmed

        raise unconfirmed(offer_of(ready, key=key))
    ready.where.agree(job, ready.report, ready.validation, key)


def offer_of(ready: ReadySweep, *, key: SecretStr | None = None, told: Told | None = None) -> Offer:
    """What all arms of a hosted sweep would cost: at most each of them its whole price, and at
    least what those that fall behind have taken when they are ended."""
    from ftlab.providers.together.agreement import Offer, offer

    job, n_arms = ready.plan.job, len(ready.plan.arms)
    address = TogetherOptions(**job.options).base_url
    one = offer(job.spec, ready.report, ready.validation, key=key, base_url=address, told=told)
    if one.price.low is None or one.price.high is None:
        return one._replace(text=f"{one.text} A sweep is {n_arms} such jobs.")
    least = ready.cost.steps / ready.plan.n_steps
    price = Price(one.price.low * least, one.price.high * n_arms, one.price.basis)
    return Offer(price, f"{one.text} {n_arms} such jobs cost {price.in_words()}.")
