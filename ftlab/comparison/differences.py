"""What differs between the settings of runs, and what that means for their losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


APART = {
    "rows of validation": "Their validation losses are of different rows, and say little about "
    "each other. Give the runs one validation file to compare them.",
    "model": "They train different models; a loss per token can only be compared where the "
    "tokenizer is the same. Compare their answers in the Try tab instead.",
    "training_method": "They train with different methods; SFT and DPO measure different losses. "
    "Compare their answers in the Try tab instead.",
    "train_on_inputs": "They count other tokens (train_on_inputs differs), so that their losses "
    "are means over different things. Compare runs that count the same.",
    "max_seq_length": "Their rows are cut at other lengths (max_seq_length differs), so that their "
    "losses are means over other tokens. Compare runs that cut at the same one.",
}
"""Fields that decide what a loss is a mean of."""
OBJECTIVES = ("dpo_beta", "simpo_gamma", "rpo_alpha", "dpo_reference_free")
"""Fields that decide what a loss of pairs is."""
OTHER_OBJECTIVE = (
    "Their losses are other functions of the same answers ({} differs). Compare their rewards, or "
    "their answers in the Try tab."
)
UNTOLD = (
    "What {} trained, and on which rows, is not told; losses can only be compared where model and "
    "validation rows are the same. See that they are."
)


def cautions(found: Sequence[Difference], tracks: Sequence[Track]) -> list[str]:
    """Why the losses of runs can't simply be held against each other."""
    differing = {difference.field for difference in found}
    said = [text for field, text in APART.items() if field in differing]
    if fields := [field for field in OBJECTIVES if field in differing]:
        said.append(OTHER_OBJECTIVE.format(", ".join(fields)))
    untold = [track.name for track in tracks if "model" not in track.settings]
    if untold and len(tracks) > len(untold):
        said.append(UNTOLD.format(", ".join(untold)))
    return said


def can_be_ranked(one: Track, other: Track) -> bool:
    """Whether a lower loss of one says that it is better: the same is measured on the same rows.

    Runs that other tools told of are ranked among themselves, as whoever gives them knows them.
    """
    if ("model" in one.settings) != ("model" in other.settings):
        return False
    fields = {*APART, *OBJECTIVES}
    told = fields & one.settings.keys() & other.settings.keys()
    return all(one.settings[field] == other.settings[field] for field in told)
