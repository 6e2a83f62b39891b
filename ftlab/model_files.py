"""What a model's own files say: its configuration, and the shapes of its weights.

Nothing is loaded: of the weights only the headers are read. Unknown stays None.
"""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from ftlab.errors import UnreadableData
from ftlab.limits import Limits

HEADER_LIMIT = 100_000_000  # bytes; the safetensors format's own limit for a header
OWN_FILES = "the model's own files"
TEXT_PARTS = ("text_config", "llm_config")
"""Where models that also see or hear keep the shape of the part that reads and writes."""
PLAIN = frozenset(
    ("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "smollm3")
)
"""Families whose layers are those of Llama, which `_plain_per_rank` counts."""
ROUTERS = ("gate", "router")
"""Layers that send tokens to experts. Llama 4's is a linear layer and is missed: 5 % of its
adapter."""
FUSED, UNFUSED = ("gate_proj", "up_proj", "w1", "w3"), ("down_proj", "w2")
"""Layers of experts."""
FUSED_NAMES = ("gate_up_proj", "down_proj")
"""The tensors that hold the layers of all experts in memory."""
WITH_EXPERTS = frozenset(
    (
        *("mixtral", "minimax", "minimax_m2", "qwen3_moe", "qwen3_next", "olmoe"),
        *("deepseek_v2", "deepseek_v3", "deepseek_v32", "glm4_moe", "glm4_moe_lite"),
        *("glm_moe_dsa", "dots1", "ernie4_5_moe", "flex_olmo"),
    )
)
"""Families whose experts and routers are among peft's "all-linear" (0.21 with transformers 5).
There `FUSED` layers are one tensor with twice the rank, so their outputs count twice, and layers
of these names outside the experts get nothing. In other families peft passes experts by."""
SHAPE = (
    *("family", "hidden_size", "intermediate_size", "n_layers", "n_heads", "n_kv_heads"),
    *("head_dim", "vocab_size", "context_length"),
)
"""Figures that come together, from a configuration."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Shape and size of a base model; None is unknown."""

    name: str
    family: str | None = None
    """The architecture as transformers calls it: "llama", "qwen3_moe"."""
    n_params: int | None = None
    """All of them, also where only some experts work on a token; tied weights count once."""
    hidden_size: int | None = None
    intermediate_size: int | None = None
    n_layers: int | None = None
    n_heads: int | None = None
    n_kv_heads: int | None = None
    head_dim: int | None = None
    vocab_size: int | None = None
    """Rows of the embedding, padding with them."""
    context_length: int | None = None
    """Tokens."""
    n_bytes: int | None = None
    """Size of the weight files."""
    license: str | None = None
    """The hub's tag: "apache-2.0", "llama3.1"."""
    is_gated: bool | None = None
    """Whether the hub gives its files only to those who have accepted the licence there."""
    lora_params_per_rank: Mapping[str, int] = field(default_factory=dict)
    """Adapter parameters per unit of rank, by the last part of the layer's name: the sum of
    inputs and outputs over all layers of that name. The output head is not among them."""
    hosted: Limits | None = None
    """What the service accepted for it at `hosted.as_of`; its own reply comes before that."""
    hosted_name: str | None = None
    """What the service calls it."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """Where a figure is from and its date; those of a shape are under "shape"."""

    @property
    def kv_width(self) -> int | None:
        """Width of the keys of a layer, and of its values."""
        if not self.n_kv_heads or not self.n_heads or not (self.head_dim or self.hidden_size):
            return None
        return self.n_kv_heads * (self.head_dim or (self.hidden_size or 0) // self.n_heads)

    def source_of(self, figure: str) -> str:
        """Where a field's value is from and its date; empty when it is unknown."""
        return self.sources.get("shape" if figure in SHAPE else figure, "")

    def over(self, other: ModelInfo | None) -> ModelInfo:
        """This, and what is unknown in it from the other."""
        if other is None:
            return self
        taken = {
            name: getattr(other, name)
            for name in (field.name for field in fields(self) if field.name != "sources")
            if getattr(self, name) in (None, {}) and getattr(other, name) not in (None, {})
        }
        return replace(self, **taken, sources={**other.sources, **self.sources}) if taken else self

    @property
    def _layer_names(self) -> tuple[str, ...]:
        """Layers that may have an adapter; those of experts also as they are in memory."""
        fused = FUSED_NAMES if self.family in WITH_EXPERTS else ()
        return tuple(dict.fromkeys((*self.lora_params_per_rank, *fused)))

    def local_limits(self) -> Limits:
        """What the embedded trainer accepts for this model."""
        return Limits(
            max_seq_length_sft=self.context_length,
            max_seq_length_dpo=self.context_length,
            lora_trainable_modules=self._layer_names,
            engine="local",
            source=self.source_of("context_length") or OWN_FILES,
        )


def folder_info(name: str, folder: Path) -> ModelInfo:
    """A model folder, read from its config.json and the headers of its safetensors files.

    Raises UnreadableData when one of them is damaged.
    """
    shapes = tensor_shapes(folder)
    found = config_info(name, read_config(folder))
    n_params = sum(math.prod(shape) for shape in shapes.values()) or None
    per_rank = _params_per_rank(shapes, found.family) or found.lora_params_per_rank
    known = {"n_params": n_params, "lora_params_per_rank": per_rank}
    return replace(
        found,
        **known,
        n_bytes=sum(_stat(file).st_size for file in folder.glob("*.safetensors")) or None,
        sources={**found.sources, **{name: OWN_FILES for name, value in known.items() if value}},
    )


def config_info(name: str, config: Mapping[str, Any], source: str = OWN_FILES) -> ModelInfo:
    """What a config.json says."""
    inner = next((config[part] for part in TEXT_PARTS if isinstance(config.get(part), dict)), None)
    text: Mapping[str, Any] = inner or config
    family = config.get("model_type")
    found = ModelInfo(
        name=name,
        family=family if isinstance(family, str) else None,
        hidden_size=_size(text, "hidden_size", "n_embd"),
        intermediate_size=_size(text, "intermediate_size", "n_inner"),
        n_layers=_size(text, "num_hidden_layers", "n_layer"),
        n_heads=_size(text, "num_attention_heads", "n_head"),
        n_kv_heads=_size(text, "num_key_value_heads"),
        head_dim=_size(text, "head_dim"),
        vocab_size=_size(text, "vocab_size"),
        context_length=_size(text, "max_position_embeddings", "n_positions"),
    )
    if all(getattr(found, figure) is None for figure in SHAPE):
        return found
    per_rank = _plain_per_rank(found)
    sources = {"shape": source, **({"lora_params_per_rank": source} if per_rank else {})}
    return replace(found, lora_params_per_rank=per_rank, sources=sources)


def _size(config: Mapping[str, Any], *names: str) -> int | None:
    """The first of the values that is a whole number above 0; None is unknown."""
    found = (config.get(name) for name in names)
    return next((n for n in found if type(n) is int and n > 0), None)


def _plain_per_rank(info: ModelInfo) -> dict[str, int]:
    """Inputs and outputs of Llama's linear layers; empty for families with other layers."""
    width, inner, layers = info.hidden_size, info.intermediate_size, info.n_layers
    if info.family not in PLAIN or not (width and inner and layers and info.n_heads):
        return {}
    queries = info.n_heads * (info.head_dim or width // info.n_heads)
    keys = info.kv_width or queries
    wide = {"q_proj": queries, "k_proj": keys, "v_proj": keys, "o_proj": queries}
    wide |= dict.fromkeys(("gate_proj", "up_proj", "down_proj"), inner)
    return {name: layers * (width + outputs) for name, outputs in wide.items()}


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
    return file_shapes(*sorted(folder.glob("*.safetensors")))


def file_shapes(*files: Path) -> dict[str, tuple[int, ...]]:
    """The same of some files."""
    return _shapes(tuple((file, _stat(file).st_mtime_ns) for file in files))


def _stat(file: Path) -> os.stat_result:
    try:
        return file.stat()
    except OSError as exc:
        raise UnreadableData(
            f"{file} leads nowhere ({exc.strerror}); a model folder has its weights or links to "
            "them. Download or copy the model again."
        ) from exc


@lru_cache(maxsize=4)  # the form asks with every key that is pressed
def _shapes(files: tuple[tuple[Path, int], ...]) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for file, _ in files:
        shapes.update(_read_header(file))
    return shapes


def stored_formats(*files: Path) -> set[str]:
    """The number formats of the tensors in some files, as safetensors names them: F32, BF16, …"""
    return {str(entry["dtype"]) for file in files for entry in _entries(file).values()}


def _read_header(file: Path) -> dict[str, tuple[int, ...]]:
    """Name → shape."""
    return {name: tuple(map(int, entry["shape"])) for name, entry in _entries(file).items()}


def _entries(file: Path) -> dict[str, dict[str, Any]]:
    """Name → what the header says; the file must also be as long as that."""
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
        [tuple(map(int, entry["shape"])) for entry in entries.values()]
        return entries
    except (OSError, ValueError, LookupError, TypeError, AttributeError, struct.error) as exc:
        raise UnreadableData(
            f"{file} is not a whole safetensors file ({exc}); ftlab reads weights only in that "
            "format. Download or copy the file again."
        ) from exc


def _params_per_rank(shapes: Mapping[str, tuple[int, ...]], family: str | None) -> dict[str, int]:
    """Linear layers as peft's "all-linear" takes them: every matrix of a layer, by its name."""
    sums: dict[str, int] = {}
    for name, shape in shapes.items():
        parts = name.split(".")
        is_linear = len(shape) == 2 and parts[-1] == "weight" and len(parts) > 1
        if not is_linear or not any(part.isdigit() for part in parts):
            continue
        is_expert = any(part == "experts" and after.isdigit() for part, after in pairwise(parts))
        outputs, inputs = shape
        times = _times_adapted(parts[-2], family, is_expert=is_expert)
        if times:
            sums[parts[-2]] = sums.get(parts[-2], 0) + inputs + times * outputs
    return sums


def _times_adapted(layer: str, family: str | None, *, is_expert: bool) -> int:
    """How often the outputs of a layer count in its adapter; 0 when it gets none."""
    if family not in WITH_EXPERTS:
        return 0 if is_expert or layer in ROUTERS else 1
    if not is_expert:
        return 0 if layer in (*FUSED, *UNFUSED) else 1
    return 2 if layer in FUSED else 1
