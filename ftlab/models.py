"""Base models: where one is, what keeps it from being used, and what is known about it.

A model is named by a folder, by a Hugging Face id, or "demo" (the tiny model inside ftlab).
Unknown stays None and is shown as unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ftlab import catalogue, model_hub
from ftlab.downloads import Progress, download
from ftlab.errors import UnreadableData
from ftlab.files import existing
from ftlab.issues import Issue
from ftlab.limits import Limits as Limits
from ftlab.model_cache import TOKENIZER, free_bytes, has_weights, repo_folder
from ftlab.model_files import ModelInfo, folder_info
from ftlab.model_files import read_config as read_config
from ftlab.model_files import tensor_shapes as tensor_shapes
from ftlab.refusals import page_of
from ftlab.units import in_bytes

DEMO = "demo"
MODEL_NOT_HERE = "model_not_here"
HALF_PRECISION = 2  # bytes per parameter, as nearly all models lie on the hub


def locate(model: str, revision: str | None = None) -> Path | None:
    """The folder of a model that is on this machine, or None when it would have to be fetched.

    Of a model of the hub its configuration may be there without its weights.
    """
    if model == DEMO:
        from ftlab import demo

        return demo.MODEL
    if existing(model) is not None:
        folder = existing(Path(model) / "config.json")
        return None if folder is None else folder.parent.resolve()
    return _cached(model, revision) if _looks_like_hub_id(model) else None


def model_problem(model: str) -> Issue | None:
    """What keeps a model from being used here, or that it has to be downloaded first."""
    try:
        here = locate(model)
        if here is not None:
            read_info(model)
            if has_weights(here):
                return None
            if not _is_on_hub(model):
                raise UnreadableData(_no_weights(here))
    except UnreadableData as exc:
        return Issue("error", str(exc), "bad_model", "model", blocks=("local",))
    if not _is_on_hub(model):
        return Issue("error", _no_model(model), "no_model_here", "model", blocks=("local",))
    return _not_here(model, counted=here is not None)


def _not_here(model: str, *, counted: bool) -> Issue:
    """That the model must be fetched; a warning where something stands against it."""
    info = read_info(model)
    text = f"{model} is not on this machine; a run downloads it from Hugging Face first."
    against = [part for part in (_gate(info), _room(info)) if part]
    if not counted and not against:
        known = "Its token counts are" if info.n_params else "Its size and its token counts are"
        text += f" {known} known after that."
    level = "warning" if against else "tip"
    return Issue(level, " ".join((text, *against)), MODEL_NOT_HERE, "model")


def _gate(info: ModelInfo) -> str:
    """What a gated model asks for; empty where the hub has a token to look at."""
    if not info.is_gated:
        return ""
    from huggingface_hub import get_token

    if get_token() is not None:
        return ""
    return (
        f"It is gated, and no token is on this machine: accept its licence at {page_of(info.name)}"
        ", then run `hf auth login` or set HF_TOKEN."
    )


def _room(info: ModelInfo) -> str:
    """What is wrong where the model does not fit on the disk."""
    size, free = download_bytes(info), free_bytes()
    if size is None or size <= free:
        return ""
    return (
        f"It takes {in_bytes(size)}, and {in_bytes(free)} are free: make room, or set HF_HOME to a "
        "folder on a larger disk."
    )


def download_bytes(info: ModelInfo) -> int | None:
    """What a download takes: as the hub lists it, or about, by the parameters; None is unknown."""
    return info.n_bytes or (info.n_params and info.n_params * HALF_PRECISION)


def place_of(info: ModelInfo) -> str:
    """Where a model's weights are, and what that takes; empty for what is no model."""
    here = locate(info.name)
    size = download_bytes(info)
    if here is not None and has_weights(here):
        return f"on this machine, {in_bytes(info.n_bytes)}" if info.n_bytes else "on this machine"
    if not _is_on_hub(info.name) or size is None:
        return ""
    about = "" if info.n_bytes else "about "
    return f"{about}{in_bytes(size)} to download, {in_bytes(free_bytes())} free"


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


def fetch(
    model: str,
    revision: str | None = None,
    *,
    weights: bool = True,
    told: Callable[[Progress], None] = lambda _: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Path:
    """The folder of a model, downloaded from the hub when it is not here yet.

    Without `weights` only the small files come (configuration, tokenizer, templates). `told` hears
    how far a download is. Raises UnreadableData when there is no such folder and no such model,
    no network or no room, and Stopped soon after `stopped` says so.
    """
    here = locate(model, revision)
    if here is not None and existing(model) is not None:
        if weights and not has_weights(here):
            raise UnreadableData(_no_weights(here))
        return here
    if here is not None and (here / TOKENIZER).is_file() and (has_weights(here) or not weights):
        return here
    if not _is_on_hub(model):
        raise UnreadableData(_no_model(model))
    try:
        return download(model, revision, told, stopped, weights=weights)
    except UnreadableData:
        if here is None or weights:
            raise
        return here  # what it lacks is said where it is looked for


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


def _cached(model: str, revision: str | None) -> Path | None:
    if not repo_folder(model).is_dir():
        return None  # said without the hub's client, which takes a quarter of a second to load
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(model, "config.json", revision=revision)
    return Path(config).parent if isinstance(config, str) else None
