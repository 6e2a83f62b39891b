"""What a message may quote of somebody's settings: never a key, a token or a password."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ftlab.issues import shown

SECRET_WORDS = frozenset(
    {
        *("key", "keys", "apikey", "token", "secret", "secrets", "password", "passwd", "auth"),
        *("authorization", "credential", "credentials"),
    }
)
WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
"""`hf_key`, `hf.key`, `hf-key`, `hfKey` and `HFKey` are hf and key; `tokenizer` is one word."""
SECRET_TEXT = re.compile(r"\b(hf_|sk-|tgp_)\w|\bbearer\b", re.IGNORECASE)
"""How keys of Hugging Face, OpenAI and Together start, and what stands before one in a header."""


def quoted(name: str, value: Any) -> str:
    """What a message says of a setting's value: itself, or that it is given."""
    text = shown(value)
    hidden = holds_settings(value) or _is_secret(name) or SECRET_TEXT.search(text)
    return "given" if hidden else text


def holds_settings(value: Any) -> bool:
    """Whether settings of any name may be inside of it."""
    if isinstance(value, (list, tuple)):
        return any(isinstance(part, (Mapping, list, tuple)) for part in value)
    return isinstance(value, Mapping)


def _is_secret(name: str) -> bool:
    return any(word.lower() in SECRET_WORDS for word in WORDS.findall(name))
