"""The models that the form offers: those on this machine, and those of the catalogue."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ftlab.catalogue import models
from ftlab.errors import UnreadableData
from ftlab.models import DEMO


def known_models() -> tuple[str, ...]:
    """Names for `model`: what is here already comes first."""
    return tuple(dict.fromkeys((DEMO, *cached_models(), *_catalogued())))


def _catalogued() -> Iterator[str]:
    try:
        yield from (model.name for model in models())
    except UnreadableData:
        return  # a damaged catalogue is said where a model is looked up in it


def cached_models() -> tuple[str, ...]:
    """Models in Hugging Face's cache on this machine, by name."""
    found = (part.name.split("--") for part in _hub_cache().glob("models--*--*"))
    return tuple(sorted(f"{owner}/{'--'.join(rest)}" for _, owner, *rest in found))


def _hub_cache() -> Path:
    """Where the hub's client keeps what it fetched, by the same variables that it reads."""
    home = (
        os.environ.get("HF_HOME")
        or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "huggingface"
    )
    return Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub").expanduser()
