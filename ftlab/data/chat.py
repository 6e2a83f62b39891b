"""Rows to token ids and labels: the one place that decides which tokens train.

The data panel shows what this returns and the trainer trains on what this returns.

| row | text | trained when train_on_inputs is "auto" or False |
|---|---|---|
| messages | the model's own chat template | content of assistant turns, and what closes them |
| prompt, completion | both as they are, EOS appended | completion and EOS |
| text | as it is, EOS appended | everything ("auto") |
| preference | the input, then each output as an assistant turn | the output, and what closes it |

With train_on_inputs=True every token trains. A message with weight 0 never does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

from ftlab.data.formats import detect
from ftlab.data.template import (
    REASONING,
    CannotRender,
    Message,
    Rendered,
    has_generation_tags,
    joined_text,
    render,
    render_marked,
)
from ftlab.data.tokens import Tokenizer

IGNORED = -100
MOST_MESSAGES = 1_000
"""Of a row whose answers can only be found by rendering all that comes before each of them."""
Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Tokens:
    """One sequence as the model sees it."""

    text: str
    ids: list[int]
    labels: list[int]
    """The id where the token trains, -100 where not; same length as `ids`, not shifted."""
    offsets: list[Span]
    """(start, end) of each token in `text`; both equal for tokens that stand for no text."""
    turns: list[tuple[str, Span]]
    """(role, (start, end)) of the parts that belong to somebody, in order; the rest is template."""
    weight: float = 1.0
    """Multiplies the row's loss."""

    @property
    def n_trained(self) -> int:
        """Tokens that add to the loss: the first token of a sequence is never predicted."""
        return sum(label != IGNORED for label in self.labels[1:])

    def cut(self, max_seq_length: int | None) -> Tokens:
        """The first `max_seq_length` tokens; everything when it is None."""
        if max_seq_length is None or len(self.ids) <= max_seq_length:
            return self
        return replace(
            self,
            ids=self.ids[:max_seq_length],
            labels=self.labels[:max_seq_length],
            offsets=self.offsets[:max_seq_length],
        )

    def by_role(self) -> Counter[str]:
        """How many tokens belong to each role; "template" owns those between the turns."""
        owners = _owners(self.offsets, [span for _, span in self.turns])
        return Counter("template" if at is None else self.turns[at][0] for at in owners)


class Layout(NamedTuple):
    """One sequence as text, before it is cut into tokens."""

    text: str
    turns: list[tuple[str, Span]]
    """(role, (start, end)) in characters, in order; the rest is template."""
    trained: list[Span]
    """Where the text trains, in order. A span may end one after the text: then EOS trains too."""
    whole: bool = False
    """Every token trains, whatever `trained` says."""
    lead: tuple[int, ...] = ()
    """Ids that the tokenizer puts before a plain text."""
    tail: tuple[int, ...] = ()
    """EOS, after a plain text."""
    weight: float = 1.0


def tokenise(
    row: Mapping[str, Any],
    tokenizer: Tokenizer,
    train_on_inputs: bool | str = "auto",  # noqa: FBT001 (the field's own type)
    *,
    now: datetime | None = None,
) -> tuple[Tokens, ...]:
    """A row as token ids and labels: one sequence, or (preferred, other) for a preference row.

    `now` is what a template that writes the date will write. Raises CannotRender when the row
    can't be turned into text, or not into text of which the trained part is known.
    """
    layouts = lay_out(row, tokenizer, train_on_inputs, now=now)
    return tuple(_tokens(layout, tokenizer) for layout in layouts)


def lay_out(
    row: Mapping[str, Any],
    tokenizer: Tokenizer,
    train_on_inputs: bool | str = "auto",  # noqa: FBT001 (the field's own type)
    *,
    now: datetime | None = None,
) -> tuple[Layout, ...]:
    """The text of a row's sequences and where it trains. Raises CannotRender."""
    known = detect(row)
    whole = train_on_inputs is True
    match known.name if known else None:
        case "conversation":
            chat = _Conversation(row["messages"], row.get("tools"), tokenizer, now)
            layouts = (chat.layout(chat.weighted(), whole=whole),)
        case "preference":
            layouts = tuple(_preference(row, tokenizer, now))
        case "instruction":
            prompt, completion = joined_text(row["prompt"]), joined_text(row["completion"])
            turns = [("prompt", (0, len(prompt)))]
            layouts = (_plain(prompt, completion, turns, tokenizer, whole=whole),)
        case "general":
            layouts = (_plain("", joined_text(row["text"]), [], tokenizer, whole=True),)
        case _:
            raise CannotRender("The row has no known format; convert the file first.")
    weight = float(row.get("weight", 1))
    return tuple(one._replace(weight=weight) for one in layouts) if weight != 1 else layouts


# --- plain text ------------------------------------------------------------------------------


def _plain(
    prompt: str,
    answer: str,
    turns: list[tuple[str, Span]],
    tokenizer: Tokenizer,
    *,
    whole: bool,
) -> Layout:
    """Text with the tokenizer's own prefix (BOS) and EOS; the answer and EOS train."""
    eos = tokenizer.eos_id
    if eos is None:
        raise CannotRender(
            "The tokenizer names no end-of-sequence token; plain rows need one, so that the model "
            "learns where to stop. Set eos_token in the model's tokenizer_config.json."
        )
    text = prompt + answer
    answered = (len(prompt), len(text) + 1)
    name = "completion" if turns else "text"
    return Layout(text, [*turns, (name, answered)], [answered], whole, tokenizer.prefix, (eos,))


def _tokens(layout: Layout, tokenizer: Tokenizer) -> Tokens:
    """Ids of a text with what stands before and after it, and the labels."""
    text, lead, tail = layout.text, layout.lead, layout.tail
    ids, offsets = _encode(text, tokenizer)
    offsets = [(0, 0)] * len(lead) + offsets + [(len(text), len(text))] * len(tail)
    ids = [*lead, *ids, *tail]
    if layout.whole:
        labels = list(ids)
    else:
        labels = _labels(ids, offsets, layout.trained)
        labels[: len(lead)] = [IGNORED] * len(lead)
    return Tokens(text, ids, labels, offsets, layout.turns, layout.weight)


def _encode(text: str, tokenizer: Tokenizer) -> tuple[list[int], list[Span]]:
    try:
        return tokenizer.encode(text)
    except (TypeError, UnicodeError) as exc:
        raise CannotRender(
            "The row holds half of a surrogate pair (such as \\ud83d), which is no text; "
            "whole characters are needed. Write the character itself."
        ) from exc


def _labels(ids: list[int], offsets: list[Span], spans: list[Span]) -> list[int]:
    """A token trains when it overlaps a trained span, so that no answer loses its first letter."""
    owners = _owners(offsets, spans)
    return [IGNORED if at is None else token for token, at in zip(ids, owners, strict=True)]


def _owners(offsets: list[Span], spans: list[Span]) -> Iterator[int | None]:
    """For each token the index of the span that it overlaps; both lists run left to right."""
    at = 0
    for low, high in offsets:
        while at < len(spans) and spans[at][1] <= low:
            at += 1
        yield at if at < len(spans) and max(high, low + 1) > spans[at][0] else None


# --- conversations ---------------------------------------------------------------------------


def _preference(
    row: Mapping[str, Any], tokenizer: Tokenizer, now: datetime | None
) -> Iterator[Layout]:
    given = row["input"]
    for side in ("preferred_output", "non_preferred_output"):
        chat = _Conversation([*given["messages"], *row[side]], given.get("tools"), tokenizer, now)
        yield chat.layout(chat.answers[-1:], whole=False)


class _Conversation:
    """One conversation, rendered, and where its trained text lies."""

    def __init__(
        self,
        messages: Sequence[Message],
        tools: list[Any] | None,
        tokenizer: Tokenizer,
        now: datetime | None,
    ) -> None:
        template = tokenizer.template_for(tools=bool(tools))
        if template is None:
            raise CannotRender(
                "The model has no chat template; rows with messages need one. Choose the model's "
                "chat version, or write the rows as prompt and completion, or as text."
            )
        self.messages, self.tokenizer, self.template = messages, tokenizer, template
        self.context: dict[str, Any] = {
            "tools": tools,
            "special": tokenizer.special,
            "now": now or datetime.now(),
        }
        self.answers = [i for i, m in enumerate(messages) if m.get("role") == "assistant"]

    @cached_property
    def rendered(self) -> Rendered:
        return render_marked(self.template, self.messages, **self.context)

    def weighted(self) -> list[int]:
        """The assistant turns that train: those without weight 0."""
        return [i for i in self.answers if self.messages[i].get("weight", 1) != 0]

    def layout(self, trained: list[int], *, whole: bool) -> Layout:
        """The text, in which the assistant turns `trained` (or everything) train."""
        spans = sorted(self.trained_spans(trained))
        return Layout(self.rendered.text, self._turns(spans), spans, whole)

    def trained_spans(self, trained: list[int]) -> list[Span]:
        """From the template's own tags, else from the markers around the contents, else from
        what a turn adds to the text before it."""
        if self.rendered.generation and has_generation_tags(self.template):
            return self._tagged(trained)
        return [
            (self._opened(index, content[0]), self._closed(content[1], index))
            if (content := self.rendered.content(index)) and _is_plain(self.messages[index])
            else self._added_text(index)
            for index in trained
        ]

    def _tagged(self, trained: list[int]) -> list[Span]:
        spans = self.rendered.generation
        if len(trained) == len(self.answers):
            return spans
        if len(spans) != len(self.answers):
            raise CannotRender(
                f"The chat template marks {len(spans)} answers where the row has "
                f"{len(self.answers)}, so that one turn with weight 0 can't be told from the "
                "others; weights need one mark per answer. Take the weights out of the row."
            )
        by_turn = dict(zip(self.answers, spans, strict=True))
        return [by_turn[index] for index in trained]

    def _edges(self, index: int) -> tuple[str, str]:
        """White space before and after a message's content, which lies outside its markers."""
        content = joined_text(self.messages[index].get("content"))
        if not isinstance(content, str):
            return "", ""
        bare = content.strip()
        return content[: content.find(bare)], content[content.find(bare) + len(bare) :]

    def _opened(self, index: int, start: int) -> int:
        """The start of a content with the white space before it, where the template keeps that."""
        before, _ = self._edges(index)
        kept = before and _keeps_space(self.template, self.tokenizer, before)
        return (
            start - len(before) if kept and self.rendered.text[:start].endswith(before) else start
        )

    def _ended(self, index: int, end: int) -> int:
        """The end of a content with the white space after it, where the template keeps that."""
        _, after = self._edges(index)
        kept = after and _keeps_space(self.template, self.tokenizer, after)
        return end + len(after) if kept and self.rendered.text.startswith(after, end) else end

    def _closed(self, end: int, index: int) -> int:
        """The end of a turn with its closing token, where that follows the content."""
        text = self.rendered.text
        _, after = self._edges(index)
        closing = _closing(self.template, self.tokenizer)
        for n_kept in range(len(after), -1, -1):
            if text.startswith(after[:n_kept] + closing, end) and (closing or n_kept):
                return end + n_kept + len(closing)
        return end

    def _added_text(self, index: int) -> Span:
        """The turn as what comes after the text before it, where that text really is a prefix."""
        if len(self.messages) > MOST_MESSAGES:
            raise CannotRender(
                f"The row has {len(self.messages):,} messages, and the trained parts of its "
                f"answers can be found in up to {MOST_MESSAGES:,}. Cut the row into several."
            )
        text = self.rendered.text
        before = render(
            self.template, self.messages[:index], **self.context, add_generation_prompt=True
        )
        upto = render(self.template, self.messages[: index + 1], **self.context)
        shared = text.startswith(before)
        start = len(before) if shared else self.rendered.starts.get(index, -1)
        if text.startswith(upto):
            end = self._without_layout(len(upto))
        elif index in self.rendered.ends and not self.messages[index].get("tool_calls"):
            end = self._closed(self.rendered.ends[index], index)
        else:
            end = -1
        if not 0 <= start < end:
            raise CannotRender(
                f"The chat template renders messages[{index}] otherwise when more messages follow, "
                "so that its trained part can't be found; a turn must look the same wherever it "
                "stands. End the row with this turn, or set its weight to 0."
            )
        return start, end

    def _without_layout(self, end: int) -> int:
        """Without the newline that templates write after the closing token."""
        token = _closing(self.template, self.tokenizer).strip()
        stripped = self.rendered.text[:end].rstrip()
        return len(stripped) if token and stripped.endswith(token) else end

    def _turns(self, spans: list[Span]) -> list[tuple[str, Span]]:
        """Contents where they were found; a trained span replaces the answer that lies in it."""
        found = [
            (str(message.get("role")), (self._opened(index, low), self._ended(index, high)))
            for index, message in enumerate(self.messages)
            for low, high in [self.rendered.content(index) or (-1, -1)]
            if low >= 0
        ]
        outside = [
            (role, (start, end))
            for role, (start, end) in found
            if not any(low <= start and end <= high for low, high in spans)
        ]
        return sorted([*outside, *(("assistant", s) for s in spans)], key=lambda turn: turn[1])


def _is_plain(message: Message) -> bool:
    """Content and nothing else: no reasoning, no tool calls that the template adds around it."""
    content = joined_text(message.get("content"))
    extras = any(message.get(key) for key in ("tool_calls", *REASONING))
    return isinstance(content, str) and not extras and "</think>" not in content


def prompt_text(
    messages: Sequence[Message], tokenizer: Tokenizer, *, now: datetime | None = None
) -> str:
    """Messages as the text after which the model answers, by its own chat template, which it must
    have; `plain_text` is for a model without one."""
    template = tokenizer.template_for(tools=False)
    if template is None:
        raise CannotRender("The model has no chat template; ask it with plain text.")
    return render(
        template,
        messages,
        special=tokenizer.special,
        now=now or datetime.now(),
        add_generation_prompt=True,
    )


def plain_text(messages: Sequence[Message]) -> str:
    """Messages as a text to go on with, for models that were trained on plain rows."""
    return "\n".join(str(message["content"]) for message in messages)


def closing_text(tokenizer: Tokenizer) -> str:
    """The token with which the chat template ends an assistant's turn; empty when unknown."""
    template = tokenizer.template_for(tools=False)
    return "" if template is None else _closing(template, tokenizer).strip()


@lru_cache(maxsize=64)
def _keeps_space(template: str, tokenizer: Tokenizer, space: str) -> bool:
    """Whether such white space around an answer is still there in the rendered text."""
    # More of it than any template writes by itself, or the template's own would count.
    answer = space * 3 + "b" + space * 3
    probe = [{"role": "user", "content": "a"}, {"role": "assistant", "content": answer}]
    try:
        text = render(template, probe, special=tokenizer.special, now=datetime.now())
    except CannotRender:
        return False
    return answer in text


@lru_cache(maxsize=16)
def _closing(template: str, tokenizer: Tokenizer) -> str:
    """What the template writes to end an assistant's turn: white space and one added token.

    Empty when it ends turns with nothing that the tokenizer knows as a token of its own.
    """
    probe = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    try:
        rendered = render_marked(template, probe, special=tokenizer.special, now=datetime.now())
    except CannotRender:
        return ""
    if 1 not in rendered.ends:
        return ""
    tail = rendered.text[rendered.ends[1] :]
    lead = len(tail) - len(tail.lstrip())
    added = tokenizer.backend.get_added_tokens_decoder().values()
    tokens = [token.content for token in added if tail.startswith(token.content, lead)]
    longest = max(tokens, key=len, default="")
    return tail[: lead + len(longest)] if longest else ""
