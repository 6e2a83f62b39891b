"""The service's own estimate of a price, and the credit of the account."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ftlab.html import escaped, issue_list
from ftlab.issues import Issue, shown
from ftlab.limits import Limits
from ftlab.prices import Price, dollars

MOST_DOLLARS, MOST_TOKENS = 1e9, 1e15
"""What is above is no figure of a job, whoever says it."""

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
    checksums: Mapping[str, str] = field(default_factory=dict)
    """Field of a data file that is here → SHA-256 of what the price is for."""
    issues: tuple[Issue, ...] = ()
    """Because of which the service would refuse the job, although it has a price; and what the
    price leaves out."""

    @classmethod
    def from_reply(cls, reply: Mapping[str, Any]) -> ServiceEstimate:
        """What is missing in the reply, or is of no use, stays unknown."""
        amount = _number(reply, "estimated_total_price", MOST_DOLLARS)
        allowed = _allowed(reply)
        if reply.get("estimation_available") is False or amount is None:
            none = Price(basis=(f"The service gives no estimate: {_why_none(reply)}.",))
            return cls(none, allowed=allowed)
        names = [f"estimated_{part}_token_count" for part in ("train", "eval")]
        counts = [_number(reply, name, MOST_TOKENS) for name in names]
        train_tokens, eval_tokens = (None if n is None else int(n) for n in counts)
        told = f" for {train_tokens:,} training tokens" if train_tokens is not None else ""
        return cls(
            Price(amount, amount, (f"The service's own estimate{told}.",)),
            train_tokens,
            eval_tokens,
            _credit(reply),
            allowed,
        )

    def in_words(self, table: Price | None = None) -> str:
        """One line: whose price it is, beside that of the table, what the account may spend, and
        what stays in it."""
        if self.price.low is None:
            return " ".join((*self.price.basis, *self._stays()))
        tokens = f" for {self.train_tokens:,} training tokens" if self.train_tokens else ""
        rates = table.in_words() if table is not None and table.low is not None else ""
        by_rates = f"; by the table of rates {rates}" if rates else ""
        may = [] if self.credit is None else [f"The account may spend {dollars(self.credit)}."]
        said = f"Together: {self.price.in_words()}{tokens}{by_rates}."
        return " ".join((said, *may, *self._stays()))

    def _stays(self) -> list[str]:
        if not self.checksums:
            return []
        ids = list(dict.fromkeys(self.files[name] for name in self.checksums))
        files, stay = ("file", "stays") if len(ids) == 1 else ("files", "stay")
        return [f"The {files} {stay} in the account as {' and '.join(ids)}."]

    def __str__(self) -> str:
        return "\n".join((self.in_words(), *map(str, self.told())))

    def _repr_html_(self) -> str:
        return f"<div>{escaped(self.in_words())}</div>{issue_list(self.told())}"

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "price": None if self.price.low is None else [self.price.low, self.price.high],
            "train_tokens": self.train_tokens,
            "eval_tokens": self.eval_tokens,
            "credit": self.credit,
            "allowed": self.allowed,
            "files": dict(self.files),
            "basis": list(self.price.basis),
            "issues": [issue.as_dict() for issue in self.told()],
        }

    def told(self) -> list[Issue]:
        """All that is to be said of the job and of the account."""
        credit = self.issue()
        return [*self.issues, *([] if credit is None else [credit])]

    def issue(self) -> Issue | None:
        """A warning when the account does not cover the job."""
        return credit_issue(self.price, self.credit, allowed=self.allowed)


def _allowed(reply: Mapping[str, Any]) -> bool | None:
    """None where it says nothing; whatever else than true it says is a no."""
    value = reply.get("allowed_to_proceed")
    return None if value is None else value is True


def _why_none(reply: Mapping[str, Any]) -> str:
    word, price = reply.get("unavailable_reason"), reply.get("estimated_total_price")
    if reply.get("estimation_available") is False or word:
        return UNAVAILABLE.get(str(word), f"its reason: {word}" if word else "without a reason")
    return f"its reply names no price{'' if price is None else f' ({shown(price)})'}"


def _number(reply: Mapping[str, Any], name: str, most: float) -> float | None:
    """A number from 0; anything else is unknown."""
    value = reply.get(name)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= most:
        return float(value)
    return None


def _credit(reply: Mapping[str, Any]) -> float | None:
    """Of an account that owes something, none."""
    value = reply.get("user_limit")
    owes = isinstance(value, (int, float)) and value < 0
    return 0.0 if owes else _number(reply, "user_limit", MOST_DOLLARS)


def credit_issue(
    price: Price, credit: float | None, *, allowed: bool | None = None
) -> Issue | None:
    """A warning when a price is, or may be, above what the account may spend, or when the service
    would not start the job."""
    if credit is not None and price.high is not None and price.high > credit:
        text = f"{_apart(price, credit)}. Add credit, or take fewer epochs, rows or evaluations."
    elif allowed is False:
        may = "" if credit is None else f", the account may spend {dollars(credit)}"
        said = "and Together says that it would not start it. Look into the account there."
        text = f"The job costs {price.in_words()}{may}, {said}"
    else:
        return None
    return Issue("warning", text, "over_credit")


def _apart(price: Price, credit: float) -> str:
    """Both amounts, with more digits where they would read the same."""
    if dollars(price.high or 0) != dollars(credit):
        return f"The job costs {price.in_words()}; the account may spend {dollars(credit)}"
    high = price.high or 0.0
    digits = next((n for n in range(3, 9) if f"{high:.{n}f}" != f"{credit:.{n}f}"), 9)
    return f"The job costs ${high:,.{digits}f}; the account may spend ${credit:,.{digits}f}"
