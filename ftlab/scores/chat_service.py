"""A model at an OpenAI-compatible address, asked by many rows at once."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ftlab.errors import FtlabError, ServiceError

if TYPE_CHECKING:
    import httpx

TRIES = 5
SECONDS, LONGEST_WAIT = 60.0, 30.0
SETTINGS: dict[str, Any] = {"temperature": 0, "max_tokens": 512}
"""Models that think aloud need room before their word; some take neither of the two."""
AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
OF_THE_ROW = frozenset({400, 413, 422})
"""Too long for it, or what it does not talk about."""
WORDS_KEPT = 160  # characters of a reply that was no answer

Message = dict[str, str]


@dataclass
class Heard:
    """What was counted for a row, and what the service said instead of an answer."""

    counts: Counter[str] = field(default_factory=Counter[str])
    said: str = ""


@dataclass
class ChatService:
    """Where the model is; `key` names the environment variable with the key, which is kept
    nowhere."""

    base_url: str
    model: str
    key: str = ""
    transport: Any = field(default=None, repr=False)
    sleep: Callable[[float], Any] = field(default=time.sleep, repr=False)

    def client(self) -> httpx.Client:
        """Raises FtlabError where there is no key in the variable."""
        import httpx

        key = self._secret
        if self.key and not key:
            raise FtlabError(
                f"The environment variable {self.key} is not set; the judge takes its key from "
                "there, so that it is written nowhere. Set it, and score again."
            )
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx.Client(
            base_url=self.base_url, headers=headers, timeout=SECONDS, transport=self.transport
        )

    @property
    def _secret(self) -> str:
        return os.environ.get(self.key, "") if self.key else ""

    def answer(self, client: Any, messages: Sequence[Message], heard: Heard) -> str:
        """The text of the answer; nothing where it will not have the row. Raises ServiceError where
        it stays busy, or lets nobody in."""
        asked = {"model": self.model, "messages": messages}
        reply = self._posted(client, {**asked, **SETTINGS}, heard)
        if reply.status_code == 400:
            reply = self._posted(client, asked, heard)
        body = _body(reply)
        heard.counts.update(_used(body))
        try:
            text = body["choices"][0]["message"]["content"]
        except (KeyError, IndexError, TypeError):
            text = None
        heard.said = self._cut(reply.text if text is None else str(text))
        return str(text or "")

    def _posted(self, client: Any, asked: dict[str, Any], heard: Heard) -> httpx.Response:
        """The reply, asked for again where the service is busy."""
        import httpx

        for n in range(TRIES):
            heard.counts["requests"] += 1
            try:
                reply: httpx.Response = client.post("chat/completions", json=asked)
            except httpx.TransportError:
                self.sleep(_wait(n, None))
                continue
            if reply.status_code in AGAIN:
                self.sleep(_wait(n, reply.headers.get("retry-after")))
            elif reply.is_success or reply.status_code in OF_THE_ROW:
                return reply
            else:
                raise ServiceError(self._refused(reply), reply.status_code)
        raise ServiceError(
            f"{self.base_url} was busy or did not answer {TRIES} times in a row; the judge "
            f"{self.model} must answer for each row. The verdicts until then are kept: score "
            "again to go on from there."
        )

    def _cut(self, text: str) -> str:
        said = " ".join(text.split())[:WORDS_KEPT]
        return said.replace(self._secret, "…") if self._secret else said

    def _refused(self, reply: httpx.Response) -> str:
        by_key = reply.status_code in (401, 403)
        do = f"Check {self.key or 'whether it needs a key'}." if by_key else "Check both."
        return (
            f"{self.base_url} answered {reply.status_code} ({reply.reason_phrase}) when the judge "
            f"{self.model} was asked; a judge is a model that answers chat completions at that "
            f"address. {do} What the models said, and the verdicts until then, are kept."
        )


def _body(reply: httpx.Response) -> dict[str, Any]:
    try:
        body = reply.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _used(body: dict[str, Any]) -> dict[str, int]:
    """The tokens that the service has counted."""
    used = body.get("usage")
    told = used if isinstance(used, dict) else {}
    names = ("prompt_tokens", "completion_tokens")
    return {name: told[name] for name in names if isinstance(told.get(name), int)}


def _wait(n: int, asked: str | None) -> float:
    """Seconds before the next try: what the service asks for, or twice as long each time."""
    try:
        seconds = float(asked) if asked else 2.0**n
    except ValueError:  # a date
        seconds = 2.0**n
    return min(max(seconds, 0.0), LONGEST_WAIT)
