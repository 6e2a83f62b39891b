"""Checks of what is written in a row; each runs only where one of its needles was seen."""

from __future__ import annotations

from collections.abc import Iterator

from ftlab.data.checks import patterns
from ftlab.data.checks.registry import RowView, Text, check, conversation
from ftlab.data.fix_texts import right_encoding
from ftlab.data.formats import Problem

# Marks of the templates of widespread model families.
FAMILY_MARKS = (
    "<|im_start|>",
    "<|im_end|>",
    "<|endoftext|>",
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<|end|>",
    "<start_of_turn>",
    "<end_of_turn>",
    "[INST]",
    "[/INST]",
    "<<SYS>>",
    "<</SYS>>",
    "<｜User｜>",
    "<｜Assistant｜>",
    "<｜end▁of▁sentence｜>",
    "</s>",
)


@check(example=conversation("Stop at <|im_end|> please", "Of course"), needles=FAMILY_MARKS)
def control_token_in_text(view: RowView) -> Iterator[Problem]:
    """Text that the tokenizer reads as one of its control tokens can forge the end of a turn;
    marks of another family are what is left of its template."""
    own = view.tokenizer.special_tokens if view.tokenizer else ()
    for text in view.texts():
        found = next((token for token in own if token and token in text.text), None)
        mark = found or next((m for m in FAMILY_MARKS if _stands_in(m, text.text)), None)
        if mark is not None:
            yield _own_token(text, mark) if found else _other_mark(text, mark)


def _stands_in(mark: str, text: str) -> bool:
    # <s>…</s> is struck-out text in web pages.
    return mark in text and not (mark == "</s>" and "<s>" in text)


def _own_token(text: Text, token: str) -> Problem:
    level = "warning" if text.is_answer else "error"
    return Problem(
        "control_token_in_text",
        text.path,
        f"{text.path} holds {token}, which the tokenizer turns into a control token; text "
        "should hold none. Write it otherwise or take it out.",
        blocks=(),
        level=level,
        value=f"{token} {level}",
    )


def _other_mark(text: Text, mark: str) -> Problem:
    return Problem(
        "control_token_in_text",
        text.path,
        f"{text.path} holds {mark}, which chat templates write between turns; a row holds the "
        "messages alone, the model's template adds its own marks. Take it out.",
        blocks=(),
        level="warning",
        value=mark,
    )


@check(
    example=conversation("Where is the cafÃ©?", "Itâ€™s round the corner."),
    needles=patterns.MOJIBAKE_NEEDLES,
)
def mojibake(view: RowView) -> Iterator[Problem]:
    """Text in the wrong encoding: the model learns to write it so."""
    for text in view.texts():
        found = next(patterns.mojibake(text.text), None)
        if found is not None:
            yield Problem(
                "mojibake",
                text.path,
                f'{text.path} holds "{found}", which was "{right_encoding(found)}" before it was '
                "read in the wrong encoding; a file is UTF-8 throughout. Mend the text, or export "
                "it again as UTF-8.",
                blocks=(),
                level="warning",
                fix="encoding",
            )


@check(example=conversation("Where is the caf\ufffd?", "There."), needles=("\ufffd",))
def replacement_character(view: RowView) -> Iterator[Problem]:
    """A character was lost for good when the text was converted."""
    for text in view.texts():
        n = text.text.count("\ufffd")
        if n:
            yield Problem(
                "replacement_character",
                text.path,
                f"{text.path} holds {n:,} × U+FFFD, which stands for a character that was lost; a "
                "text should hold none. Take the row again from where it came, or take it out.",
                blocks=(),
                level="warning",
            )


@check(example=conversation("Hello\x1b[31m", "Good day"), needles=patterns.CONTROL_NEEDLES)
def control_character(view: RowView) -> Iterator[Problem]:
    """Bytes of terminals and of binary files: no reader sees them, the model learns them."""
    for text in view.texts():
        found = patterns.CONTROLS.search(_without_mojibake(text.text))
        if found is not None:
            yield Problem(
                "control_character",
                text.path,
                f"{text.path} holds the control character U+{ord(found[0]):04X}; text has none but "
                "tab and newline. Take it out.",
                blocks=(),
                level="warning",
                fix="control_characters",
            )


def _without_mojibake(text: str) -> str:
    for piece in set(patterns.mojibake(text)):
        text = text.replace(piece, "")
    return text


@check(
    example=conversation("Hello\u200b\u200b\u200b there", "Good day"),
    needles=patterns.INVISIBLE_NEEDLES,
)
def invisible_characters(view: RowView) -> Iterator[Problem]:
    """Runs of characters without width hide text from readers, not from the model."""
    for text in view.texts():
        found = patterns.INVISIBLE.search(text.text)
        if found is not None:
            points = " ".join(f"U+{ord(letter):04X}" for letter in found[0][:4])
            yield Problem(
                "invisible_characters",
                text.path,
                f"{text.path} holds characters that nobody sees ({points}); text has at most one "
                "of them between two letters. Take them out.",
                blocks=(),
                level="warning",
                fix="control_characters",
            )


@check(
    example=conversation("Who won?", "I'm sorry, but as an AI language model I can't know."),
    needles=patterns.REFUSAL_NEEDLES,
)
def refusal(view: RowView) -> Iterator[Problem]:
    """Answers of other assistants about themselves; a few are nothing, many teach to decline."""
    for text in view.texts():
        found = next(patterns.refusals(text.text), None) if text.is_answer else None
        if found is not None and not text.path.startswith("non_preferred_output"):
            yield Problem(
                "refusal",
                text.path,
                f'{text.path} declines or speaks of being a model ("{found}"); a model learns to '
                "say this where it stands in many answers. Keep it only where it is wanted.",
                blocks=(),
                level="tip",
            )
            return
