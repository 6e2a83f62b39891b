"""split_file(): a data file as two, one to train on and one to validate with."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ftlab.data.blocks import TOO_LONG
from ftlab.data.outputs import NewFile, beside
from ftlab.data.rows import BOM, BadLine, _unit_hash, is_blank, parse_line
from ftlab.data.sources import open_source
from ftlab.errors import UnreadableData


class Split(NamedTuple):
    """The two files, with the number of rows in each."""

    train: Path
    n_train: int
    validation: Path
    n_validation: int


def split_file(data: Any, share: float, to_folder: str | Path | None = None) -> Split:
    """Write about `share` of the rows into `<name>.validation.jsonl` and the others into
    `<name>.train.jsonl`, beside the file or in a folder.

    Each row's own text decides, so that rows that say the same stay on one side, that a second
    split gives the same, and that adding rows moves none of the others. Lines are copied as they
    are, but for blank ones. Raises UnreadableData, or ValueError for a share that is none.
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
    with NewFile(train_name) as train, NewFile(held_name) as held:
        for number, line in source.lines():
            line = line.rstrip(b"\r\n")
            if number == 1:
                line = line.removeprefix(BOM)
            if line != TOO_LONG and not is_blank(line):
                (held if _unit_hash(said(line)) < share else train).add(line)
        if not train.n_lines or not held.n_lines:
            raise UnreadableData(_one_side(source.name, train.n_lines + held.n_lines, share))
        paths = train.publish(), held.publish()
    assert paths[0] is not None
    assert paths[1] is not None
    return Split(paths[0], train.n_lines, paths[1], held.n_lines)


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
