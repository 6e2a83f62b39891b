"""Checks for personal data and keys. What is found is never shown whole.

One problem per row and kind: the place of the first, and how many there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

from ftlab.data.checks import patterns
from ftlab.data.checks.patterns import Finder
from ftlab.data.checks.registry import RowCheck, RowView, check, conversation
from ftlab.data.formats import Problem


def _personal(
    kind: str, *, example: dict[str, Any], needles: tuple[str, ...]
) -> Callable[[Finder], RowCheck]:
    """Register a check of rows for what the decorated function finds in a text, under its name."""

    def register(find: Finder) -> RowCheck:
        @check(example=example, needles=needles)
        @wraps(find)
        def find_in_row(view: RowView) -> Iterator[Problem]:
            hits = [(text.path, found) for text in view.texts() for found in find(text.text)]
            if hits:
                yield _problem(find.__name__, kind, hits)

        return find_in_row

    return register


def _problem(code: str, kind: str, hits: list[tuple[str, str]]) -> Problem:
    """Of all (path, text) in one row."""
    path, first = hits[0]
    more = f" and {len(hits) - 1:,} more in this row" if len(hits) > 1 else ""
    return Problem(
        code,
        path,
        f"{path} holds what looks like {kind} ({patterns.masked(first)}){more}; a model can repeat "
        "what it was trained on to anybody. Replace it by an invented one, or keep it knowingly.",
        blocks=(),
        level="warning",
    )


@_personal(
    "an e-mail address",
    example=conversation("Who?", "Write to kari.nordmann@posten.no."),
    needles=("@",),
)
def email_address(text: str) -> Iterator[str]:
    """Addresses of people; those of example domains are left alone."""
    return patterns.emails(text)


@_personal(
    "the number of a payment card",
    example=conversation("Which card?", "It was 4111 1111 1111 1111."),
    needles=patterns.ANY_DIGITS,
)
def card_number(text: str) -> Iterator[str]:
    """Payment cards by issuer, length and Luhn digit."""
    return patterns.cards(text)


@_personal(
    "an IBAN",
    example=conversation("Which account?", "NO93 8601 1117 947, please."),
    needles=patterns.ANY_DIGITS,
)
def bank_account(text: str) -> Iterator[str]:
    """IBANs by country, length and remainder."""
    return patterns.ibans(text)


@_personal(
    "a phone number",
    example=conversation("Your number?", "Call +47 22 86 44 00."),
    needles=patterns.PHONE_NEEDLES,
)
def phone_number(text: str) -> Iterator[str]:
    """International phone numbers; national ones look like any other number."""
    return patterns.phones(text)


@_personal(
    "a public IP address",
    example=conversation("Which server?", "It runs on 158.36.191.10."),
    needles=patterns.ADDRESS_NEEDLES,
)
def ip_address(text: str) -> Iterator[str]:
    """Public IPv4 addresses."""
    return patterns.addresses(text)


# Put together here, so that no scanner of repositories takes it for a real one.
_INVENTED_KEY = "ghp_" + "x7Qk2Lm9Rt4Vb8Nc3Wd6Zf1Hj5Sp0Gy2Ka7U"


@check(example=conversation("My token?", f"It is {_INVENTED_KEY}."), needles=patterns.KEY_NEEDLES)
def secret(view: RowView) -> Iterator[Problem]:
    """Keys that open accounts: whoever gets the model or the file may use them. The examples of
    manuals, such as AWS's, are left alone."""
    hits = [(text.path, key) for text in view.texts() for key in patterns.secrets(text.text)]
    if hits:
        path, first = hits[0]
        yield Problem(
            "secret",
            path,
            f"{path} holds what looks like a secret key ({first}); training data must hold none, "
            "since a model can repeat them. Withdraw the key where it was issued, and take it out.",
            blocks=(),
        )
