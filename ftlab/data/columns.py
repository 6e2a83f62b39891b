"""What a scan keeps of all rows at once: a few numbers a row, and counts of what answers say.

About 40 bytes a row, so that a file of many gigabytes still fits; the checks of a whole file
(`checks/whole.py`) read nothing else.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np


@dataclass
class Columns:
    """One entry per row of a known format, in file order; bad rows have none."""

    name: str = ""
    """Of the file, for messages."""
    n_rows: int = 0
    """Rows of the file, bad ones included."""
    format: str | None = None
    """What most rows are: conversation, instruction, general, preference."""
    lines: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    """Line numbers, from 1."""
    row_hash: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint64))
    """Of the texts, their roles and all else in the row: equal for rows that say the same."""
    prompt_hash: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint64))
    """Of everything before the last answer; 0 where there is none."""
    answer_hash: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint64))
    """Of the last answer (of the preferred one); 0 where there is none."""
    n_chars: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    """Length of the row's texts."""
    n_tokens: np.ndarray | None = None
    """Tokens of the longest sequence of a row; None when no tokenizer counted."""
    n_trained: np.ndarray | None = None
    """Tokens of a row that train, before any cut."""
    chosen_chars: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    """Preference rows: length of the preferred answer in characters."""
    rejected_chars: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    """The same of the other answer."""
    openings: Counter[str] = field(default_factory=Counter)
    """First eight words of answers → rows; the commonest thousand."""
    closings: Counter[str] = field(default_factory=Counter)
    """Last eight words of answers → rows; the commonest thousand."""
    answers: Counter[str] = field(default_factory=Counter)
    """Answers of at most 80 characters → rows; empty once there are more than a thousand."""
    n_long_answers: int = 0
    """Answers that are longer than that."""
    n_short_answers: int = 0
    """Answers of fewer than three words."""
    short_lines: list[int] = field(default_factory=list)
    """The first hundred lines of those."""
    systems: Counter[int] = field(default_factory=Counter)
    """Hash of the system prompt → rows; at most a thousand."""
    scripts: Counter[str] = field(default_factory=Counter)
    """Writing system of the answers (latin, cyrillic, han, …) → rows."""
    n_other_script: int = 0
    """Rows whose answer is written in another script than the prompt."""
    other_script_lines: list[int] = field(default_factory=list)
    n_weighted: int = 0
    """Rows or messages that carry a weight."""
    n_zero_weight: int = 0
    """Rows of weight 0, or whose assistant messages all have weight 0."""
    edges: Counter[str] = field(default_factory=Counter)
    """Instruction rows: how prompts end and completions start, as counts of
    "prompt ends with space", "prompt ends with newline", "prompt ends with text",
    "completion starts with space", "completion starts with newline",
    "completion starts with text"."""
