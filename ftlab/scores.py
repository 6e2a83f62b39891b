"""How good answers are, against the references of a validation file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from ftlab.answers import Told, answers, prompt_of
from ftlab.data.rows import Rows
from ftlab.runs import Run

MAX_TOKENS = 128


class Matches(NamedTuple):
    """How many answers equal their reference."""

    right: int
    total: int

    def __str__(self) -> str:
        return f"{self.right} of {self.total} ({self.right / max(self.total, 1):.1%})"


def exact_matches(
    run: Run, file: Path, *, tuned: bool, told: Told = lambda _: None, max_tokens: int = MAX_TOKENS
) -> Matches:
    """Greedy answers to each conversation's last turn that equal the reference there."""
    rows = Rows(file)
    chats = [rows[i]["messages"] for i in range(len(rows))]
    prompts = [prompt_of(run, chat[:-1]) for chat in chats]
    found = answers(run, prompts, tuned=tuned, told=told, max_tokens=max_tokens)
    references = [chat[-1]["content"] for chat in chats]
    pairs = zip(found, references, strict=True)
    return Matches(sum(same(answer, reference) for answer, reference in pairs), len(chats))


def same(answer: str, reference: str) -> bool:
    """Equal as JSON where the reference is JSON, otherwise equal as text without outer space."""
    expected = _parsed(reference)
    if expected is None:
        return answer.strip() == reference.strip()
    return _parsed(answer) == expected


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
