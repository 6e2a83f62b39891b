"""Base models: where one is, what keeps it from being used, and what is known about it.

A model is named by a folder, by a Hugging Face id, or "demo" (the tiny model inside ftlab).
Unknown stays None and is shown as unknown.
"""

from __future__ import annotations

import json
from pathlib import Path

from ftlab import catalogue, model_hub
from ftlab.errors import UnreadableData
from ftlab.files import existing
from ftlab.issues import Issue
from ftlab.limits import Limits as Limits
from ftlab.model_files import ModelInfo, folder_info
from ftlab.model_files import read_config as read_config
from ftlab.model_files import tensor_shapes as tensor_shapes

DEMO = "demo"
LIGHT_FILES = ("*.json", "*.jinja", "additional_chat_templates/*", "*.model")
"""What the data panel needs of a hub model: everything but the weights."""


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
            f"{_known_after_that(model)} known after that."
        )
        return Issue("tip", text, "model_not_here", "model")
    return Issue("error", _no_model(model), "no_model_here", "model", blocks=("local",))


def _known_after_that(model: str) -> str:
    known = read_info(model).n_params is not None
    return "Its token counts are" if known else "Its size and its token counts are"


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
    """What the model's own files say; what they don't say, or all of it for a model of the hub
    that is not here, from the hub when it was asked, and from the catalogue. Asks no network."""
    folder = locate(model)
    own = ModelInfo(name=model) if folder is None else folder_info(model, folder)
    if not _is_on_hub(model):
        return own
    return own.over(model_hub.seen(model)).over(catalogue.find(model))


def _is_on_hub(model: str) -> bool:
    """Whether a name can only mean a model of the hub."""
    return _looks_like_hub_id(model) and existing(model) is None


def _looks_like_hub_id(model: str) -> bool:
    return model.count("/") == 1 and not model.startswith((".", "/", "~")) and " " not in model


def _cached(model: str) -> Path | None:
    from huggingface_hub import constants

    if not (Path(constants.HF_HUB_CACHE) / f"models--{model.replace('/', '--')}").is_dir():
        return None  # said without the hub's client, which takes a quarter of a second to load
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
