"""What was typed, on disk, so that it outlives the kernel."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ftlab.ui.knobs import FORM_FIELDS

NAME, TRIED = "draft.json", "try.json"
PROVIDER = "provider"
"""Beside the fields: where the job is to run, if that is not this machine."""


def read_draft(folder: Path) -> dict[str, Any]:
    """What was typed before the kernel went; empty when there is nothing to read."""
    return _read(folder / NAME)


def write_draft(folder: Path, entries: Mapping[str, Any], provider: str) -> None:
    """Keep the fields of the form, and where the job is to run; anything else may be a secret in
    the wrong place.

    Raises OSError where the folder can't be written.
    """
    kept = {name: value for name, value in entries.items() if name in FORM_FIELDS}
    if provider != "local":
        kept[PROVIDER] = provider
    _write(folder / NAME, kept)


def read_tried(folder: Path) -> dict[str, Any]:
    """What was typed in the Try panel: prompt, system prompt, tools and sampling."""
    return _read(folder / TRIED)


def write_tried(folder: Path, typed: Mapping[str, Any]) -> None:
    """Keep it. Raises OSError where the folder can't be written."""
    _write(folder / TRIED, typed)


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(file: Path, values: Mapping[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    staged = file.with_name(f".{file.name}.new")
    staged.write_text(json.dumps(values, default=str), encoding="utf-8")
    staged.chmod(0o600)
    staged.rename(file)
