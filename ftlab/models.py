"""What is known about a base model, read from its folder without loading it.

A model is named by a folder, by a Hugging Face id, or "demo" (the tiny model inside ftlab).
Unknown stays None and is shown as unknown.
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from ftlab.errors import UnreadableData
from ftlab.files import existing
from ftlab.issues import Issue

DEMO = "demo"
HEADER_LIMIT = 100_000_000  # bytes; the safetensors format's own limit for a header
LIGHT_FILES = ("*.json", "*.jinja", "additional_chat_templates/*", "*.model")
"""What the data panel needs of a hub model: everything but the weights."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What an engine accepts for a model; None is unknown, and then nothing is checked."""

    min_batch_size: int | None = None
    max_batch_size: int | None = None
    max_batch_size_dpo: int | None = None
    default_lora_r: int | None = None
    max_lora_r: int | None = None
    lora_trainable_modules: tuple[str, ...] = ()
    min_learning_rate: float | None = None
    max_learning_rate: float | None = None
    max_n_epochs: int | None = None
    max_n_evals: int | None = None
    max_n_checkpoints: int | None = None
    max_seq_length_sft: int | None = None
    max_seq_length_dpo: int | None = None
    default_gradient_accumulation_steps: int | None = None
    full: bool | None = None
    """Whether all weights can be trained."""
    source: str = ""
    as_of: str = ""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Shape and size of a base model."""

    name: str
    family: str | None = None
    n_params: int | None = None
    hidden_size: int | None = None
    intermediate_size: int | None = None
    n_layers: int | None = None
    vocab_size: int | None = None
    context_length: int | None = None
    n_bytes: int | None = None
    """Size of the weight files."""
    lora_params_per_rank: dict[str, int] = field(default_factory=dict)
    """Adapter parameters per unit of rank, by the last part of the layer's name: the sum of
    inputs and outputs over all layers of that name. The output head is not among them."""

    def local_limits(self) -> Limits:
        """What the embedded trainer accepts for this model."""
        length = self.context_length
        modules = tuple(self.lora_params_per_rank)
        return Limits(
            max_seq_length_sft=length,
            max_seq_length_dpo=length,
            lora_trainable_modules=modules,
            full=False,
            source="the model's own files",
        )


def locate(model: str) -> Path | None:
    """The folder of a model that is on this machine, or None when it would have to be fetched."""
    if model == DEMO:
        from ftlab import demo

        return demo.MODEL
    if existing(model) is not None:
        folder = existing(Path(model) / "config.json")
        return None if folder is None else folder.parent.resolve()
    return _cached(model) if _looks_like_hub_id(model) else None


def model_problem(model: str) -> Issue | None:
    """What keeps a model from being used here, or that it has to be downloaded first."""
    try:
        here = locate(model)
        if here is not None:
            read_info(model)
            if existing(model) is not None and not _has_weights(here):
                raise UnreadableData(_no_weights(here))
            return None
    except UnreadableData as exc:
        return Issue("error", str(exc), "bad_model", "model", blocks=("local",))
    if _is_on_hub(model):
        text = (
            f"{model} is not on this machine; a run downloads it from Hugging Face first. "
            "Its size and its token counts are known after that."
        )
        return Issue("tip", text, "model_not_here", "model")
    return Issue("error", _no_model(model), "no_model_here", "model", blocks=("local",))


def _no_weights(folder: Path) -> str:
    found = sorted(file.name for file in folder.glob("*.bin"))
    there = f"only {', '.join(found)}" if found else "no weights"
    return (
        f"{folder} has {there}; ftlab loads weights in the safetensors format, all parts of them. "
        "Save the model again with transformers' save_pretrained, or download the rest of it."
    )


def _no_model(model: str) -> str:
    return (
        f"No model is at {model!r}; a model is a folder with a config.json, a Hugging Face id "
        'such as "Qwen/Qwen3-8B", or "demo". Correct the path or the id.'
    )


def fetch(model: str, revision: str | None = None, *, weights: bool = True) -> Path:
    """The folder of a model, downloaded from the hub when it is not here yet.

    Without `weights` only the small files come (configuration, tokenizer, templates).
    Raises UnreadableData when there is no such folder and no such model, or no network.
    """
    here = locate(model)
    if here is not None and (not weights or _has_weights(here)):
        return here
    if here is not None and existing(model) is not None:
        raise UnreadableData(_no_weights(here))
    if not _is_on_hub(model):
        raise UnreadableData(_no_model(model))
    from huggingface_hub import snapshot_download

    patterns: list[str] = [*LIGHT_FILES, *(["*.safetensors"] if weights else [])]
    try:
        return Path(snapshot_download(model, revision=revision, allow_patterns=patterns))
    except Exception as exc:  # the hub's client raises a dozen unrelated kinds
        reason = str(exc).strip().splitlines()[0] if str(exc).strip() else type(exc).__name__
        raise UnreadableData(
            f"The model {model!r} is not on this machine and could not be fetched ({reason}). "
            "Give a folder with the model, or go online and check the id and your access to it."
        ) from exc


def read_info(model: str) -> ModelInfo:
    """What the model's own files say; everything unknown when it is not on this machine."""
    folder = locate(model)
    if folder is None:
        return ModelInfo(name=model)
    config = read_config(folder)
    family = config.get("model_type")
    inner = config.get("text_config")
    text: dict[str, Any] = inner if isinstance(inner, dict) else config
    shapes = tensor_shapes(folder)
    return ModelInfo(
        name=model,
        family=family if isinstance(family, str) else None,
        n_params=sum(math.prod(shape) for shape in shapes.values()) or None,
        hidden_size=_size(text, "hidden_size", "n_embd"),
        intermediate_size=_size(text, "intermediate_size", "n_inner"),
        n_layers=_size(text, "num_hidden_layers", "n_layer"),
        vocab_size=_size(text, "vocab_size"),
        context_length=_size(text, "max_position_embeddings", "n_positions"),
        n_bytes=sum(file.stat().st_size for file in folder.glob("*.safetensors")) or None,
        lora_params_per_rank=_params_per_rank(shapes),
    )


def _size(config: dict[str, Any], *names: str) -> int | None:
    """The first of the values that is a whole number above 0; None is unknown."""
    found = (config.get(name) for name in names)
    return next((n for n in found if type(n) is int and n > 0), None)


def read_config(folder: Path) -> dict[str, Any]:
    """The model's config.json."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise UnreadableData(
            f"{folder / 'config.json'} can't be read ({exc}); a model folder needs it as JSON. "
            "Copy the model folder again."
        ) from exc
    return config if isinstance(config, dict) else {}


def tensor_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Name → shape of every tensor in the folder's safetensors files, from their headers alone."""
    files = sorted(folder.glob("*.safetensors"))
    return _shapes(tuple((file, file.stat().st_mtime_ns) for file in files))


@lru_cache(maxsize=4)  # the form asks with every key that is pressed
def _shapes(files: tuple[tuple[Path, int], ...]) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for file, _ in files:
        shapes.update(_read_header(file))
    return shapes


def _read_header(file: Path) -> dict[str, tuple[int, ...]]:
    """Name → shape; the file must also be as long as its header says."""
    try:
        with file.open("rb") as stream:
            (size,) = struct.unpack("<Q", stream.read(8))
            if size > HEADER_LIMIT:
                raise ValueError(f"its header claims {size} bytes")
            header = json.loads(stream.read(size))
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        wanted = 8 + size + max((e["data_offsets"][1] for e in entries.values()), default=0)
        if wanted != file.stat().st_size:
            raise ValueError(f"it has {file.stat().st_size:,} of {wanted:,} bytes")
        return {name: tuple(map(int, entry["shape"])) for name, entry in entries.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, struct.error) as exc:
        raise UnreadableData(
            f"{file} is not a whole safetensors file ({exc}); ftlab reads weights only in that "
            "format. Download or copy the file again."
        ) from exc


def _params_per_rank(shapes: dict[str, tuple[int, ...]]) -> dict[str, int]:
    """Linear layers as peft's "all-linear" takes them: every matrix but embeddings and the head."""
    sums: dict[str, int] = {}
    for name, shape in shapes.items():
        parts = name.split(".")
        is_linear = len(shape) == 2 and parts[-1] == "weight" and len(parts) > 1
        if is_linear and any(part.isdigit() for part in parts):
            sums[parts[-2]] = sums.get(parts[-2], 0) + sum(shape)
    return sums


def _is_on_hub(model: str) -> bool:
    """Whether a name can only mean a model of the hub."""
    return _looks_like_hub_id(model) and existing(model) is None


def _looks_like_hub_id(model: str) -> bool:
    return model.count("/") == 1 and not model.startswith((".", "/", "~")) and " " not in model


def _cached(model: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(model, "config.json")
    return Path(config).parent if isinstance(config, str) else None


def _has_weights(folder: Path) -> bool:
    """Whether all the safetensors files are there that the index names, or one without an index."""
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return any(folder.glob("*.safetensors"))
    try:
        parts = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
    return all((folder / str(part)).is_file() for part in parts)
