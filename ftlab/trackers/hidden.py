"""Secrets of the environment, which no file of a mirror may hold."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

SECRET = re.compile(r"(KEY|TOKEN|PASSWORD|SECRET)$")
OF_USER = re.compile(r"(?<=://)[^/@\s]+@")
OF_QUERY = re.compile(r"(token=|key=)[^&\s'\"]+", re.IGNORECASE)
SHORTEST = 6  # characters; what is shorter stands in many texts
MOST_SHOWN = 400  # characters of what a library says


def without_secrets(text: str, variables: Mapping[str, str] = os.environ) -> str:
    """A text for people and files, without the values of such variables and without the user and
    the tokens in an address."""
    for name, value in variables.items():
        if len(value) >= SHORTEST and SECRET.search(name):
            text = text.replace(value, "…")
    return OF_QUERY.sub(r"\1…", OF_USER.sub("", text))


def in_words(exc: BaseException) -> str:
    """What went wrong, on one line."""
    said = " ".join(str(exc).split())
    return without_secrets(f"{type(exc).__name__}: {said}")[:MOST_SHOWN]
