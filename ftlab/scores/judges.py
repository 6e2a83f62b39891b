"""A language model as a judge: it compares each answer with the base model's, in both orders.

Models that judge prefer the answer that stands first (Zheng et al., 2023, arXiv 2306.05685); so
each pair is asked about twice, and a side wins only what it wins in both places.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from ftlab.errors import FtlabError, ServiceError
from ftlab.scores.metrics import Metric, Seen, Traits, Usage

if TYPE_CHECKING:
    import httpx

AT_ONCE = 4  # requests
TRIES = 5
SECONDS, LONGEST_WAIT = 60.0, 30.0
MAX_TOKENS = 512  # models that think aloud need room before their word
AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
OF_THE_ROW = frozenset({400, 413, 422})
"""Too long for it, or what it does not talk about."""
WORDS = {"A": 1.0, "B": 0.0, "TIE": 0.5}
INSTRUCTIONS = """\
You compare two answers to the same question. Which one is better: more correct, and closer to the \
reference answer where one is given? Length and style do not count. Reply with one word alone: A, \
B or TIE."""
QUESTION = """\
[question]
{prompt}
[/question]
{reference}[answer A]
{a}
[/answer A]
[answer B]
{b}
[/answer B]"""
REFERENCE = "[reference]\n{}\n[/reference]\n"


@dataclass(frozen=True)
class Judge(Metric):
    """A metric: 1 where the answer is better than the base's in both orders, 0 where it is worse, a
    half where they are equal or the judge changes its mind. None for the base itself."""

    is_paid: ClassVar[bool] = True
    base_url: str = ""
    model: str = ""
    key: str = ""
    """The name of the environment variable that holds the key; the key itself is kept nowhere."""
    instructions: str = INSTRUCTIONS
    transport: Any = field(default=None, repr=False, compare=False)
    sleep: Callable[[float], Any] = field(default=time.sleep, repr=False, compare=False)

    def over(self, rows: Iterable[Seen], usage: Usage) -> Iterator[float | None]:
        """In the order of the rows. Raises ServiceError where the service lets nobody in."""
        counts = Counter(usage.get(self.name, {}))
        with self._client() as client, ThreadPoolExecutor(AT_ONCE) as pool:
            try:
                for value, counted in pool.map(lambda seen: self._both_orders(client, seen), rows):
                    counts.update(counted)
                    if counted:
                        usage[self.name] = dict(counts)
                    yield value
            finally:  # what nobody waits for any more is not asked
                pool.shutdown(wait=False, cancel_futures=True)

    def _both_orders(self, client: Any, seen: Seen) -> tuple[float | None, Counter[str]]:
        """What the row is worth, and what was counted. Equal answers are not asked about."""
        counted = Counter[str]()
        if seen.base is None or seen.answer is None or seen.base.answer is None:
            return None, counted
        if seen.answer.strip() == seen.base.answer.strip():
            return 0.5, counted
        own, other = seen.answer, seen.base.answer
        first = self._word(client, seen, own, other, counted)
        second = self._word(client, seen, other, own, counted)
        if first is None or second is None:
            counted["rows_without_verdict"] += 1
            return None, counted
        return (first + 1 - second) / 2 if first == 1 - second else 0.5, counted

    def _word(self, client: Any, seen: Seen, a: str, b: str, counted: Counter[str]) -> float | None:
        """1 for A, 0 for B, a half for a tie; None where the reply says none of these."""
        reference = "" if seen.reference is None else REFERENCE.format(seen.reference)
        question = QUESTION.format(prompt=seen.prompt, reference=reference, a=a, b=b)
        messages = [
            {"role": "system", "content": self.instructions},
            {"role": "user", "content": question},
        ]
        asked = {
            "model": self.model,
            "messages": messages,
            "temperature": 0,
            "max_tokens": MAX_TOKENS,
        }
        body = self._reply(client, asked, counted)
        used = body.get("usage") or {}
        for name in ("prompt_tokens", "completion_tokens"):
            counted[name] += int(used.get(name) or 0)
        return verdict_in(body)

    def _reply(self, client: Any, asked: dict[str, Any], counted: Counter[str]) -> dict[str, Any]:
        """The service's answer, asked for again where it is busy; nothing where it will not have
        the row. Raises ServiceError where it stays busy, or lets nobody in."""
        import httpx

        for n in range(TRIES):
            counted["requests"] += 1
            try:
                reply: httpx.Response = client.post("chat/completions", json=asked)
            except httpx.TransportError:
                self.sleep(_wait(n, None))
                continue
            if reply.status_code in AGAIN:
                self.sleep(_wait(n, reply.headers.get("retry-after")))
                continue
            if reply.status_code in OF_THE_ROW:
                return {}
            if reply.is_error:
                raise ServiceError(_refused(self, reply), reply.status_code)
            return _body(reply)
        raise ServiceError(_silent(self))

    def _client(self) -> httpx.Client:
        import httpx

        key = os.environ.get(self.key, "") if self.key else ""
        if self.key and not key:
            raise FtlabError(
                f"The environment variable {self.key} is not set; the judge takes its key from "
                "there, so that it is written nowhere. Set it, and score again."
            )
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx.Client(
            base_url=self.base_url, headers=headers, timeout=SECONDS, transport=self.transport
        )


def judge(
    base_url: str,
    model: str,
    key: str = "",
    *,
    instructions: str = INSTRUCTIONS,
    transport: Any = None,
) -> Judge:
    """A metric that asks a model at an OpenAI-compatible address which of two answers is better.

    `base_url` is what comes before `/chat/completions`; `key` is the name of the environment
    variable that holds the key, or nothing. Each row costs two requests. `transport` is one of
    httpx, instead of the network.
    """
    if not re.match(r"https?://[^@\s]+$", base_url):
        raise FtlabError(
            "The judge's base_url is no address, or it has a key in it; it takes one such as "
            "https://api.openai.com/v1, and the key by the name of an environment variable."
        )
    if key and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", key):
        raise FtlabError(
            "The judge's key is no name of an environment variable; a key itself is never taken. "
            "Put it into a variable such as OPENAI_API_KEY and give that name."
        )
    own = hashlib.sha256(instructions.encode()).hexdigest()[:4]
    name = f"judge {model}" if instructions == INSTRUCTIONS else f"judge {model} {own}"
    traits = Traits(name, f"better than base, by {model}", chance=0.5)
    return Judge(
        traits,
        lambda _: None,
        base_url=base_url.rstrip("/") + "/",
        model=model,
        key=key,
        instructions=instructions,
        transport=transport,
    )


def verdict_in(body: dict[str, Any]) -> float | None:
    """What a reply says: its last line must be one of the words alone, whatever was thought aloud
    before it. A refusal, or anything else, says nothing."""
    try:
        text = body["choices"][0]["message"]["content"]
        word = str(text).strip().splitlines()[-1].strip(" .*`'\"[]()").upper()
    except (KeyError, IndexError, TypeError):
        return None
    return WORDS.get(word)


def _body(reply: httpx.Response) -> dict[str, Any]:
    try:
        body = reply.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _wait(n: int, asked: str | None) -> float:
    """Seconds before the next try: what the service asks for, or twice as long each time."""
    try:
        seconds = float(asked) if asked else 2.0**n
    except ValueError:  # a date
        seconds = 2.0**n
    return min(max(seconds, 0.0), LONGEST_WAIT)


def _silent(judge: Judge) -> str:
    return (
        f"{judge.base_url} was busy or did not answer {TRIES} times in a row; the judge "
        f"{judge.model} must answer for each row. The verdicts until then are kept: score again to "
        "go on from there."
    )


def _refused(judge: Judge, reply: httpx.Response) -> str:
    by_key = reply.status_code in (401, 403)
    do = f"Check {judge.key or 'whether it needs a key'}." if by_key else "Check model and address."
    return (
        f"{judge.base_url} answered {reply.status_code} ({reply.reason_phrase}) when the judge "
        f"{judge.model} was asked; it must answer chat completions. {do} What the models said, and "
        "the verdicts until then, are kept."
    )
