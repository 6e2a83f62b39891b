"""What a scan is asked for, and what it takes to answer that: a tokenizer, a length."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from ftlab.data.problems import LOCAL
from ftlab.data.tokens import Tokenizer, load_tokenizer
from ftlab.errors import UnreadableData
from ftlab.issues import Issue
from ftlab.models import fetch, read_info


class Asked(NamedTuple):
    """All that a report depends on besides the data itself."""

    model: str | None
    """None as well where it can't be read."""
    tokenizer: Tokenizer | None
    max_seq_length: int | None
    """As it was given."""
    train_on_inputs: bool | str
    purpose: str
    against: str | Path | None
    """The training data, where the data is for validation."""

    @property
    def limit(self) -> int | None:
        """The length that sequences are cut to: as given, or else the model's context."""
        return self.max_seq_length or (None if self.model is None else _context(self.model))

    @property
    def said(self) -> dict[str, Any]:
        """What the report repeats of it."""
        return {
            "model": self.model,
            "max_seq_length": self.max_seq_length,
            "train_on_inputs": self.train_on_inputs,
        }


def find_tokenizer(model: str | None) -> tuple[Tokenizer | None, list[Issue]]:
    """The model's tokenizer; where there is none, an issue says why."""
    if model is None:
        text = (
            "Tokens were not counted: no model was given, and counts take its tokenizer. "
            "Name the model."
        )
        return None, [Issue("tip", text, "no_model", "model")]
    try:
        return load_tokenizer(fetch(model, weights=False)), []
    except UnreadableData as exc:
        text = f"Tokens were not counted: {exc}"
        return None, [Issue("error", text, "no_tokenizer", "model", blocks=LOCAL)]


def _context(model: str) -> int | None:
    """The length that a run takes when none is given; None is unknown."""
    try:
        return read_info(model).context_length
    except UnreadableData:
        return None  # submit() says what is wrong with the model
