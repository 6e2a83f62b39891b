"""What the service said of a job, word by word, for whoever wonders; without secrets."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ftlab.providers.together.client import Client

PASSING = ("progress", "updated_at")
"""What changes with each look and says nothing that lasts."""
SECRET = ("wandb_key", "wandb_api_key", "hf_api_token")
"""Fields of a request that the service has no reason to repeat; if it does, they stay out."""


class Said:
    """A file of lines, to which only what is new is added."""

    def __init__(self, file: Path, client: Client) -> None:
        self._file, self._client = file, client
        self._known: set[str] = set()
        if file.exists():
            self._known.update(file.read_text(encoding="utf-8", errors="replace").splitlines())

    def keep(self, what: str, reply: Mapping[str, Any]) -> None:
        """Add a reply, if it says something new."""
        self.keep_all(what, [{n: v for n, v in reply.items() if n not in PASSING}])

    def keep_all(self, what: str, replies: object) -> None:
        """Add those of many that are new."""
        given = replies if isinstance(replies, list) else [replies]
        lines = [self._client.redacted(json.dumps({what: _bare(reply)})) for reply in given]
        if new := [line for line in dict.fromkeys(lines) if line not in self._known]:
            self._known.update(new)
            _add(self._file, "".join(f"{line}\n" for line in new).encode())


def _bare(found: Any) -> Any:
    """A reply without the fields of secrets, however deep they are."""
    if isinstance(found, dict):
        return {name: _bare(value) for name, value in found.items() if name not in SECRET}
    return [_bare(value) for value in found] if isinstance(found, list) else found


def _add(file: Path, data: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    with open(os.open(file, flags, 0o600), "ab", buffering=0) as stream:
        stream.write(data)
