"""What was typed, on disk, so that it outlives the kernel."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ftlab.ui.knobs import FORM_FIELDS

NAME = "draft.json"
PROVIDER = "provider"
"""Beside the fields: where the job is to run, if that is not this machine."""


def read_draft(folder: Path) -> dict[str, Any]:
    """What was typed before the kernel went; empty when there is nothing to read."""
    try:
        draft = json.loads((folder / NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return draft if isinstance(draft, dict) else {}


def write_draft(folder: Path, entries: Mapping[str, Any], provider: str) -> None:
    """Keep the fields of the form, and where the job is to run; anything else may be a secret in
    the wrong place.

    Raises OSError where the folder can't be written.
    """
    kept = {name: value for name, value in entries.items() if name in FORM_FIELDS}
    if provider != "local":
        kept[PROVIDER] = provider
    folder.mkdir(parents=True, exist_ok=True)
    staged = folder / f".{NAME}.new"
    staged.write_text(json.dumps(kept, default=str), encoding="utf-8")
    staged.chmod(0o600)
    staged.rename(folder / NAME)
