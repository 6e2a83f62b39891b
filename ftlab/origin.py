"""What a job on this machine goes on from: the adapter of an earlier run, or one made elsewhere.

Nothing is loaded: of the adapter its configuration and the header of its weights are read. Whether
it fits the model, and whether all its values are numbers, the trainer sees when it loads both.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ftlab.errors import RunError, UnreadableData
from ftlab.files import existing
from ftlab.issues import LARGEST, Issue, shown
from ftlab.model_files import file_shapes
from ftlab.models import locate
from ftlab.runs import Run, Runs
from ftlab.spec import FIELDS, JobSpec

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")
LARGEST_CONFIG = 10_000_000  # bytes; one that names every layer of a large model has 100,000


@dataclass(frozen=True, slots=True)
class Adapter:
    """A LoRA adapter on disk, in peft's format."""

    folder: Path
    config: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, ...]]
    """Of its tensors, by their names in the file."""

    @property
    def base(self) -> str | None:
        """The model that it was trained on: a folder or an id."""
        return self.config.get("base_model_name_or_path") or None

    @property
    def settings(self) -> dict[str, Any]:
        """The fields of a spec that it brings with it."""
        modules, experts = (
            self.config.get(name) or () for name in ("target_modules", "target_parameters")
        )
        found = {
            "lora": True,
            "lora_r": self.config["r"],
            "lora_alpha": max(1, round(self.config.get("lora_alpha") or self.config["r"])),
            "use_rslora": bool(self.config.get("use_rslora")),
            "use_dora": bool(self.config.get("use_dora")),
            "lora_exclude_modules": (),
        }
        if not isinstance(modules, str):  # otherwise an expression, which no field takes
            names = {str(name).rpartition(".")[2] for name in (*modules, *experts)}
            found["lora_trainable_modules"] = tuple(sorted(names))
        return found


class Start(NamedTuple):
    """A spec with what its adapter brings, and what is to be said of it."""

    spec: JobSpec
    issues: list[Issue]
    reasons: dict[str, str]
    """Field → why it has this value, for those that the adapter decides."""


def started(spec: JobSpec) -> Start:
    """The spec with the model and the settings of the adapter that from_checkpoint names.

    A setting of its own that the adapter overrules is a warning; an adapter that can't be used is
    an error, and the spec stays as it is.
    """
    if not spec.from_checkpoint:
        return Start(spec, [], {})
    try:
        place = find_adapter(spec.from_checkpoint)
        adapter = read_adapter(place.folder)
        model = _base(spec.model, adapter, place.model)
    except (UnreadableData, RunError) as exc:
        return Start(spec, [_issue("error", "from_checkpoint", str(exc))], {})
    if spec.lora is False:
        text = (
            f"lora is False; {spec.from_checkpoint} is an adapter, and goes on as one. "
            "Set lora to True."
        )
        return Start(spec, [_issue("error", "lora", text, {"lora": True})], {})
    theirs = adapter.settings
    overruled = [n for n in theirs if n in spec.model_fields_set and _differs(spec, n, theirs[n])]
    own = {"model": model, "from_checkpoint": str(adapter.folder), **theirs}
    why = f"of the adapter in {adapter.folder}, which goes on"
    issues = [
        _issue("warning", name, _overruled(spec, name, theirs[name]), {name: None})
        for name in overruled
    ]
    return Start(spec.changed(**own), issues, dict.fromkeys(("model", *theirs), why))


def _differs(spec: JobSpec, name: str, theirs: Any) -> bool:
    ours = getattr(spec, name)
    if name == "lora_trainable_modules" and not isinstance(ours, str):
        ours = tuple(sorted(ours))
    return ours not in (theirs, FIELDS[name].default)


def _overruled(spec: JobSpec, name: str, theirs: Any) -> str:
    found = f"{name} is {shown(getattr(spec, name))}; the adapter that goes on has {shown(theirs)}"
    return f"{found} and keeps it. Leave {name} out."


def _issue(level: Any, where: str, message: str, fix: Any = None) -> Issue:
    blocks = ("local",) if level == "error" else ()
    return Issue(level, message, "goes_on", where, blocks=blocks, fix=fix)


# --- where it is -----------------------------------------------------------------------------


class Place(NamedTuple):
    """Where an adapter is."""

    folder: Path
    model: str | None
    """What its run calls its model; None when no run is known."""


def find_adapter(name: str) -> Place:
    """An adapter by a run's id, ID:STEP, the folder of a run with or without :STEP, or its own.

    Raises UnreadableData when there is none, RunError when there is no such run.
    """
    folder = existing(name)
    if folder is not None and (folder / CONFIG).is_file():
        return Place(folder.absolute(), None)
    if folder is not None and not (folder / "job.json").is_file():
        raise UnreadableData(_no_adapter(folder))
    run_name, _, step = name.rpartition(":") if folder is None else (name, "", "")
    if not step.isdigit():
        run_name, step = name, ""
    run = Run(run_name) if existing(run_name) is not None else Runs()[run_name]
    return Place(_saved(run, int(step) if step else None), run.job.spec.model)


def _saved(run: Run, step: int | None) -> Path:
    """What a run saved after that step, or at its end."""
    if run.job.spec.lora is False:
        raise UnreadableData(
            f"Run {run.id} trained all weights; from_checkpoint takes an adapter. "
            f"Set model to {run.adapter} and leave from_checkpoint out."
        )
    steps = {checkpoint.step: checkpoint.ref for checkpoint in run.history.checkpoints}
    if step is not None and step not in steps:
        saved = f"saved after step {', '.join(map(str, steps))}" if steps else "has saved none"
        raise UnreadableData(
            f"Run {run.id} has no checkpoint of step {step}; it {saved}. Name one of those, or "
            "the run alone for what it ended with."
        )
    place = run.adapter if step is None else run.path / steps[step]
    found = next((f for f in (place, place / "adapter") if (f / CONFIG).is_file()), None)
    if found is None:
        raise UnreadableData(
            f"Run {run.id} is {run.status} and has no adapter in {place}; a job goes on from one "
            "that was saved. Wait for its end, or name another run."
        )
    return found.absolute()


def _no_adapter(folder: Path) -> str:
    if (folder / "config.json").is_file():
        return (
            f"{folder} is a whole model; from_checkpoint takes an adapter, or a run that trained "
            "one. Give the folder as model, and leave from_checkpoint out."
        )
    return (
        f"{folder} has no {CONFIG}; an adapter is a folder with that file and {WEIGHTS}. "
        "Name such a folder, or a run."
    )


# --- what it is ------------------------------------------------------------------------------


def read_adapter(folder: Path) -> Adapter:
    """An adapter's configuration and shapes. Raises UnreadableData for one that is none, or not
    of a kind that can be trusted and trained on."""
    config = _config(folder / CONFIG)
    if not (folder / WEIGHTS).is_file():
        pickles = sorted(file.name for pattern in PICKLES for file in folder.glob(pattern))
        there = f"{', '.join(pickles)}, which may run code when it is read" if pickles else "none"
        raise UnreadableData(
            f"{folder} has no {WEIGHTS} (weights that are there: {there}); ftlab reads adapters "
            "in the safetensors format alone. Save it again with peft's save_pretrained."
        )
    shapes = file_shapes(folder / WEIGHTS)  # beside it may lie what a resumed run needs
    if problem := _problem(config, shapes):
        raise UnreadableData(f"{folder} can't go on training: {problem}")
    return Adapter(folder, config, shapes)


def _problem(config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> str:
    """What keeps an adapter from being gone on with, in three facts; empty when nothing does."""
    again = "Save it again with peft's save_pretrained."
    merge = "Merge it into its model with peft, and give the result as model."
    for name, is_right in SHAPED.items():
        if name in config and config[name] is not None and not is_right(config[name]):
            return f"its {name} is {shown(config[name])}, which peft never writes. {again}"
    if config.get("peft_type") != "LORA":
        return f"its peft_type is {shown(config.get('peft_type'))}; ftlab takes LORA. {merge}"
    others = [name for name in shapes if "lora_" not in name]
    if others or config.get("modules_to_save"):
        saved = others or config["modules_to_save"]
        return f"it also holds {shown(saved[0])}; ftlab takes LoRA layers alone. {merge}"
    if config.get("init_lora_weights", True) not in PLAIN_STARTS:
        how = shown(config["init_lora_weights"])
        return f"it started as {how}, which changes the model too; ftlab keeps that. {merge}"
    if not _is_of_rank(config, shapes):
        rank = shown(config.get("r"))
        return f"{CONFIG} says rank {rank}, {WEIGHTS} has another; they must agree. {again}"
    return ""


def _are_words(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) for word in value)


def _is_count(value: Any) -> bool:
    return type(value) is int and 1 <= value < LARGEST


def _is_scale(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value < LARGEST


def _by_layer(is_right: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(map(is_right, value.values()))


SHAPED: dict[str, Callable[[Any], bool]] = {
    "base_model_name_or_path": lambda value: isinstance(value, str),
    "r": _is_count,
    "lora_alpha": _is_scale,
    "target_modules": lambda value: isinstance(value, str) or _are_words(value),
    "target_parameters": _are_words,
    "modules_to_save": _are_words,
    "rank_pattern": _by_layer(_is_count),
    "alpha_pattern": _by_layer(_is_scale),
}
"""Settings, and whether a value is of the kind that peft writes."""
PLAIN_STARTS = (True, False, "gaussian", "eva", "orthogonal")
"""Of peft's ways to make the first weights, those that leave the model's own as they are."""


def _config(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > LARGEST_CONFIG:
            raise ValueError(f"it has {file.stat().st_size:,} bytes")
        config = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(config, dict):
            raise ValueError("it is no object")
    except (OSError, ValueError, RecursionError) as exc:
        raise UnreadableData(
            f"{file} can't be read ({exc}); it holds an adapter's settings as peft writes them. "
            "Copy the adapter again."
        ) from exc
    return config


def _is_of_rank(config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether the layers have the rank of the configuration, where it gives them all the same.

    What an adapter takes is then bounded by its file's size, whatever the configuration claims.
    """
    rank = config.get("r")
    if rank is None:
        return False
    ranks = {shape[0] for name, shape in shapes.items() if ".lora_A." in name and shape}
    own = (config.get("rank_pattern") or {}).values()
    if own or config.get("target_parameters"):
        return max((rank, *own)) <= max(ranks, default=0)
    return ranks <= {rank}


# --- what it belongs to ----------------------------------------------------------------------


def _base(model: str | None, adapter: Adapter, of_run: str | None) -> str:
    """The model to put it on: the one that was given, which must be the adapter's own."""
    base = of_run or adapter.base
    if model is None and (base is None or not (locate(base) or _is_id(base))):
        found = f"its base model is {shown(base)}" if base else "it names no base model"
        raise UnreadableData(
            f"{adapter.folder}: {found}, which is not on this machine; an adapter goes on with "
            "the model that it was trained on. Give that as model."
        )
    if model is not None and base is not None and not _is_same(base, model):
        raise UnreadableData(
            f"The adapter in {adapter.folder} was trained on {shown(base)} and model is "
            f"{shown(model)}; an adapter fits its own model alone. Leave model out, or name that."
        )
    return model or base or ""


def _is_same(base: str, model: str) -> bool:
    """By place, or by name where the adapter comes from another machine."""
    if base == model:
        return True
    here, there = locate(model), locate(base)
    if here is not None and there is not None:
        return here.resolve() == there.resolve()
    return Path(base).name == Path(model).name


def _is_id(name: str) -> bool:
    return name.count("/") == 1 and not name.startswith((".", "/", "~"))
