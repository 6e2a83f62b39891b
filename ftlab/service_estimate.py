"""The service's own estimate of a price, and the credit of the account."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ftlab.issues import Issue
from ftlab.limits import Limits
from ftlab.prices import Price, dollars

UNAVAILABLE = {
    "multimodal_dataset": "the data has images, which it does not count beforehand",
    "train_file_not_validated": "it has not checked the training file yet",
    "eval_file_not_validated": "it has not checked the validation file yet",
    "train_file_invalid": "it refuses the training file",
    "eval_file_invalid": "it refuses the validation file",
}
"""The service's reasons, in words."""


@dataclass(frozen=True, slots=True)
class ServiceEstimate:
    """The reply to POST /v1/fine-tunes/estimate-price."""

    price: Price
    train_tokens: int | None = None
    eval_tokens: int | None = None
    credit: float | None = None
    """What the account may spend, in US dollars."""
    allowed: bool | None = None
    """Whether the service would start the job."""
    limits: Limits | None = None
    """What it takes for the model, by its own word."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Field of a data file → its id at the service."""
    issues: tuple[Issue, ...] = ()
    """Because of which the service would refuse the job, although it has a price."""

    @classmethod
    def from_reply(cls, reply: Mapping[str, Any]) -> ServiceEstimate:
        """What is missing in the reply, or is of no use, stays unknown."""
        amount = _number(reply, "estimated_total_price")
        if reply.get("estimation_available") is False or amount is None:
            word = reply.get("unavailable_reason")
            why = UNAVAILABLE.get(str(word), f"its reason: {word}" if word else "without a reason")
            return cls(Price(basis=(f"The service gives no estimate: {why}.",)))
        counts = [_number(reply, f"estimated_{part}_token_count") for part in ("train", "eval")]
        train_tokens, eval_tokens = (None if n is None else int(n) for n in counts)
        told = f" for {train_tokens:,} training tokens" if train_tokens is not None else ""
        allowed = reply.get("allowed_to_proceed")
        return cls(
            Price(amount, amount, (f"The service's own estimate{told}.",)),
            train_tokens,
            eval_tokens,
            _number(reply, "user_limit"),
            allowed if isinstance(allowed, bool) else None,
        )

    def issue(self) -> Issue | None:
        """A warning when the account does not cover the job."""
        return credit_issue(self.price, self.credit, allowed=self.allowed)


def _number(reply: Mapping[str, Any], name: str) -> float | None:
    """A number from 0; anything else is unknown."""
    value = reply.get(name)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < math.inf:
        return value
    return None


def credit_issue(
    price: Price, credit: float | None, *, allowed: bool | None = None
) -> Issue | None:
    """A warning when a price is, or may be, above what the account may spend."""
    highest = price.high
    if allowed is not False and (credit is None or highest is None or highest <= credit):
        return None
    may = (
        "more than the account has"
        if credit is None
        else f"the account may spend {dollars(credit)}"
    )
    return Issue(
        "warning",
        f"The job costs {price.in_words()}; {may}. Add credit, or take fewer epochs, rows or "
        "evaluations.",
        "over_credit",
    )
