"""Adapters on disk: written whole or not at all, with a manifest of hashes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"


def save_adapter(model: Any, folder: Path) -> None:
    """Save in peft's format. The folder appears when everything in it is on disk for good."""
    staged = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(staged, ignore_errors=True)
    model.save_pretrained(staged, safe_serialization=True)
    manifest = {file.name: _described(file) for file in sorted(staged.iterdir())}
    (staged / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    for file in staged.iterdir():
        _sync(file)
    _sync(staged)
    if folder.exists():
        shutil.rmtree(folder)
    staged.rename(folder)
    _sync(folder.parent)


def _described(file: Path) -> dict[str, Any]:
    data = file.read_bytes()
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
