"""What a tuned model of the service answers, piece by piece; it is billed by the tokens."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from threading import Event
from typing import TYPE_CHECKING, Any

from ftlab.errors import ServiceError
from ftlab.providers.together.refusals import message_in
from ftlab.providers.together.wire import wait

if TYPE_CHECKING:
    import httpx

    from ftlab.providers.together.client import Client

CHAT = "/v1/chat/completions"
MAX_TOKENS = 256
LONGEST = 2**22  # bytes of a reply; the longest answers have a tenth
NOT_SERVED = (400, 403, 404, 422)
"""Statuses for a model that answers only at an endpoint of its own."""
DATA, DONE = b"data:", b"[DONE]"

Told = Callable[[str], Any]
"""Called with each piece of an answer, on a thread of its own."""


def chat(
    client: Client,
    model: str,
    prompt: str | Sequence[Mapping[str, Any]],
    *,
    max_tokens: int = MAX_TOKENS,
    temperature: float = 0.0,
    top_p: float | None = None,
    seed: int | None = None,
    tools: list[Any] | None = None,
    told: Told = lambda _: None,
) -> str:
    """The answer of a model to a question, or to a list of messages. It is asked for once: an
    answer that breaks off may have been billed. Raises ServiceError."""
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
    asked = {"model": model, "messages": messages, "max_tokens": max_tokens, "stream": True}
    more = {"temperature": temperature, "top_p": top_p, "seed": seed, "tools": tools or None}
    asked |= {name: value for name, value in more.items() if value is not None}
    answer = _Answer(client, told)
    doing = f"{model} was asked"
    try:
        client.request("POST", CHAT, doing, once=True, taken=answer.take, json=asked)
    except ServiceError as exc:
        raise answer.broken(exc) from None
    return answer.whole()


class _Answer:
    """What has come of an answer."""

    def __init__(self, client: Client, told: Told) -> None:
        self._client, self._told = client, told
        self._pieces: list[str] = []
        self._problem = "it ends in the middle"

    def take(self, reply: httpx.Response, stop: Event) -> bytes:
        """Read the lines of a stream, or one whole reply where the service sends that."""
        rest, n_bytes = b"", 0
        for chunk in reply.iter_bytes():
            wait(stop, 0)
            n_bytes += len(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            if n_bytes > LONGEST or any(map(self._has_ended, lines)):
                return b""
        self._has_ended(rest)
        return b""

    def whole(self) -> str:
        """Raises ServiceError where it broke off."""
        if self._problem:
            raise ServiceError(self._broken_off(self._problem))
        return "".join(self._pieces)

    def broken(self, exc: ServiceError) -> ServiceError:
        """The error, with what can be done about it."""
        if self._pieces:
            return ServiceError(self._broken_off(str(exc)), exc.status)
        if exc.status not in NOT_SERVED:
            return exc
        return ServiceError(
            f"{exc} A model that the service does not serve by itself answers at an endpoint of "
            "its own: account().endpoint(job) says how to start one.",
            exc.status,
        )

    def _broken_off(self, why: str) -> str:
        n = len("".join(self._pieces))
        return (
            f"The answer broke off after {n:,} characters ({why}); what was made of it may have "
            "been billed, so it is not asked for again by itself. Ask again if you like."
        )

    def _has_ended(self, line: bytes) -> bool:
        """Hear a line; whether it is the last."""
        found = line.strip()
        is_stream = found.startswith(DATA)
        text = found.removeprefix(DATA).strip()
        if text == DONE:
            self._problem = ""
            return True
        try:
            event = json.loads(text)
        except (ValueError, RecursionError):  # a comment, a blank line, or no JSON
            return False
        if isinstance(event, dict):
            self._hear(event, is_stream=is_stream)
        return False

    def _hear(self, event: Mapping[str, Any], *, is_stream: bool) -> None:
        if message := event.get("error") and message_in(event):
            self._problem = self._client.cleaned(message)
        choices = event.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        said = choice.get("delta" if is_stream else "message") if isinstance(choice, dict) else None
        piece = _text_of(said) if isinstance(said, dict) else ""
        if piece:
            self._pieces.append(piece)
            self._told(piece)
        if isinstance(said, dict) and not is_stream:
            self._problem = ""


def _text_of(said: Mapping[str, Any]) -> str:
    """What is said, and the calls of tools as text: the name, then the arguments."""
    content, calls = said.get("content"), said.get("tool_calls")
    calls = calls if isinstance(calls, list) else []
    functions = [one.get("function") for one in calls if isinstance(one, dict)]
    parts = [
        f.get(name) for f in functions if isinstance(f, dict) for name in ("name", "arguments")
    ]
    return "".join(part for part in (content, *parts) if isinstance(part, str))
