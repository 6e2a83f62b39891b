"""What can't be divided among the processes of a run (`shard`): said before it starts, and by the
trainer itself."""

from __future__ import annotations

from typing import Any, NamedTuple

from ftlab.spec import JobSpec


class Undivided(NamedTuple):
    """Why a model stays whole."""

    where: str
    """The field, or option, to change."""
    found: str
    """What was found, and what is allowed."""
    instead: str | None
    """What it may be set to."""

    @property
    def fix(self) -> dict[str, Any]:
        return {self.where: self.instead}


def undivided(spec: JobSpec, dtype: str) -> Undivided | None:
    """What keeps a job that computes in a format from being divided; None where nothing does."""
    if spec.quantization != "none":
        found = f"quantization is {spec.quantization}; what is divided is not quantised"
        return Undivided("quantization", found, None)
    if spec.lora is not False:
        return None
    if spec.optimizer == "adamw_8bit":
        found = "optimizer is adamw_8bit; divided weights take adamw or sgd"
        return Undivided("optimizer", found, "adamw")
    if dtype == "float16":
        found = "dtype is float16 and all weights train; divided weights train in another"
        return Undivided("dtype", found, "float32")
    return None
