"""Reports of files that were scanned before, by content: an unchanged file is not read twice."""

from __future__ import annotations

import hashlib
import json
import os
from importlib.util import find_spec
from pathlib import Path

from ftlab.data.asked import Asked
from ftlab.data.tokens import Tokenizer
from ftlab.files import existing, sha256_of

VERSION = 2
"""To be raised whenever a scan would say something else about the same file."""
SMALLEST = 4 << 20
"""Bytes; a smaller file is scanned again sooner than its report is worth keeping."""
KEPT = 50
OPTIONAL = ("rensa", "pyarrow")
"""Packages without which a report says less."""


def folder() -> Path:
    """Where reports are kept: FTLAB_CACHE, or the person's own cache folder."""
    given = os.environ.get("FTLAB_CACHE")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(given) if given else base / "ftlab" / "scans"


def key(file: Path, asked: Asked) -> str | None:
    """A name for this scan; None for a file that is not worth it. Raises OSError."""
    if file.stat().st_size < SMALLEST:
        return None
    other = existing(asked.against) if asked.against is not None else None
    parts = [
        VERSION,
        sha256_of(file),
        file.name,  # messages hold it
        (other.name, sha256_of(other)) if other else str(asked.against),
        asked.limit,
        asked.purpose,
        asked.said,
        _fingerprint(asked.tokenizer) if asked.tokenizer else None,
        [find_spec(package) is not None for package in OPTIONAL],
    ]
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()


def _fingerprint(tokenizer: Tokenizer) -> str:
    """Differs when a tokenizer or a chat template does."""
    digest = hashlib.sha256((tokenizer.folder / "tokenizer.json").read_bytes())
    digest.update(json.dumps([tokenizer.special, tokenizer.templates]).encode())
    return digest.hexdigest()


def load(name: str) -> str | None:
    """The report of that name as JSON, or None."""
    try:
        return (folder() / f"{name}.json").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def store(name: str, report: str) -> None:
    """Keep a report; where that fails the next scan just takes its time."""
    try:
        place = folder()
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = place / f"{name}.{os.getpid()}.part"
        part.write_text(report, encoding="utf-8")
        part.replace(place / f"{name}.json")
        for old in sorted(place.glob("*.json"), key=lambda p: p.stat().st_mtime)[:-KEPT]:
            old.unlink(missing_ok=True)
    except OSError:
        return
