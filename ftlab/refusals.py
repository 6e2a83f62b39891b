"""Why the hub gives no model, in words that say what to do. A token is never among them."""

from __future__ import annotations

import errno
from collections.abc import Collection

from ftlab.model_cache import cache_folder

HUB = "huggingface.co"
OTHER_FORMATS = (".bin", ".pth", ".pt", ".ckpt", ".gguf")


def refusal(model: str, revision: str | None, error: Exception) -> str:
    """Why a model can't be fetched, and what a person can do about it."""
    from huggingface_hub import errors

    if isinstance(error, errors.LocalEntryNotFoundError) and isinstance(error.__cause__, Exception):
        error = error.__cause__  # what the hub said, instead of what the cache lacks
    if isinstance(error, errors.GatedRepoError):
        return _gated(model)
    if isinstance(error, errors.RepositoryNotFoundError):
        return (
            f"The hub shows no model {model!r}; it must exist, and a private one takes a token "
            "that may read it. Correct the id, or run `hf auth login` or set HF_TOKEN, and start "
            "again."
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return (
            f"The model {model!r} has no revision {revision!r}; hf_model_revision is a branch, a "
            f"tag or a commit of {page_of(model)}. Correct it, or leave it out for the newest."
        )
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return (
            f"The disk of {cache_folder()} became full while {model!r} was downloaded; all of it "
            "must fit. Make room, or set HF_HOME to a folder on a larger disk, and start again: "
            "files that are whole are not fetched twice."
        )
    return (
        f"The model {model!r} is not all on this machine and could not be fetched "
        f"({reason(error)}). Give a folder with the model, or go online, check the id and your "
        "access to it, and start again: files that are whole are not fetched twice."
    )


def _gated(model: str) -> str:
    from huggingface_hub import get_token

    if get_token() is None:
        return (
            f"The model {model!r} is gated and no token is on this machine; its files are given to "
            f"accounts that have accepted its licence. Accept it at {page_of(model)}, then run "
            "`hf auth login` or set HF_TOKEN, and start again."
        )
    return (
        f"The model {model!r} is gated, and the account of the token on this machine may not read "
        "it; its licence must be accepted, and some owners look at each request. See "
        f"{page_of(model)} for where yours stands, check that the token may read gated models, and "
        "start again."
    )


def page_of(model: str) -> str:
    """Where a person reads about a model and accepts its licence."""
    return f"https://{HUB}/{model}"


def no_model_in(model: str, names: Collection[str]) -> str:
    """Why files of these names are no model that ftlab can use."""
    others = sorted(name for name in names if name.endswith(OTHER_FORMATS))
    has = ", ".join(others[:3]) or ("other files" if names else "no files")
    lacks = "weights in the safetensors format" if "config.json" in names else "config.json"
    return (
        f"The model {model!r} has no {lacks} on the hub, but {has}; ftlab needs "
        "a config.json and weights as safetensors, because other formats can run code when they "
        "are loaded. Take a copy of the model that has both, or convert it where you trust it."
    )


def reason(error: Exception) -> str:
    """What the hub's client says, in one line."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
