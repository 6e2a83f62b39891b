"""What a person says about a run: its name, notes and tags, in a small file of its own."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from ftlab.errors import RunError
from ftlab.files import alone_in, replace_file

NAME_LENGTH, TAG_LENGTH, NOTES_LENGTH = 120, 40, 20_000  # characters
MOST_TAGS = 20


class About(NamedTuple):
    """Empty until somebody says something."""

    name: str = ""
    notes: str = ""
    tags: tuple[str, ...] = ()


def read_about(file: Path) -> About:
    """What the file says; what can't be read or has another type counts as not said."""
    try:
        found = _known(file)
    except (OSError, ValueError):
        return About()
    name, notes, tags = (found.get(field) for field in About._fields)
    tags = tags if isinstance(tags, list) else []
    return About(_text(name), _text(notes), tuple(_text(tag) for tag in tags if _text(tag)))


def change_about(
    file: Path,
    *,
    name: str | None = None,
    notes: str | None = None,
    tags: Iterable[str] | None = None,
) -> About:
    """Set what is given and keep the rest, also what another ftlab has put there.

    Raises RunError when something is too long, or the file holds something else.
    """
    given = {
        "name": None if name is None else _fitting("name", " ".join(name.split()), NAME_LENGTH),
        "notes": None if notes is None else _fitting("notes", notes, NOTES_LENGTH),
        "tags": None if tags is None else tags_of(tags),
    }
    with alone_in(file.parent):
        known = _known_or_refused(file)
        known |= {field: value for field, value in given.items() if value is not None}
        replace_file(file, json.dumps(known, indent=1).encode())
    return read_about(file)


def tags_of(given: Iterable[str]) -> list[str]:
    """Each tag once, without spaces around it. Raises RunError when one is too long."""
    tags = [*dict.fromkeys(" ".join(tag.split()) for tag in given if tag.strip())]
    if comma := next((tag for tag in tags if "," in tag), None):
        raise RunError(f"{comma!r} holds a comma; commas part tags. Give it as two tags.")
    if len(tags) > MOST_TAGS:
        raise RunError(f"{len(tags)} tags are given; a run has {MOST_TAGS} at most. Give fewer.")
    return [_fitting("tag", tag, TAG_LENGTH) for tag in tags]


def _text(found: object) -> str:
    """What can be shown anywhere: half a pair of surrogates can't be encoded."""
    return found.encode("utf-8", "replace").decode() if isinstance(found, str) else ""


def _fitting(what: str, text: str, most: int) -> str:
    if len(text) > most:
        raise RunError(
            f"The {what} has {len(text):,} characters; it can have {most:,}. Make it shorter."
        )
    return text


def _known(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_bytes())
    except FileNotFoundError:
        return {}
    except RecursionError as exc:
        raise ValueError("it is nested too deeply") from exc
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")
    return found


def _known_or_refused(file: Path) -> dict[str, Any]:
    try:
        return _known(file)
    except (OSError, ValueError) as exc:
        raise RunError(
            f"{file} can't be read ({exc}); it holds a JSON object with a name, notes and tags. "
            "Mend it or move it away, so that nothing in it is lost."
        ) from exc
