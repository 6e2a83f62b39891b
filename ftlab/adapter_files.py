"""LoRA adapters on disk, in peft's format: their settings and shapes, and which can't be used.

Nothing is loaded: the configuration is read, and of the weights their header.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ftlab.errors import UnreadableData
from ftlab.files import existing
from ftlab.issues import LARGEST, shown
from ftlab.model_files import file_shapes

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


def read_adapter(folder: Path) -> Adapter:
    """An adapter's configuration and shapes. Raises UnreadableData for one that is none, or not
    of a kind that can be trusted and trained on."""
    found = any_adapter(folder)
    if problem := why_not_trained_on(found):
        raise UnreadableData(f"{folder} can't go on training: {problem}")
    return found


def why_not_trained_on(adapter: Adapter) -> str:
    """What keeps an adapter from being gone on with, in three facts; empty when nothing does."""
    return _problem(adapter.config, adapter.shapes)


def any_adapter(folder: Path) -> Adapter:
    """The configuration and the shapes of an adapter of any kind. Raises UnreadableData for one
    that is none, or that can't be trusted."""
    config = _config(folder / CONFIG)
    if not (folder / WEIGHTS).is_file():
        pickles = sorted(file.name for pattern in PICKLES for file in folder.glob(pattern))
        there = f"{', '.join(pickles)}, which may run code when it is read" if pickles else "none"
        raise UnreadableData(
            f"{folder} has no {WEIGHTS} (weights that are there: {there}); ftlab reads adapters "
            "in the safetensors format alone. Save it again with peft's save_pretrained."
        )
    # Beside it may lie what a resumed run needs, and in it the model's own embeddings.
    found = file_shapes(folder / WEIGHTS)
    shapes = {name: shape for name, shape in found.items() if not is_of_base(name)}
    return Adapter(folder, config, shapes)


def is_of_base(name: str) -> bool:
    """Whether a tensor is the model's own; peft saves those of embeddings beside their adapter."""
    return ".base_layer." in name


def keep_adapter(name: str, folder: Path) -> None:
    """Copy the adapter of a folder, if the name is one of a folder with an adapter. Raises
    UnreadableData when that can't be done, and leaves nothing then."""
    source = existing(name)
    if source is None or not (source / CONFIG).is_file():
        return
    folder.mkdir()
    try:
        for file in (CONFIG, WEIGHTS):
            shutil.copyfile(source / file, folder / file)
    except OSError as exc:
        shutil.rmtree(folder)
        raise UnreadableData(
            f"The adapter in {source} can't be copied into the run ({exc.strerror}); a run keeps "
            "what it starts from. Make room on the disk, or name another adapter."
        ) from exc


def _problem(config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> str:
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
