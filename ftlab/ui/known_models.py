"""The models that the form offers: those on this machine, and those of the catalogue."""

from __future__ import annotations

from collections.abc import Iterator

from ftlab.catalogue import models
from ftlab.errors import UnreadableData
from ftlab.model_cache import list_models
from ftlab.models import DEMO
from ftlab.units import in_bytes

MARK = " · on this machine"


def known_models() -> tuple[str, ...]:
    """Names for `model`: what is here already comes first, and is marked with its size."""
    here = {model.name: model for model in list_models() if model.is_whole}
    marked = (f"{name}{MARK}, {in_bytes(model.n_bytes)}" for name, model in here.items())
    return DEMO, *marked, *(name for name in dict.fromkeys(_catalogued()) if name not in here)


def without_mark(text: str) -> str:
    """The name in what was chosen of `known_models`."""
    return text.partition(MARK)[0]


def _catalogued() -> Iterator[str]:
    try:
        yield from (model.name for model in models())
    except UnreadableData:
        return  # a damaged catalogue is said where a model is looked up in it
