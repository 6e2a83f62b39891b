"""The files that the verbs about specs read and write."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ftlab.errors import FtlabError


def read_values(file: Path) -> dict[str, Any]:
    """The values of a spec. Raises FtlabError when the file holds none."""
    return _toml_values(file) if file.suffix.lower() == ".toml" else _json_values(file)


def _json_values(file: Path) -> dict[str, Any]:
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as exc:
        raise FtlabError(
            f"{file} can't be read as a spec ({exc}); it takes one JSON object with the values. "
            'Write for example {"model": "demo", "training_file": "train.jsonl"}.'
        ) from exc
    if not isinstance(values, dict):
        raise FtlabError(
            f"{file} holds a JSON {type(values).__name__}; a spec is one JSON object. "
            "Put the values into braces."
        )
    return values


def _toml_values(file: Path) -> dict[str, Any]:
    from ftlab.exchange.plain import from_toml  # after the start: most specs are JSON

    try:
        found = from_toml(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise FtlabError(
            f"{file} can't be read as a spec ({exc}); it takes one TOML document with the values. "
            'Write for example model = "demo".'
        ) from exc
    if found.lost:
        raise FtlabError(f"{file}: {found.lost[0].message}")
    return found.values


def read_text(file: Path) -> str:
    """What is in a text file. Raises FtlabError when it can't be read as one."""
    try:
        return file.read_text(encoding="utf-8-sig")  # editors on Windows put a mark in front
    except (OSError, ValueError) as exc:
        raise FtlabError(
            f"{file} can't be read ({exc}); it takes a text file in UTF-8. "
            "Correct the path, or save the file in UTF-8."
        ) from exc


def require_new(file: Path) -> None:
    """Raise FtlabError when something is there, be it a link that leads nowhere."""
    if os.path.lexists(file):
        raise FtlabError(
            f"{file} is there already; only a new file is written. "
            "Give another name, or take that file away first."
        )


def write_new(file: Path, text: str) -> None:
    """Write a file that is not there yet. Raises FtlabError when it is."""
    require_new(file)
    with file.open("x", encoding="utf-8", newline="\n") as stream:
        stream.write(text)
