"""One conversation as text by the model's own chat template, and where its answers lie in it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cached_property, lru_cache
from typing import Any

from ftlab.data.template import (
    REASONING,
    CannotRender,
    Message,
    Rendered,
    Span,
    has_generation_tags,
    joined_text,
    render,
    render_marked,
)
from ftlab.data.tokens import Tokenizer

MOST_MESSAGES = 1_000
"""Of a row whose answers can only be found by rendering all that comes before each of them."""


class Conversation:
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

    def trained_spans(self, trained: list[int]) -> list[Span]:
        """Where those assistant turns train, in order: from the template's own tags, else from the
        markers around the contents, else from what a turn adds to the text before it."""
        if self.rendered.generation and has_generation_tags(self.template):
            return sorted(self._tagged(trained))
        return sorted(
            (self._opened(index, content[0]), self._closed(content[1], index))
            if (content := self.rendered.content(index)) and _is_plain(self.messages[index])
            else self._added_text(index)
            for index in trained
        )

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
        closing = end_of_turn(self.template, self.tokenizer)
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
        token = end_of_turn(self.template, self.tokenizer).strip()
        stripped = self.rendered.text[:end].rstrip()
        return len(stripped) if token and stripped.endswith(token) else end

    def turns(self, spans: list[Span]) -> list[tuple[str, Span]]:
        """(role, span) of the contents that were found; a trained span replaces the answer that
        lies in it."""
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
def end_of_turn(template: str, tokenizer: Tokenizer) -> str:
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
