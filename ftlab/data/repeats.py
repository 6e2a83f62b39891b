"""Rows that nearly repeat each other, or rows of the training data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ftlab.data.blocks import Block, file_blocks, line_blocks
from ftlab.data.checks import leakage
from ftlab.data.checks.balance import leaked_lines
from ftlab.data.checks.near import (
    NearRows,
    has_rensa,
    near_duplicate_issues,
    near_leakage_issues,
)
from ftlab.data.file_issues import no_training_file
from ftlab.data.scans import Scan
from ftlab.data.sources import Source, open_source
from ftlab.data.tally import RowTally
from ftlab.issues import Issue


def repeats(source: Source, rows: RowTally, against: str | Path | None) -> Iterator[Issue]:
    """What the rows of a source that was scanned have in common with each other and with the
    training file `against`. Raises OSError."""
    if rows.columns.n_rows:
        yield from near_duplicate_issues(source.name, rows.near)
    if against is None:
        return
    train = open_source(against)
    if train.kind == "unknown" or not Path(against).expanduser().exists():
        yield no_training_file(against)
        return
    trained = tally_of(train)
    yield from leakage(trained.columns, rows.columns)
    if trained.near is not None and rows.near is not None:
        known = leaked_lines(trained.columns, rows.columns)
        yield from near_leakage_issues(train.name, trained.near, source.name, rows.near, known)


def to_compare(source: Source) -> NearRows | None:
    """Where a scan keeps what near copies are found by; None where nothing can find them."""
    return NearRows(source.n_bytes) if has_rensa() else None


def blocks_of(source: Source) -> Iterator[Block]:
    """The blocks of any source; a JSONL file goes the short way. Raises OSError."""
    if source.kind == "jsonl" and source.path is not None and not source.zipped:
        return file_blocks(source.path)
    return line_blocks(source.lines())


def tally_of(source: Source) -> RowTally:
    """What a scan without a tokenizer keeps of the rows. Raises OSError."""
    scanned = Scan(source.name, None, None, near=to_compare(source))
    scanned.run(blocks_of(source))
    return scanned.rows
