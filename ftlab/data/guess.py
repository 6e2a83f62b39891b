"""Tokens by the number of characters, for as long as the model's tokenizer is not here.

English text has about 4 characters a token with today's vocabularies (3 in code and JSON, 5 in
plain prose); scripts without spaces, and those that few tokens were made for, have 1 to 2.5. A
chat template writes about 5 tokens around a message, as ChatML does.
"""

from __future__ import annotations

import numpy as np

from ftlab.data.columns import Columns
from ftlab.data.scripts import LATIN, NONE
from ftlab.data.stats import TokenStats

CHARS_PER_TOKEN = 4.0
CHARS_PER_TOKEN_ELSEWHERE = 1.6
PER_MESSAGE = 5
ROUNDED_TO = 8  # tokens: a guess needs no finer lengths, and has few of them
SPREAD = (0.75, 1.35)
"""Ends of the range that holds the true number, as shares of the guess."""


def guessed(columns: Columns, turns: dict[int, int]) -> TokenStats | None:
    """Lengths in tokens, guessed; `turns` are rows by their number of messages. None without
    rows. The two sequences of a preference row get half of its characters each."""
    n_rows = len(columns.n_chars)
    if not n_rows:
        return None
    per_row = sum(n * rows for n, rows in turns.items()) / max(sum(turns.values()), 1)
    n_sequences = 2 if columns.format == "preference" else 1
    tokens = columns.n_chars / _chars_per_token(columns) + PER_MESSAGE * per_row
    rounded = np.ceil(tokens / n_sequences / ROUNDED_TO).astype(np.int64) * ROUNDED_TO
    lengths, counts = np.unique(rounded, return_counts=True)
    found = zip(lengths.tolist(), (counts * n_sequences).tolist(), strict=True)
    return TokenStats(lengths=dict(found), by_role={})


def _chars_per_token(columns: Columns) -> float:
    written = columns.scripts.total() - columns.scripts[NONE]
    is_latin = 2 * columns.scripts[LATIN] >= written
    return CHARS_PER_TOKEN if is_latin else CHARS_PER_TOKEN_ELSEWHERE
