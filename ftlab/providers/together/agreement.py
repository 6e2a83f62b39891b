"""What a hosted job would cost before it is sent, and whether the person agreed to that."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pydantic import SecretStr

from ftlab.cost import estimate
from ftlab.data.report import DataReport
from ftlab.errors import FtlabError, InvalidSpec, ServiceError
from ftlab.prices import Price, dollars
from ftlab.providers import scan_data
from ftlab.providers.together.price import ask_price
from ftlab.providers.together.statuses import NO_ENTRY
from ftlab.service_estimate import ServiceEstimate
from ftlab.spec import JobSpec, parse

Told = Callable[[float, str], Any]


class NotAgreed(FtlabError):
    """A person has not said that a job may cost so much."""

    def __init__(self, text: str, most: str) -> None:
        super().__init__(text)
        self.most = most
        """What would have to be agreed to, in US dollars; "inf" where nobody knows."""


class Offer(NamedTuple):
    """What a job would cost, as far as that can be said before it is sent."""

    price: Price
    text: str
    """Whose price it is, in words."""

    @property
    def most(self) -> float | None:
        """What would have to be agreed to, in US dollars, rounded up to a cent."""
        return None if self.price.high is None else math.ceil(self.price.high * 100) / 100


def offer(
    values: JobSpec | Mapping[str, Any],
    report: DataReport | None = None,
    validation: DataReport | None = None,
    *,
    key: SecretStr | None = None,
    base_url: str | None = None,
    told: Told | None = None,
) -> Offer:
    """The service's own price, for which the data is uploaded; that of the table of rates where
    the service can't be asked. Raises InvalidSpec for a job that it would refuse."""
    spec, _ = parse(values)
    table = Price(*(estimate(spec, report, validation=validation).price or (None, None)))
    try:
        found = ask_price(
            spec, report=report, validation=validation, key=key, base_url=base_url, told=told
        )
    except InvalidSpec:
        raise
    except FtlabError as exc:
        if isinstance(exc, ServiceError) and exc.status in NO_ENTRY:
            raise  # whom it does not let in can start nothing there
        return Offer(table, f"{_in_rates(table)} {exc}")
    price = _counting(spec, found.price, table)
    return Offer(price, str(found) if price is found.price else f"{_in_rates(price)} {found}")


def _in_rates(price: Price) -> str:
    return f"By the table of rates the job costs {price.in_words()}."


def unconfirmed(found: Offer) -> FtlabError:
    """What a person is told who has not said what a job may cost."""
    amount = "inf" if found.most is None else f"{found.most:.2f}"
    most = "any price" if found.most is None else dollars(found.most)
    return FtlabError(
        f"{found.text} A job there is paid for, so it starts only when you say what it may cost; "
        f"nothing was started. Give pay_up_to={amount} to agree to {most} (in a terminal: "
        f"--pay-up-to {amount})."
    )


def require_agreed(spec: JobSpec, found: ServiceEstimate, pay_up_to: float | None) -> None:
    """Raise NotAgreed where a job costs more than the person agreed to, or nobody knows what, and
    FtlabError where the service says that it would not start it."""
    if issue := found.allowed is False and found.issue():
        raise FtlabError(f"{issue.message} Nothing was started.")
    if pay_up_to == math.inf:
        return
    price = _counting(spec, found.price, _by_rates(spec))
    if pay_up_to is not None and price.high is not None and price.high <= pay_up_to:
        return
    agreed = "nothing" if pay_up_to is None else dollars(pay_up_to)
    most = "inf" if price.high is None else f"{math.ceil(price.high * 100) / 100:.2f}"
    text = (
        f"The job costs {price.in_words()} ({' '.join(price.basis) or 'by the table of rates'}); "
        f"{agreed} was agreed to. Nothing was started. Resume the run with pay_up_to={most} to "
        f"agree (in a terminal: ftlab resume RUN --pay-up-to {most}), or submit a job of fewer "
        "epochs, rows or evaluations."
    )
    raise NotAgreed(text, most)


def _counting(spec: JobSpec, service: Price, table: Price) -> Price:
    """The service's price, unknown where it has none; that of the table where that is higher, since
    the service leaves out what unpacked rows cost."""
    if service.high is None or spec.packing is not False:
        return service
    return max(service, table, key=lambda price: price.high or 0.0)


def _by_rates(spec: JobSpec) -> Price:
    """The price of the table where it counts: without packing."""
    if spec.packing is not False:
        return Price()
    report, validation = scan_data(spec, engine="together")
    return Price(*(estimate(spec, report, validation=validation).price or (None, None)))
