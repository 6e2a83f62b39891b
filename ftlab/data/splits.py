"""split_file(): a data file as two, one to train on and one to validate with."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from shlex import quote
from typing import Any, NamedTuple

from ftlab.data.blocks import LONGEST_LINE, TOO_LONG
from ftlab.data.foreign import detect_foreign, suggest_mapping
from ftlab.data.formats import detect
from ftlab.data.outputs import NewFile, beside
from ftlab.data.problems import Problem, Row, about_whole
from ftlab.data.rows import BOM, BadLine, _unit_hash, is_blank, parse_line
from ftlab.data.sources import Source, open_source
from ftlab.errors import UnreadableData


class Split(NamedTuple):
    """The two files, with the number of rows in each."""

    train: Path
    n_train: int
    validation: Path
    n_validation: int
    problems: tuple[Problem, ...] = ()
    """What is in neither file, or does not train as it stands."""


def split_file(data: Any, share: float, to_folder: str | Path | None = None) -> Split:
    """Write about `share` of the rows into `<name>.validation.jsonl` and the others into
    `<name>.train.jsonl`, beside the file or in a folder.

    Each row's own text decides, so that rows that say the same stay on one side, that a second
    split gives the same, and that adding rows moves none of the others. Lines are copied as they
    are, but for blank ones. Rows that don't train yet are split too, and the problems say so.
    Raises UnreadableData, or ValueError for a share that is none.
    """
    if not 0 < share < 1:
        raise ValueError(
            f"share is {share!r}; it lies between 0 and 1. Use 0.1 for every tenth row."
        )
    source = open_source(data)
    folder = Path(to_folder) if to_folder is not None else None
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    train_name, held_name = (beside(source.path, folder, kind) for kind in ("train", "validation"))
    seen = _Seen()
    with NewFile(train_name) as train, NewFile(held_name) as held:
        for line in seen.rows(source):
            (held if _unit_hash(said(line)) < share else train).add(line)
        if not train.n_lines or not held.n_lines:
            raise UnreadableData(_nothing(source, train.n_lines + held.n_lines, share))
        paths = train.publish(), held.publish()
    assert paths[0] is not None
    assert paths[1] is not None
    problems = (*source.broken, *seen.problems(source.name))
    return Split(paths[0], train.n_lines, paths[1], held.n_lines, problems)


class _Seen:
    """The rows of a source, and what has to be said of them."""

    def __init__(self) -> None:
        self.n_rows = self.n_unknown = self.n_too_long = 0
        self.unknown: Row | None = None
        """The first row that has no format that trains."""

    def rows(self, source: Source) -> Iterator[bytes]:
        for number, line in source.lines():
            line = line.rstrip(b"\r\n")
            if number == 1:
                line = line.removeprefix(BOM)
            if line == TOO_LONG:
                self.n_too_long += 1
            elif not is_blank(line):
                self._look_at(line)
                yield line

    def _look_at(self, line: bytes) -> None:
        self.n_rows += 1
        try:
            row = parse_line(line)
        except BadLine:
            return
        if detect(row) is None:
            self.n_unknown += 1
            self.unknown = self.unknown or row

    def problems(self, name: str) -> Iterator[Problem]:
        if self.n_too_long:
            yield about_whole(
                "line_too_long",
                f"{name} has {self.n_too_long:,} lines of more than {LONGEST_LINE >> 20} MiB; a "
                "line holds one row, and these are in neither file. Check that there are newlines "
                "between the rows.",
            )
        if self.unknown is not None and 2 * self.n_unknown > self.n_rows:
            yield _to_be_converted(name, self.unknown)


def _to_be_converted(name: str, row: Row) -> Problem:
    reader = detect_foreign(row)
    mapping = suggest_mapping(row) or {"user": "…", "assistant": "…"}
    pairs = [] if reader else [quote(f"{part}={column}") for part, column in mapping.items()]
    columns = "".join(f" --column {pair}" for pair in pairs)
    keys = ", ".join(map(str, row))[:200] or "none"
    found = f"as {reader.name} writes them" if reader else f"with the columns {keys}"
    return about_whole(
        "unknown_format",
        f"{name} has rows {found}; what trains has messages, or prompt and completion, or text, "
        "or input with two outputs. The two files hold the rows as they were. Convert first, then "
        f"split what comes of it: ftlab convert {quote(name)} converted.jsonl{columns}",
    )


def _nothing(source: Source, n_rows: int, share: float) -> str:
    """Why nothing could be split."""
    broken = source.broken
    return broken[0].message if broken and not n_rows else _one_side(source.name, n_rows, share)


def _one_side(name: str, n_rows: int, share: float) -> str:
    return (
        f"All of the {n_rows:,} rows of {name} fell on one side at a share of {share:g}; both "
        "sides need at least one. Take another share, or a file with more rows that differ."
    )


def said(line: bytes) -> bytes:
    """The same for rows that say the same, whatever their white space and the order of keys."""
    try:
        return json.dumps(_plain(parse_line(line)), sort_keys=True).encode()
    except (BadLine, RecursionError):
        return b" ".join(line.split())


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return " ".join(unicodedata.normalize("NFC", value).split())
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value
