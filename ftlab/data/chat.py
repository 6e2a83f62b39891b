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
from typing import Any, NamedTuple

from ftlab.data.conversations import Conversation, end_of_turn
from ftlab.data.formats import detect
from ftlab.data.problems import half_character
from ftlab.data.template import CannotRender, Message, Span, joined_text, render
from ftlab.data.tokens import Tokenizer

IGNORED = -100


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
            chat = Conversation(row["messages"], row.get("tools"), tokenizer, now)
            layouts = (_chat(chat, chat.weighted(), whole=whole),)
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
        raise CannotRender(half_character("The row")) from exc


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
        chat = Conversation([*given["messages"], *row[side]], given.get("tools"), tokenizer, now)
        yield _chat(chat, chat.answers[-1:], whole=False)


def _chat(chat: Conversation, trained: list[int], *, whole: bool) -> Layout:
    """The text, in which the assistant turns `trained` (or everything) train."""
    spans = chat.trained_spans(trained)
    return Layout(chat.rendered.text, chat.turns(spans), spans, whole)


def prompt_text(
    messages: Sequence[Message],
    tokenizer: Tokenizer,
    *,
    tools: list[Any] | None = None,
    now: datetime | None = None,
) -> str:
    """Messages as the text after which the model answers, by its own chat template, which it must
    have; `plain_text` is for a model without one."""
    template = tokenizer.template_for(tools=bool(tools))
    if template is None:
        raise CannotRender("The model has no chat template; ask it with plain text.")
    return render(
        template,
        messages,
        tools=tools or None,
        special=tokenizer.special,
        now=now or datetime.now(),
        add_generation_prompt=True,
    )


def plain_text(messages: Sequence[Message]) -> str:
    """Messages as a text to go on with, for models that were trained on plain rows."""
    texts = [joined_text(message.get("content")) for message in messages]
    return "\n".join(str(text) for text in texts if text)


def closing_text(tokenizer: Tokenizer) -> str:
    """The token with which the chat template ends an assistant's turn; empty when unknown."""
    template = tokenizer.template_for(tools=False)
    return "" if template is None else end_of_turn(template, tokenizer).strip()
