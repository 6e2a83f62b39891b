"""How a row looks: its tokens as the model sees them, or why it can't be shown so."""

from __future__ import annotations

import re

from ftlab.data.chat import IGNORED, Tokens, tokenise
from ftlab.data.formats import row_problems
from ftlab.data.report import DataReport
from ftlab.data.rows import BadLine, Rows, parse_line
from ftlab.data.template import CannotRender
from ftlab.data.tokens import Tokenizer, load_tokenizer
from ftlab.html import escaped
from ftlab.issues import SHAPES
from ftlab.models import fetch
from ftlab.spec import JobSpec

LONGEST_SHOWN = 200_000  # characters of a row; a browser takes no more of it well
TOKENS_SHOWN = 4_000


def row_html(title: str, line: bytes, model: str | None, spec: JobSpec) -> str:
    """A row as the model sees it; as it stands in the file where that can't be."""
    if len(line) > LONGEST_SHOWN:
        start = line[:2_000].decode("utf-8", "replace")
        text = f"The row has {len(line):,} bytes; up to {LONGEST_SHOWN:,} are shown. It begins:"
        return title + _unreadable([text], start)
    shown = line.decode("utf-8", "replace")
    if model is None:
        return title + _unreadable([], shown)
    tokenizer = load_tokenizer(fetch(model, weights=False))
    try:
        row = parse_line(line)
        wrong = [p.message for p in row_problems(row) if "local" in p.blocks]
        if wrong:
            return title + _unreadable(wrong, shown)
        sequences = tokenise(row, tokenizer, spec.train_on_inputs or "auto")
    except (BadLine, CannotRender) as exc:
        return title + _unreadable([str(exc)], shown)
    names = ("preferred", "other") if len(sequences) > 1 else ("",)
    return "".join(
        f"{title}{name} {tokens_html(tokens, tokenizer, spec.max_seq_length)}"
        for name, tokens in zip(names, sequences, strict=True)
    )


def has_lines(report: DataReport) -> bool:
    """Whether single rows can be shown: those of lines can be found again without the rest."""
    return report.n_rows > 0 and report.path.endswith(".jsonl")


def line_number(text: str) -> int | None:
    """The number of a line as people type it, also with its thousands set apart."""
    plain = re.sub(r"[\s,_]", "", text)
    return int(plain) if re.fullmatch("[0-9]{1,18}", plain) else None


def off_html(typed: str, rows: Rows, place: int) -> str:
    """Why the row that is shown is not the one that was asked for; empty when it is."""
    first, last = rows.line_number(0), rows.line_number(len(rows) - 1)
    wanted, shown = line_number(typed), rows.line_number(place)
    if wanted == shown:
        return ""
    if wanted is None:
        found = f"“{typed.strip()[:40]}” is no line"
    elif first <= wanted <= last:
        found = f"Line {wanted:,} is blank"
    else:
        found = f"There is no row on line {wanted:,}"
    text = f"{found}; rows are on lines {first:,} to {last:,}. Line {shown:,} is shown."
    shape = f'<b class="ft-warning">{SHAPES["warning"]}</b>'
    return f'<span role="status">{shape} {escaped(text)} Type another number.</span>'


def losses_html(report: DataReport, max_seq_length: int | None) -> str:
    """What a length costs, for the length that stands in the form now."""
    stats = report.tokens
    if stats is None or not stats.n_sequences:
        return ""
    kept, whole = stats.trained_within(max_seq_length), stats.trained_within(None)
    lost = 1 - kept / whole if whole else 0.0
    at = f"at max_seq_length {max_seq_length:,}" if max_seq_length else "with no max_seq_length"
    parts = [
        f"{stats.n_untrained(max_seq_length):,} rows train nothing",
        f"{stats.n_answer_cut(max_seq_length):,} answers are cut",
        f"{lost:.1%} of the trained tokens are lost",
        f"packed {stats.packing_efficiency(max_seq_length):.0%} full",
        f"{stats.recommended_length():,} keeps 99.9 %",
    ]
    return f'<div class="ft-losses"><b>{at}</b> · {" · ".join(parts)}</div>'


def _unreadable(reasons: list[str], line: str) -> str:
    """Why a row can't be rendered, and the row as it stands in the file."""
    said = "".join(
        f'<div class="ft-error">{SHAPES["error"]} {escaped(reason)}</div>' for reason in reasons
    )
    return f'{said}<div class="ft-tokens">{escaped(line)}</div>'


def tokens_html(tokens: Tokens, tokenizer: Tokenizer, max_seq_length: int | None) -> str:
    """Every token of a sequence: trained ones marked, those beyond the length struck through."""
    length = max_seq_length or len(tokens.ids)
    kept = tokens.cut(max_seq_length)
    more = len(tokens.ids) - TOKENS_SHOWN
    counts = (
        f'<span class="ft-dim">{len(tokens.ids):,} tokens, {kept.n_trained:,} trained, '
        f"{max(len(tokens.ids) - length, 0):,} cut"
        f"{f'; the first {TOKENS_SHOWN:,} are shown' if more > 0 else ''}</span>"
    )
    special = frozenset(tokenizer.special_tokens)
    spans = []
    pairs = list(zip(tokens.ids, tokens.labels, strict=True))[:TOKENS_SHOWN]
    for place, (token, label) in enumerate(pairs):
        text = tokenizer.decode([token])
        kinds = [
            name
            for name, holds in {
                "on": label != IGNORED and place < length,
                "cut": place >= length,
                "sp": text in special,
            }.items()
            if holds
        ]
        shown = escaped(text).replace("\n", "⏎\n")
        spans.append(f'<span class="{" ".join(kinds)}" title="id {token}">{shown}</span>')
    return f'{counts}<div class="ft-tokens">{"".join(spans)}</div>'
