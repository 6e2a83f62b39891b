"""A language model as a judge: it compares each answer with the base model's, in both orders.

Models that judge prefer the answer that stands first (Zheng et al., 2023, arXiv 2306.05685); so
each pair is asked about twice, and a side wins only what it wins in both places.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ftlab.errors import FtlabError, ServiceError
from ftlab.scores.chat_service import ChatService, Heard
from ftlab.scores.metrics import Metric, Seen, Traits, Usage

AT_ONCE = 4  # requests
MUTE = 5
"""Rows without a verdict before the first that has one, after which none is expected."""
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
    service: ChatService = field(kw_only=True)
    instructions: str = INSTRUCTIONS

    def over(self, rows: Iterable[Seen], usage: Usage) -> Iterator[float | None]:
        """In the order of the rows. Raises ServiceError where the service lets nobody in, or says
        nothing of the first rows; verdicts that came before are kept, and none that is missing."""
        counts, held, n_mute, is_heard = Counter(usage.get(self.name, {})), [], 0, False
        with self.service.client() as client, ThreadPoolExecutor(AT_ONCE) as pool:
            try:
                for value, heard in pool.map(lambda seen: self._both_orders(client, seen), rows):
                    counts.update(heard.counts)
                    if heard.counts:
                        usage[self.name] = dict(counts)
                        is_heard |= value is not None
                        n_mute += value is None
                    held.append(value)
                    if is_heard:
                        yield from held
                        held.clear()
                    elif n_mute == MUTE:
                        raise ServiceError(_mute(self.service, heard))
                yield from held
            finally:  # what nobody waits for any more is not asked
                pool.shutdown(wait=False, cancel_futures=True)

    def _both_orders(self, client: Any, seen: Seen) -> tuple[float | None, Heard]:
        """What the row is worth, and what was counted. Equal answers are not asked about."""
        heard = Heard()
        if seen.base is None or seen.answer is None or seen.base.answer is None:
            return None, heard
        if seen.answer.strip() == seen.base.answer.strip():
            return 0.5, heard
        own, other = seen.answer, seen.base.answer
        first = self._word(client, seen, own, other, heard)
        second = self._word(client, seen, other, own, heard)
        if first is None or second is None:
            heard.counts["rows_without_verdict"] += 1
            return None, heard
        return (first if first == 1 - second else 0.5), heard

    def _word(self, client: Any, seen: Seen, a: str, b: str, heard: Heard) -> float | None:
        """1 for A, 0 for B, a half for a tie; None where the answer says none of these."""
        reference = "" if seen.reference is None else REFERENCE.format(seen.reference)
        question = QUESTION.format(prompt=seen.prompt, reference=reference, a=a, b=b)
        messages = [
            {"role": "system", "content": self.instructions},
            {"role": "user", "content": question},
        ]
        return verdict_in(self.service.answer(client, messages, heard))


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
    if not re.fullmatch(r"https?://[^@?#\s]+", base_url):
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
        service=ChatService(base_url.rstrip("/") + "/", model, key, transport),
        instructions=instructions,
    )


def verdict_in(text: str) -> float | None:
    """What an answer says: its last line must be one of the words alone, whatever was thought aloud
    before it. A refusal, or anything else, says nothing."""
    last = text.strip().rpartition("\n")[2]
    return WORDS.get(last.strip(" .*`'\"[]()").upper())


def _mute(service: ChatService, heard: Heard) -> str:
    return (
        f"The judge {service.model} at {service.base_url} gave no verdict on the first {MUTE} rows "
        f"it was asked about (its last reply: {heard.said or 'nothing'}); it must answer A, B or "
        "TIE. Check the address and the model, or take another: what the models said is kept, and "
        "score again."
    )
