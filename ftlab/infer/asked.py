"""What a request may ask for, in OpenAI's words; what can't be honoured is refused."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable
from typing import Any

from ftlab.errors import FtlabError

TAKEN = {
    *("model", "messages", "prompt", "max_tokens", "max_completion_tokens", "temperature"),
    *("top_p", "seed", "stream", "stream_options", "tools", "tool_choice"),
    *("user", "metadata", "store", "add_special_tokens", "plain", "called"),
}
"""The last three are ftlab's own: plain texts, and what the model is called in the answer."""
NOTHING = (None, 0, False, "", "auto", "none", [], {}, {"type": "text"})
"""Values that ask for nothing special."""
LARGEST_SEED = 2**63 - 1
_Fits = Callable[[Any], bool]


def sampling_of(asked: dict[str, Any]) -> dict[str, Any]:
    """How to draw the answer. Raises FtlabError for what is asked for and can't be done."""
    _refuse_others(asked)
    limits = [asked.get(name) for name in ("max_completion_tokens", "max_tokens")]
    longest = next((limit for limit in limits if limit is not None), None)
    found = {"max_tokens": longest, **{n: asked.get(n) for n in ("temperature", "top_p", "seed")}}
    given = {name: value for name, value in found.items() if value is not None}
    for name, value in given.items():
        fits, takes = _TAKES[name]
        if not fits(value):
            raise FtlabError(f"{name} is {value!r}; it takes {takes}. Change it, or leave it out.")
    return given


def tools_of(asked: dict[str, Any]) -> list[Any] | None:
    """The tools that the template is to write. Raises FtlabError for what is no list of objects."""
    tools = asked.get("tools") or None
    if isinstance(tools, str):
        with contextlib.suppress(ValueError):  # it is no list then
            tools = json.loads(tools)
    if tools is None or asked.get("tool_choice") == "none":
        return None
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise FtlabError("tools is no list of objects; it takes a JSON list, as in a row. Mend it.")
    return tools


def _refuse_others(asked: dict[str, Any]) -> None:
    names = [n for n, value in asked.items() if n not in TAKEN and value not in NOTHING]
    names = [name for name in names if not (name == "n" and asked[name] == 1)]
    if asked.get("tool_choice") not in NOTHING:
        names.append("tool_choice")
    if not isinstance(asked.get("stream_options") or {}, dict):
        names.append("stream_options")
    if names:
        raise FtlabError(
            f"{names[0]} is asked for; this process takes max_tokens, temperature, top_p, seed, "
            "stream and tools beside model and messages. Leave it out."
        )


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


_TAKES: dict[str, tuple[_Fits, str]] = {
    "max_tokens": (lambda n: type(n) is int and n >= 1, "a whole number from 1"),
    "temperature": (lambda t: _is_number(t) and 0 <= t <= 5, "a number from 0 to 5"),
    "top_p": (lambda p: _is_number(p) and 0 < p <= 1, "a number above 0, at most 1"),
    "seed": (
        lambda n: type(n) is int and -LARGEST_SEED <= n <= LARGEST_SEED,
        "a whole number of at most 63 bits",
    ),
}
