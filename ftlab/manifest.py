"""The manifest of a folder of weights: the size and the hash of each file as it was written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ftlab.files import sha256_of

MANIFEST = "manifest.json"


def manifest_of(folder: Path) -> str:
    """The text of a folder's manifest."""
    return _as_text({file.name: _described(file) for file in sorted(folder.iterdir())})


def damage(folder: Path) -> str:
    """What of a folder is not as it was written, as the rest of a sentence; empty if all is."""
    try:
        text = (folder / MANIFEST).read_bytes().decode()
        listed = json.loads(text)
        if _as_text(listed) != text or not listed:
            return f"its {MANIFEST} is not as it was written"
        changed = [name for name, entry in listed.items() if _described(folder / name) != entry]
    except FileNotFoundError as exc:
        return f"its {Path(exc.filename).name} is missing"
    except (OSError, ValueError, AttributeError):
        return f"its {MANIFEST} can't be read"
    return f"its {changed[0]} is not as it was written" if changed else ""


def _as_text(manifest: Any) -> str:
    return json.dumps(manifest, indent=1)


def _described(file: Path) -> dict[str, Any]:
    return {"bytes": file.stat().st_size, "sha256": sha256_of(file)}
