"""Is the data good for training? Each check is a decorated function with an example it finds.

A check looks at one row and what it becomes; the scan counts what it yields and keeps the lines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ftlab.data.chat import Tokens
from ftlab.data.formats import Problem, messages_of
from ftlab.data.tokens import Tokenizer


@dataclass(frozen=True, slots=True)
class RowView:
    """A row with its tokens, as a check sees it."""

    row: dict[str, Any]
    tokens: tuple[Tokens, ...]
    """One sequence, two for a preference row; not cut."""
    tokenizer: Tokenizer
    max_seq_length: int | None
    """Tokens that fit: as given, or else the model's context."""


Check = Callable[[RowView], Iterator[Problem]]


@dataclass(frozen=True, slots=True)
class RegisteredCheck:
    name: str
    find: Check
    example: dict[str, Any]
    """A row that has the problem, for the demo model at `example_length` tokens."""
    example_length: int | None


CHECKS: list[RegisteredCheck] = []


def check(*, example: dict[str, Any], length: int | None = None) -> Callable[[Check], Check]:
    """Register a check under its function's name."""

    def register(find: Check) -> Check:
        CHECKS.append(RegisteredCheck(find.__name__, find, example, length))
        return find

    return register


def find_problems(view: RowView) -> Iterator[Problem]:
    """What all checks find in one row."""
    for registered in CHECKS:
        yield from registered.find(view)


def _chat(*contents: str, **extra: Any) -> dict[str, Any]:
    roles = ("user", "assistant")
    messages = [{"role": roles[i % 2], "content": text} for i, text in enumerate(contents)]
    return {"messages": messages, **extra}


@check(
    example={
        "messages": [
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "Good day", "weight": 0},
        ]
    }
)
def nothing_trained(view: RowView) -> Iterator[Problem]:
    """A row none of whose tokens trains: it costs time and teaches nothing."""
    if all(t.n_trained == 0 for t in view.tokens):
        yield Problem(
            "nothing_trained",
            "",
            "No token of this row would train; a row needs at least one. Give the answer weight 1, "
            "or take the row out.",
            blocks=(),
        )


@check(example=_chat("Tell me a story", "Once upon a time there was a tailor. " * 4), length=32)
def answer_cut(view: RowView) -> Iterator[Problem]:
    """A row longer than max_seq_length loses its end, and with it trained tokens."""
    if view.max_seq_length is None:
        return
    for tokens in view.tokens:
        lost = tokens.n_trained - tokens.cut(view.max_seq_length).n_trained
        if lost > 0:
            longest = max(len(t.ids) for t in view.tokens)
            yield Problem(
                "answer_cut",
                "",
                f"The row has {longest:,} tokens; {view.max_seq_length:,} fit (max_seq_length, or "
                f"the model's context), so {lost:,} of its {tokens.n_trained:,} trained tokens are "
                "cut off. Shorten the row, raise max_seq_length as far as the model's context "
                "allows, or set over_length to drop.",
                blocks=(),
                level="warning",
            )
            return


@check(example=_chat("Stop at <|im_end|> please", "Of course"))
def control_token_in_text(view: RowView) -> Iterator[Problem]:
    """Text that the tokenizer reads as one of its control tokens can forge the end of a turn."""
    special = view.tokenizer.special_tokens
    for path, text in _texts(view.row):
        found = next((token for token in special if token in text), None)
        if found is not None:
            yield Problem(
                "control_token_in_text",
                path,
                f"{path} holds {found}, which the tokenizer turns into a control token; text "
                "should hold none. Write it otherwise or take it out.",
                blocks=(),
                level="warning",
            )


def _texts(row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(path, text) of everything that a person or a model wrote in a row of a known format."""
    for key in ("prompt", "completion", "text"):
        if isinstance(row.get(key), str):
            yield key, row[key]
    lists = {
        "messages": row.get("messages"),
        "input.messages": None if "messages" in row else messages_of(row),
        "preferred_output": row.get("preferred_output"),
        "non_preferred_output": row.get("non_preferred_output"),
    }
    for path, messages in lists.items():
        for index, message in enumerate(messages or []):
            if isinstance(message.get("content"), str):
                yield f"{path}[{index}].content", message["content"]
