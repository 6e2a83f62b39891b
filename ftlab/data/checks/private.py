"""Checks for personal data and keys. What is found is never shown whole.

One problem per row and kind: the place of the first, and how many there are.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftlab.data.checks import patterns
from ftlab.data.checks.patterns import Finder
from ftlab.data.checks.registry import RowView, check, conversation
from ftlab.data.formats import Problem


def _personal(view: RowView, code: str, find: Finder, kind: str) -> Iterator[Problem]:
    hits = [(text.path, found) for text in view.texts() for found in find(text.text)]
    if not hits:
        return
    path, first = hits[0]
    more = f" and {len(hits) - 1:,} more in this row" if len(hits) > 1 else ""
    yield Problem(
        code,
        path,
        f"{path} holds what looks like {kind} ({patterns.masked(first)}){more}; a model can repeat "
        "what it was trained on to anybody. Replace it by an invented one, or keep it knowingly.",
        blocks=(),
        level="warning",
    )


@check(example=conversation("Who?", "Write to kari.nordmann@posten.no."), needles=("@",))
def email_address(view: RowView) -> Iterator[Problem]:
    """Addresses of people; those of example domains are left alone."""
    yield from _personal(view, "email_address", patterns.emails, "an e-mail address")


@check(
    example=conversation("Which card?", "It was 4111 1111 1111 1111."),
    needles=patterns.ANY_DIGITS,
)
def card_number(view: RowView) -> Iterator[Problem]:
    """Payment cards by issuer, length and Luhn digit."""
    yield from _personal(view, "card_number", patterns.cards, "the number of a payment card")


@check(
    example=conversation("Which account?", "NO93 8601 1117 947, please."),
    needles=patterns.ANY_DIGITS,
)
def bank_account(view: RowView) -> Iterator[Problem]:
    """IBANs by country, length and remainder."""
    yield from _personal(view, "bank_account", patterns.ibans, "an IBAN")


@check(
    example=conversation("Your number?", "Call +47 22 86 44 00."),
    needles=patterns.PHONE_NEEDLES,
)
def phone_number(view: RowView) -> Iterator[Problem]:
    """International phone numbers; national ones look like any other number."""
    yield from _personal(view, "phone_number", patterns.phones, "a phone number")


@check(
    example=conversation("Which server?", "It runs on 158.36.191.10."),
    needles=patterns.ADDRESS_NEEDLES,
)
def ip_address(view: RowView) -> Iterator[Problem]:
    """Public IPv4 addresses."""
    yield from _personal(view, "ip_address", patterns.addresses, "a public IP address")


# Put together here, so that no scanner of repositories takes it for a real one.
_INVENTED_KEY = "ghp_" + "x7Qk2Lm9Rt4Vb8Nc3Wd6Zf1Hj5Sp0Gy2Ka7U"


@check(example=conversation("My token?", f"It is {_INVENTED_KEY}."), needles=patterns.KEY_NEEDLES)
def secret(view: RowView) -> Iterator[Problem]:
    """Keys that open accounts: whoever gets the model or the file may use them."""
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
