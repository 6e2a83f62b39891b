"""The files that the verbs about specs read and write."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ftlab.errors import FtlabError


def read_values(file: Path) -> dict[str, Any]:
    """The values of a spec, JSON or TOML. Raises FtlabError when the file holds none."""
    from ftlab.exchange.plain import from_json, from_toml  # not at the start of every verb

    parse = from_toml if file.suffix.lower() == ".toml" else from_json
    found = parse(read_text(file))
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
