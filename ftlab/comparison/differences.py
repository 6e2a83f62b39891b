"""What differs between the settings of runs, and what that means for their losses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ftlab.comparison.track import Track
from ftlab.html import rate

NOT_TOLD = "not told"
NONE = "none"


class Difference(NamedTuple):
    """One field whose values are not the same."""

    field: str
    values: tuple[str, ...]
    """Of each run in words, in their order."""


def differences(tracks: Sequence[Track]) -> list[Difference]:
    """The fields that differ between those who tell of them, in the order of the spec."""
    fields = dict.fromkeys(name for track in tracks for name in track.settings)
    return [
        Difference(field, tuple(_told(track.settings, field) for track in tracks))
        for field in fields
        if _differs([track.settings[field] for track in tracks if field in track.settings])
    ]


def _differs(values: list[Any]) -> bool:
    return any(value != values[0] for value in values[1:])


def _told(settings: Mapping[str, Any], field: str) -> str:
    if field not in settings:
        return NOT_TOLD
    value = settings[field]
    if value is None:
        return NONE
    if isinstance(value, float) and "learning_rate" in field:
        return rate(value)
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


CAUTIONS = {
    "rows of validation": "Their validation losses are of different rows, and say little about "
    "each other. Give the runs one validation file to compare them.",
    "model": "They train different models; a loss per token can only be compared where the "
    "tokenizer is the same. Compare their answers in the Try tab instead.",
    "training_method": "They train with different methods; SFT and DPO measure different losses. "
    "Compare their answers in the Try tab instead.",
    "train_on_inputs": "They count other tokens (train_on_inputs differs), so that their losses "
    "are means over different things. Compare runs that count the same.",
}
"""Fields that decide what a loss is a mean of."""


def cautions(found: Sequence[Difference]) -> Iterator[str]:
    """Why these losses can't simply be held against each other."""
    differing = {difference.field for difference in found}
    yield from (text for field, text in CAUTIONS.items() if field in differing)
