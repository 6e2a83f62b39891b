"""Where checks are written down, and what each kind of check is given to look at.

A row check sees one row, a sample check the first rows, a whole-file check the columns of a scan.
Each has an example that it finds, which is also its test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from ftlab.data.checks.patterns import ANY_DIGITS
from ftlab.data.columns import Columns
from ftlab.data.formats import Problem, messages_of
from ftlab.data.template import REASONING
from ftlab.data.tokens import Tokenizer
from ftlab.issues import Issue

SAMPLED = 64
"""Rows that the sample checks look at: templates fail on kinds of rows, not on single ones."""


class SequenceView(Protocol):
    """What checks of rows ask of a sequence of tokens: counts, and no text."""

    @property
    def ids(self) -> Sized: ...
    @property
    def n_trained(self) -> int: ...
    def cut(self, max_seq_length: int | None, /) -> SequenceView: ...


class Text(NamedTuple):
    """Something that a person or a model wrote in a row."""

    path: str
    role: str
    """Whose message it is; "prompt", "completion" or "text" in rows without messages."""
    text: str

    @property
    def is_answer(self) -> bool:
        """Whether the model learns to write it."""
        return self.role in ("assistant", "completion", "text")


@dataclass(frozen=True, slots=True)
class RowView:
    """A row of a known format as a check sees it, with its tokens where they were counted."""

    row: dict[str, Any]
    tokens: tuple[SequenceView, ...] = ()
    """One sequence, two for a preference row; not cut. Empty when nothing counted them. Those of
    a sample are `Tokens`; of others only the counts may be known."""
    tokenizer: Tokenizer | None = None
    max_seq_length: int | None = None
    """Tokens that fit: as given, or else the model's context."""
    number: int = 0
    """Line in the file, from 1."""

    def texts(self) -> Iterator[Text]:
        """Everything that somebody wrote in the row, tool calls and reasoning included."""
        for key in ("prompt", "completion", "text"):
            yield from _of_content(self.row.get(key), key, key)
        for path, message in self.turns():
            role = str(message.get("role"))
            yield from _of_content(message.get("content"), f"{path}.content", role)
            for key in REASONING:
                yield from _of_content(message.get(key), f"{path}.{key}", role)
            for place, call in calls_of(message, path):
                made = call.get("function")
                arguments = made.get("arguments") if isinstance(made, dict) else None
                yield from _of_content(arguments, f"{place}.function.arguments", role)

    def turns(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """(path, message) of all messages, those of the outputs included."""
        lists = {
            "messages": self.row.get("messages"),
            "input.messages": None if "messages" in self.row else messages_of(self.row),
            "preferred_output": self.row.get("preferred_output"),
            "non_preferred_output": self.row.get("non_preferred_output"),
        }
        for path, messages in lists.items():
            for index, message in enumerate(messages if isinstance(messages, list) else ()):
                if isinstance(message, dict):
                    yield f"{path}[{index}]", message


def _of_content(content: Any, path: str, role: str) -> Iterator[Text]:
    if isinstance(content, str):
        yield Text(path, role, content)
    elif isinstance(content, list):
        for index, part in enumerate(content):
            if isinstance(part, dict) and isinstance(part.get("text"), str):
                yield Text(f"{path}[{index}].text", role, part["text"])


def calls_of(message: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(path, call) of the tool calls of a message that are objects."""
    calls = message.get("tool_calls")
    for index, call in enumerate(calls if isinstance(calls, list) else ()):
        if isinstance(call, dict):
            yield f"{path}.tool_calls[{index}]", call


# --- rows ------------------------------------------------------------------------------------

RowCheck = Callable[[RowView], Iterator[Problem]]


@dataclass(frozen=True, slots=True)
class RegisteredCheck:
    """A check of one row."""

    name: str
    find: RowCheck
    example: dict[str, Any]
    """A row that has the problem, for the demo model at `length` tokens."""
    needles: tuple[str, ...] | None
    """Texts of which a row must hold one to have the problem; None for checks of tokens."""
    needs_tokenizer: bool
    length: int | None


CHECKS: list[RegisteredCheck] = []


def check(
    *,
    example: dict[str, Any],
    needles: tuple[str, ...] | None = None,
    needs: str | None = None,
    length: int | None = None,
) -> Callable[[RowCheck], RowCheck]:
    """Register a check of rows under its function's name, which is the code of its problems."""

    def register(find: RowCheck) -> RowCheck:
        registered = RegisteredCheck(
            find.__name__, find, example, needles, needs == "tokenizer", length
        )
        CHECKS.append(registered)
        return find

    return register


def find_problems(view: RowView, names: frozenset[str] | None = None) -> Iterator[Problem]:
    """What the checks find in one row: those with the names, or all that apply."""
    for registered in CHECKS:
        if names is not None and registered.name not in names:
            continue
        if view.tokens or not registered.needs_tokenizer:
            yield from registered.find(view)


def needles_for(special_tokens: Iterable[str] = ()) -> dict[str, tuple[str, ...]]:
    """Name of a check → texts of which a row must hold one before the check is worth running.

    The tokenizer's control tokens are needles of the check that looks for them.
    """
    found = {
        registered.name: registered.needles
        for registered in CHECKS
        if registered.needles is not None and registered.needles is not ANY_DIGITS
    }
    found["control_token_in_text"] += tuple(token for token in special_tokens if token)
    return found


def digit_checks() -> frozenset[str]:
    """Names of the checks that look at rows with four digits in a row."""
    return frozenset(c.name for c in CHECKS if c.needles is ANY_DIGITS)


# --- the first rows --------------------------------------------------------------------------

SampleCheck = Callable[[list[RowView]], Iterator[Issue]]
SAMPLE_CHECKS: dict[str, SampleCheck] = {}


def sample_check(find: SampleCheck) -> SampleCheck:
    """Register a check of the first rows with their tokens under its function's name."""
    SAMPLE_CHECKS[find.__name__] = find
    return find


def find_in_sample(views: Iterable[RowView]) -> Iterator[Issue]:
    """What the first rows say about the chat template and the labels."""
    sample = [view for view in views if view.tokens and view.tokenizer is not None][:SAMPLED]
    for find in SAMPLE_CHECKS.values() if sample else ():
        yield from find(sample)


# --- the whole file --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From where on a share is worth a word; of rows unless said, and judged, not measured."""

    few_rows: int = 10
    """Fewer rows than this get a warning,"""
    some_rows: int = 100
    """fewer than this a tip."""
    duplicates: float = 0.01
    near_duplicates: float = 0.05
    other_answers: float = 0.05
    """Rows whose prompt stands elsewhere with another answer."""
    short_answers: float = 0.5
    """Above it short answers are the task (labels), and no problem."""
    refusals: float = 0.02
    repeated: float = 0.05
    """One opening or closing: a tip above this,"""
    very_repeated: float = 0.2
    """a warning above this."""
    answers_cut: float = 0.05
    classes: int = 50
    """Different answers up to which they are classes,"""
    covered: float = 0.9
    """if they are so much of the rows."""
    rare_class: float = 0.01
    trained: float = 0.05
    """Trained tokens of all tokens, below which it is a warning."""
    heavy_row: float = 0.05
    """Tokens of the file in one row."""
    gini: float = 0.75
    other_script: float = 0.05
    length_ratio: float = 2.0
    """Preferred to other answer, and the inverse."""
    rank_correlation: float = 0.5
    edges: float = 0.05
    """Rows in each of two styles."""


WholeCheck = Callable[[Columns, Thresholds], Iterator[Issue]]


@dataclass(frozen=True, slots=True)
class RegisteredWhole:
    """A check of the whole file."""

    name: str
    find: WholeCheck
    example: list[dict[str, Any]]
    """Rows that have the problem together."""


WHOLE_CHECKS: list[RegisteredWhole] = []


def whole_check(*, example: list[dict[str, Any]]) -> Callable[[WholeCheck], WholeCheck]:
    """Register a check of whole files under its function's name, the code of its issues."""

    def register(find: WholeCheck) -> WholeCheck:
        WHOLE_CHECKS.append(RegisteredWhole(find.__name__, find, example))
        return find

    return register


def find_in_file(columns: Columns, thresholds: Thresholds | None = None) -> Iterator[Issue]:
    """What the checks of the whole file find in the columns of a scan."""
    limits = thresholds or Thresholds()
    for registered in WHOLE_CHECKS:
        yield from registered.find(columns, limits)


def conversation(*contents: str, **extra: Any) -> dict[str, Any]:
    """A conversation in which user and assistant take turns, for examples."""
    roles = ("user", "assistant")
    messages = [{"role": roles[i % 2], "content": text} for i, text in enumerate(contents)]
    return {"messages": messages, **extra}
