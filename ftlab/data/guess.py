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
    rows."""
    sequences = _characters(columns)
    if not len(sequences):
        return None
    per_row = sum(n * rows for n, rows in turns.items()) / max(sum(turns.values()), 1)
    tokens = sequences * _tokens_per_char(columns) + PER_MESSAGE * per_row
    rounded = np.ceil(tokens / ROUNDED_TO).astype(np.int64) * ROUNDED_TO
    lengths, counts = np.unique(rounded, return_counts=True)
    found = zip(lengths.tolist(), counts.tolist(), strict=True)
    return TokenStats(lengths=dict(found), by_role={})


def _characters(columns: Columns) -> np.ndarray:
    """Of each sequence; a preference row is two, each the input with one of its answers."""
    chosen, rejected = columns.chosen_chars, columns.rejected_chars
    if columns.format != "preference" or len(chosen) != len(columns.n_chars):
        return columns.n_chars
    return np.concatenate((columns.n_chars - rejected, columns.n_chars - chosen))


def _tokens_per_char(columns: Columns) -> float:
    """By the share of each kind of script among answers, and questions in another one than theirs
    counted as half of their row."""
    written = max(columns.scripts.total() - columns.scripts[NONE], 1)
    others = written - columns.scripts[LATIN] + columns.n_other_script / 2
    share = min(others / written, 1.0)
    return (1 - share) / CHARS_PER_TOKEN + share / CHARS_PER_TOKEN_ELSEWHERE
