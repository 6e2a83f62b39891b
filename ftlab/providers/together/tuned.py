"""What an archive of the service holds, an adapter or a whole model, and what it is good for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ftlab.adapter_files import CONFIG, WEIGHTS, Adapter, any_adapter, why_not_trained_on
from ftlab.errors import UnreadableData
from ftlab.issues import shown

MODEL_CONFIG = "config.json"
NAMED = 8  # names of an archive's files in a message


def is_full(job: Mapping[str, Any]) -> bool:
    """Whether a job of the service trains all weights."""
    given = job.get("training_type")
    kind = given.get("type") if isinstance(given, dict) else given
    return str(kind).lower() == "full"


def tuned_in(
    folder: Path, names: list[str], job: Mapping[str, Any]
) -> tuple[Path, tuple[str, ...]]:
    """The folder of the one adapter, or else of the one model, that is nearest to the root, and
    what can't be done with it. Raises UnreadableData where there is none that can be trusted."""
    adapters = [file.parent for file in folder.rglob(CONFIG) if (file.parent / WEIGHTS).is_file()]
    if adapters:
        found = _nearest(adapters, names)
        return found, tuple(_of_adapter(any_adapter(found), job))
    found = _nearest(
        [
            file.parent
            for file in folder.rglob(MODEL_CONFIG)
            if next(file.parent.glob("*.safetensors"), None)
        ],
        names,
    )
    return found, () if is_full(job) else (WHOLE_MODEL,)


WHOLE_MODEL = (
    "Together sent a whole model and no adapter; it is kept as a model in transformers' format, "
    "which can be asked, and trained further with its folder as model."
)


def _of_adapter(adapter: Adapter, job: Mapping[str, Any]) -> Iterator[str]:
    model, base = job.get("model"), adapter.config.get("base_model_name_or_path")
    if isinstance(model, str) and isinstance(base, str) and model and _last(base) != _last(model):
        yield (
            f"The adapter is one of {shown(base)} by its own {CONFIG}; the job tuned "
            f"{shown(model)}. It works on a model with the same weights alone: look which that is "
            "before you use it."
        )
    if problem := why_not_trained_on(adapter):
        yield (
            "The adapter is kept as Together made it, for peft's AutoPeftModelForCausalLM; ftlab "
            f"can't go on training it: {problem}"
        )


def _last(name: str) -> str:
    return name.rstrip("/").rpartition("/")[2].lower()


def _nearest(places: list[Path], names: list[str]) -> Path:
    depth = min((len(place.parts) for place in places), default=0)
    nearest = [place for place in places if len(place.parts) == depth]
    if len(nearest) == 1:
        return nearest[0]
    held = f"{len(nearest)} times that" if nearest else ascii(", ".join(names[:NAMED]) or "nothing")
    raise UnreadableData(
        f"The archive holds {held}; it must hold {CONFIG} beside {WEIGHTS}, or {MODEL_CONFIG} "
        "beside weights in *.safetensors, once. Download another checkpoint, or look at the job's "
        "files at the service."
    )
