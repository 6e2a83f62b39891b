"""Numbers and lists as a person types them into one line."""

from __future__ import annotations

from typing import Any

from ftlab.errors import FtlabError
from ftlab.ui.knobs import takes_numbers


def rows_typed(text: str) -> int | None:
    plain = text.replace(",", "").strip()
    if not plain:
        return None
    if not plain.isdecimal() or not int(plain):
        raise FtlabError(
            f"{text.strip()!r} rows are asked for; it takes a whole number from 1, or nothing for "
            "all rows. Type for example 500."
        )
    return int(plain)


def values_typed(name: str, text: str) -> list[Any]:
    """The values between commas; numbers where the field takes them."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts:
        raise FtlabError(f"{name} has no values; a sweep takes several of them. Type for example "
            "1e-4, 3e-4.")  # fmt: skip
    return [_value(name, part) for part in parts]


def _value(name: str, text: str) -> Any:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if not takes_numbers(name):
        return text
    try:
        return int(text) if text.lstrip("+-").isdecimal() else float(text)
    except ValueError:
        return text  # the spec says what is wrong with it
