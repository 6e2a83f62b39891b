"""What is to be exported, where to, and whether that can be."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, get_args

from ftlab.adapter_files import WEIGHTS
from ftlab.devices import Device
from ftlab.errors import RunError
from ftlab.exports.devices import ROOM, bits_on_of, device_of, need_of
from ftlab.exports.places import bytes_of, check_place, check_room, place_of
from ftlab.exports.proof import DTYPES, Dtype, Kind
from ftlab.files import existing
from ftlab.model_cache import has_weights
from ftlab.model_files import stored_formats
from ftlab.models import locate
from ftlab.run import Run
from ftlab.spec import JobSpec, filled
from ftlab.units import in_bytes

HUB = "hub"
FORMS = (*get_args(Kind), HUB)
"""What can be asked for; the last is what a run has tuned, as it is, sent to the hub."""
AUTO = "auto"
STORED: dict[str, Dtype] = {"F32": "fp32", "BF16": "bf16", "F16": "fp16"}


class Asked(NamedTuple):
    """One export."""

    run: Run
    kind: Kind
    dtype: Dtype
    stored: Dtype
    """What was saved, or for a merged model its base, has this format."""
    step: int | None
    tuned: Path
    """The folder of the adapter or of the whole model."""
    base: Path | None
    """The folder of the base model; None where it is not on this machine."""
    target: Path
    is_replaced: bool
    """Whether what is there goes."""
    device: str
    bits_on: str
    """The GPU that reads a base in few bits; empty where it was whole, or is not needed."""
    unproved: str
    """Why it can't be proved here; empty where it can."""

    @property
    def spec(self) -> JobSpec:
        return self.run.job.spec

    @property
    def model(self) -> str:
        """What the run calls its base."""
        return filled(self.spec.model, "model")

    @property
    def commit(self) -> str | None:
        return self.run.commit or self.spec.hf_model_revision

    @property
    def is_on_hub(self) -> bool:
        """Whether others can have the base, too."""
        return is_hub_name(self.model)

    @property
    def names(self) -> dict[str, Any]:
        """What an adapter's settings say of its base."""
        if self.is_on_hub:
            return {"base_model_name_or_path": self.model, "revision": self.commit}
        return {"base_model_name_or_path": str(self.base or self.model), "revision": None}


def is_hub_name(model: str) -> bool:
    """Whether a model's name means the same everywhere."""
    return model.count("/") == 1 and not model.startswith((".", "/", "~")) and not existing(model)


def asked_for(
    run: Run,
    kind: str,
    dtype: str = AUTO,
    step: int | None = None,
    path: str | Path | None = None,
    *,
    replace: bool = False,
) -> Asked:
    """What is to be done, after all that can be known before. Raises RunError, with the three
    facts, where it can't be done."""
    _check_names(kind, dtype)
    tuned = tuned_of(run, step)
    is_whole = not (tuned / WEIGHTS).is_file()
    form: Any = ("merged" if is_whole else "adapter") if kind == HUB else kind
    if form == "adapter" and is_whole:
        raise RunError(
            f"Run {run.id} has tuned all weights; an adapter is what a run with LoRA makes. Export "
            "it as merged."
        )
    base = _base(run)
    stored = _stored(tuned, base, form, is_whole=is_whole)
    chosen: Any = stored if dtype == AUTO else dtype
    target = place_of(run, form, chosen, step, path)
    check_place(target, run, replace=replace)
    if form != "adapter" and base is None and not is_whole:
        raise RunError(
            f"The base model {run.job.spec.model} of run {run.id} is not on this machine; merging "
            "takes its weights. Train or ask something of it here first, which fetches it, or "
            "export the adapter."
        )
    need = need_of(tuned, base, is_whole=is_whole)
    device, bits_on = device_of(run, need), bits_on_of(run, form)
    unproved = _why_unproved(run, form, base or (tuned if is_whole else None), device, need)
    check_room(target, bytes_of(tuned, need, form, chosen))
    name = "cpu" if device is None else device.name
    where = base or (tuned if is_whole else None)
    placed = (target, replace, name, bits_on, unproved)
    return Asked(*(run, form, chosen, stored, step, tuned, where), *placed)


def tuned_of(run: Run, step: int | None) -> Path:
    """The folder with what a run has tuned, or had tuned after a step. Raises RunError."""
    folder = run.adapter if step is None else run.checkpoint(step)
    if folder.is_dir():
        return folder
    if step is not None:
        there = ", ".join(map(str, run.steps_on_disk)) or "none"
        raise RunError(
            f"Run {run.id} has no checkpoint of step {step} any more, or none yet; on disk are "
            f"those of step {there}. Name one of them, or none for what the run ended with."
        )
    raise RunError(run.why_nothing_tuned)


def _check_names(kind: str, dtype: str) -> None:
    if kind not in FORMS:
        raise RunError(
            f"kind is {kind!r}; a run is exported as {', '.join(FORMS)}. Choose one of them."
        )
    if dtype not in (AUTO, *DTYPES):
        raise RunError(
            f"dtype is {dtype!r}; there are {', '.join((AUTO, *DTYPES))}. Choose one of them."
        )


def _base(run: Run) -> Path | None:
    spec = run.job.spec
    folder = locate(filled(spec.model, "model"), run.commit or spec.hf_model_revision)
    return folder if folder is not None and has_weights(folder) else None


def _weights(folder: Path) -> list[Path]:
    """Without what lies beside them in a checkpoint."""
    return sorted(folder.glob("model*.safetensors")) or sorted(folder.glob("*.safetensors"))


def _stored(tuned: Path, base: Path | None, form: Kind, *, is_whole: bool) -> Dtype:
    """The format in which it is written when nobody chooses."""
    files = [tuned / WEIGHTS] if form == "adapter" else _weights(base or tuned)
    formats = stored_formats(*files)
    return STORED.get(formats.pop(), "fp32") if len(formats) == 1 else "fp32"


def _why_unproved(
    run: Run, form: Kind, base: Path | None, device: Device | None, need: int | None
) -> str:
    bits = run.job.spec.quantization
    if bits != "none" and form == "adapter":
        return (
            f"the base was held in {bits} while it trained, and on the base itself the adapter "
            "says something else. Export it merged: that holds what those bits stand for."
        )
    if base is None:
        return (
            "its base is not on this machine, and without it nothing can be asked. Fetch it (a "
            "run, or a question in Try, does) and export again."
        )
    if device is None and need is not None:
        return (
            f"in float32, in which it is compared, the model takes about {in_bytes(need * ROOM)} "
            "of memory, which is not free. Export again on a machine that has it."
        )
    return ""
