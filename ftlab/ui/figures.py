"""The figures of a data file as HTML: what its rows are, and where its tokens lie."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ftlab.data.report import DataReport
from ftlab.data.stats import TokenStats
from ftlab.html import escaped, histogram, short, table

KINDS_SHOWN = 6
NARROW = 310  # pixels, the width of the side column


def figures_html(report: DataReport, max_seq_length: int | None) -> str:
    """Everything counted; `max_seq_length` is the length that stands in the form now."""
    return headline(report) + _rows(report) + _tokens(report.tokens, max_seq_length)


def headline(report: DataReport) -> str:
    """One line: how much of what there is, and how much of it trains."""
    parts = [f"{report.n_rows:,} rows", escaped(_format(report))]
    if not report.n_rows:
        parts = ["no rows"]  # why, the issues say
    elif report.tokens is not None and report.tokens.n_sequences:
        share = report.loss_tokens / max(report.tokens.total, 1)
        parts.append(f"{report.tokens.total:,} tokens")
        parts.append(f"{report.loss_tokens:,} trained ({share:.0%})")
        parts.append("exact" if report.tokens_exact else "estimated")
    elif report.guess is not None:
        parts.append(f"about {short(float(f'{report.guess.total:.2g}'))} tokens, guessed by length")
    name = f"<b>{escaped(Path(report.path).name)}</b>"
    return f'<div class="ft-headline">{name} · {" · ".join(parts)}</div>'


def _format(report: DataReport) -> str:
    return report.format_in_words if report.format or report.foreign else "unknown format"


def _rows(report: DataReport) -> str:
    """What the rows are, as a table of those figures that say something."""
    lines = {}
    if len(report.formats) > 1:
        lines["formats"] = _shares(report.formats, report.n_rows)
    if report.turns:
        lines["messages"] = _spread(report.turns)
    if report.scripts:
        lines["written in"] = _shares(report.scripts, sum(report.scripts.values()))
    if report.n_bad_rows:
        lines["refused"] = _share_of(report.n_bad_rows, report.n_rows)
    if report.n_duplicates:
        groups = f" in {_count(report.n_groups, 'group')}"
        lines["copies"] = _share_of(report.n_duplicates, report.n_rows) + groups
    return _facts(lines)


def _tokens(stats: TokenStats | None, max_seq_length: int | None) -> str:
    if stats is None or not stats.n_sequences:
        return ""
    at = "".join(
        f"<td>{escaped(name)}<br><b>{n:,}</b></td>" for name, n in stats.quantiles().items()
    )
    longer = stats.n_longer(max_seq_length)
    beyond = f" · {longer:,} above max_seq_length {max_seq_length:,}" if longer else ""
    return (
        f"{_facts({'by role': _shares(stats.by_role, stats.total)})}"
        f'<div class="ft-dim">tokens per row{beyond}</div>'
        f"{histogram(stats.histogram(), max_seq_length, width=NARROW)}"
        f'<table class="ft-quantiles"><tr>{at}</tr></table>'
    )


def _facts(lines: Mapping[str, str]) -> str:
    named = ((f'<span class="ft-dim">{escaped(name)}</span>', text) for name, text in lines.items())
    return f'<div class="ft-facts">{table((), named)}</div>' if lines else ""


def _shares(counts: Mapping[str, int], whole: int) -> str:
    """ "user 62 %, assistant 30 %", the most frequent first."""
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    shown = [f"{escaped(name)} {n / max(whole, 1):.0%}" for name, n in ordered[:KINDS_SHOWN]]
    rest = len(ordered) - KINDS_SHOWN
    return ", ".join(shown) + (f", and {rest} more" if rest > 0 else "")


def _share_of(n: int, whole: int) -> str:
    return f"{_count(n, 'row')} ({n / max(whole, 1):.1%})"


def _spread(counts: Mapping[int, int]) -> str:
    """ "2 to 14 a row, mostly 2"."""
    low, high = min(counts), max(counts)
    usual = max(counts, key=lambda n: counts[n])
    return f"{low:,} to {high:,} a row, mostly {usual:,}" if low < high else f"{low:,} a row"


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"
