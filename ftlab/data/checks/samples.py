"""Checks of the first rows as the model sees them: does its template fit, are the labels right?"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ftlab.data.chat import IGNORED, Span, Tokens
from ftlab.data.checks.registry import RowView, Text, sample_check
from ftlab.data.tokens import Tokenizer
from ftlab.issues import LINES_KEPT, Issue, Level

COMPARED = 200
"""Characters of a message that are looked for in the rendered text."""


@sample_check
def double_start(sample: list[RowView]) -> Iterator[Issue]:
    """Two beginning-of-sequence tokens: the model has never seen that."""

    def doubled(view: RowView, tokens: Tokens) -> bool:
        start = _id_of(view, "bos_token")
        return start is not None and tokens.ids[:2] == [start, start]

    yield from _of_sample(
        "double_start",
        _lines(sample, doubled),
        sample,
        "the row starts with two beginning-of-sequence tokens; models are trained with one. Take "
        "it out of the text, the tokenizer or the template adds its own.",
        where="",
    )


@sample_check
def missing_end(sample: list[RowView]) -> Iterator[Issue]:
    """Answers that end in no control token: the model does not learn where to stop."""

    def endless(view: RowView, tokens: Tokens) -> bool:
        last = _last_trained(tokens)
        return last is not None and last not in _end_ids(view.tokenizer)

    yield from _of_sample(
        "missing_end",
        _lines(sample, endless),
        sample,
        "the trained part ends without a control token; an answer should end with one, or the "
        "model goes on writing. Choose the model's chat version, whose template closes its turns.",
    )


@sample_check
def template_drops_message(sample: list[RowView]) -> Iterator[Issue]:
    """A template without a place for system prompts leaves them out without a word."""
    dropped: dict[str, list[int]] = {}
    for view in sample:
        shown = _sequences(view)[0].text
        for role in {text.role for text in _asked(view) if _opening(text) not in shown}:
            dropped.setdefault(role, []).append(view.number)
    for role, lines in dropped.items():
        yield from _of_sample(
            "template_drops_message",
            lines,
            sample,
            f'the model\'s chat template leaves out the message from "{role}"; what the model '
            "shall see must be in the rendered text. Write it into the first user message, or "
            "choose another model.",
        )


@sample_check
def answer_not_trained(sample: list[RowView]) -> Iterator[Issue]:
    """Labels that miss the answers are how runs "succeed" at a loss of 0."""
    with_answer = [view for view in sample if _answers(view)]
    lines = [view.number for view in with_answer if not _trains_its_answer(view)]
    yield from _of_sample(
        "answer_not_trained",
        lines,
        sample,
        "the answer is not among the trained tokens, as the model's chat template writes it "
        "otherwise; each answer should train. Choose another model, or look at the row to see "
        "what trains.",
        level="error" if len(lines) == len(with_answer) else "warning",
    )


def _of_sample(
    code: str,
    lines: list[int],
    sample: list[RowView],
    text: str,
    *,
    level: Level = "warning",
    where: str = "model",
) -> Iterator[Issue]:
    """One issue about the rows of the sample on those lines; none where there are no such rows."""
    if lines:
        share = f"{len(lines):,} of the first {len(sample):,} rows have this."
        yield Issue(
            level,
            f"Line {lines[0]}: {text} {share}",
            code,
            where,
            lines=tuple(lines[:LINES_KEPT]),
            count=len(lines),
        )


def _lines(sample: list[RowView], has: Callable[[RowView, Tokens], bool]) -> list[int]:
    return [v.number for v in sample if any(has(v, tokens) for tokens in _sequences(v))]


def _sequences(view: RowView) -> list[Tokens]:
    """The row's sequences, which hold their text where the row is one of a sample."""
    return [tokens for tokens in view.tokens if isinstance(tokens, Tokens)]


def _id_of(view: RowView, name: str) -> int | None:
    if view.tokenizer is None or name not in view.tokenizer.special:
        return None
    return view.tokenizer.backend.token_to_id(view.tokenizer.special[name])


def _end_ids(tokenizer: Tokenizer | None) -> set[int | None]:
    """Ids that can end a turn."""
    if tokenizer is None:
        return set()
    added = tokenizer.backend.get_added_tokens_decoder()
    return {tokenizer.eos_id, *(i for i, token in added.items() if token.special)}


def _last_trained(tokens: Tokens) -> int | None:
    """The last trained id that is more than white space."""
    places = zip(reversed(tokens.labels), reversed(tokens.offsets), strict=True)
    for label, (start, end) in places:
        if label != IGNORED and (start == end or tokens.text[start:end].strip()):
            return label
    return None


def _asked(view: RowView) -> Iterator[Text]:
    """System and user messages; of tool results templates may keep a part."""
    return (t for t in view.texts() if t.role in ("system", "user") and t.text.strip())


def _opening(text: Text) -> str:
    """The start of a message, by which it is found again."""
    return text.text.strip()[:COMPARED].strip()


def _answers(view: RowView) -> list[str]:
    """What the assistant says in the first sequence with weight 1, without its reasoning."""
    messages = [m for path, m in view.turns() if not path.startswith("non_preferred_output")]
    if "input" in view.row and "messages" not in view.row:
        messages = messages[-1:]
    contents = [
        message.get("content")
        for message in messages
        if message.get("role") == "assistant" and message.get("weight", 1) != 0
    ]
    texts = [c.rpartition("</think>")[2].strip() for c in contents if isinstance(c, str)]
    return [text for text in texts if text]


def _trains_its_answer(view: RowView) -> bool:
    tokens = _sequences(view)[0]
    trained = [tokens.text[low:high] for low, high in _trained_runs(tokens)]
    return all(any(answer in text for text in trained) for answer in _answers(view))


def _trained_runs(tokens: Tokens) -> list[Span]:
    """(start, end) of the text of neighbouring trained tokens."""
    runs: list[Span] = []
    inside = False
    for label, (start, end) in zip(tokens.labels, tokens.offsets, strict=True):
        if label == IGNORED:
            inside = False
        elif inside:
            runs[-1] = runs[-1][0], max(end, runs[-1][1])
        else:
            runs.append((start, end))
            inside = True
    return runs
