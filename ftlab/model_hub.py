"""What the hub says of a model: its page, its configuration, its files. Loads no weights."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import date
from typing import Any, NamedTuple

from ftlab.errors import UnreadableData
from ftlab.model_cache import INDEX
from ftlab.model_files import ModelInfo, config_info
from ftlab.refusals import HUB, no_model_in, reason, refusal

TIMEOUT = 3.0  # seconds for each of the two questions that the form asks
PATIENCE = 10.0  # seconds for the question that a download begins with
LIGHT = (".json", ".jinja", ".model")
"""Files that the data panel needs: configuration, tokenizer, templates."""
TEMPLATES = "additional_chat_templates/"

_found: dict[str, ModelInfo] = {}


class Listing(NamedTuple):
    """A model's files on the hub that are needed here, at one commit."""

    commit: str
    files: Mapping[str, int]
    """Name → bytes, in the order in which they are fetched: config.json when the small files are
    there, so that a folder with it has them all, and weights last."""


def seen(model: str) -> ModelInfo | None:
    """What `look_up` found for a model earlier in this process."""
    return _found.get(model)


def look_up(model: str, *, timeout: float = TIMEOUT) -> ModelInfo:
    """Parameters, licence and size from the model's page, its shape from config.json; no weights.

    A gated model without access to its files has its page only. Raises UnreadableData after
    `timeout` seconds per question at most: when there is no network, no such model, or the hub
    is switched off (HF_HUB_OFFLINE).
    """
    source = f"{HUB}, {date.today().isoformat()}"
    try:
        page = _page(model, None, timeout)
    except Exception as exc:  # the hub's client raises a dozen unrelated kinds
        raise UnreadableData(_unanswered(model, exc)) from exc
    found, known = config_info(model, _config(model, timeout), source), _of_page(page)
    sources = {**found.sources, **dict.fromkeys(known, source)}
    _found[model] = replace(found, **known, sources=sources)
    return _found[model]


def list_files(model: str, revision: str | None = None, *, weights: bool = True) -> Listing:
    """The files of a model that a run needs; without `weights`, the small ones.

    Raises UnreadableData where there is nothing that ftlab could use, or the hub refuses.
    """
    try:
        page = _page(model, revision, PATIENCE)
    except Exception as exc:  # as above
        raise UnreadableData(refusal(model, revision, exc)) from exc
    sizes = _sizes(page)
    heavy = weight_files(sizes) if weights else []
    if "config.json" not in sizes or (weights and not heavy):
        raise UnreadableData(no_model_in(model, sizes))
    light = sorted(filter(_is_light, sizes), key=lambda name: (name == "config.json", name))
    return Listing(page.sha, {name: sizes[name] for name in (*light, *heavy)})


def weight_files(names: Collection[str]) -> list[str]:
    """Those that transformers loads: the parts, or the one file, and not the same weights in
    another layout beside them."""
    found = sorted(n for n in names if n.endswith(".safetensors") and "/" not in n)
    if INDEX in names:
        return [name for name in found if "-of-" in name] or found
    return ["model.safetensors"] if "model.safetensors" in found else found


def _is_light(name: str) -> bool:
    at_top = "/" not in name.removeprefix(TEMPLATES)
    return at_top and name.endswith(LIGHT)


def _page(model: str, revision: str | None, timeout: float) -> Any:
    from huggingface_hub import HfApi

    return HfApi().model_info(model, revision=revision, files_metadata=True, timeout=timeout)


def _sizes(page: Any) -> dict[str, int]:
    return {file.rfilename: file.size or 0 for file in getattr(page, "siblings", None) or ()}


def _of_page(page: Any) -> dict[str, Any]:
    weights, card = getattr(page, "safetensors", None), getattr(page, "card_data", None)
    total, sizes = getattr(weights, "total", None), _sizes(page)
    tag = getattr(card, "license", None)
    if tag == "other":  # then the name of the licence stands beside it
        tag = getattr(card, "license_name", None) or tag
    found = {
        "n_params": total if type(total) is int and total > 0 else None,
        "n_bytes": sum(sizes[name] for name in weight_files(sizes)) or None,
        "license": tag if isinstance(tag, str) else None,
        "is_gated": bool(getattr(page, "gated", False)) or None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _config(model: str, timeout: float) -> dict[str, Any]:
    """The model's config.json; empty where it can't be had, as for gated models.

    It is not put into the hub's cache: a model of which the cache has a configuration counts as
    one that is here.
    """
    from huggingface_hub import constants
    from huggingface_hub.utils import build_hf_headers, get_session

    try:
        reply = get_session().get(
            f"{constants.ENDPOINT}/{model}/resolve/main/config.json",
            headers=build_hf_headers(),
            timeout=timeout,
            follow_redirects=True,
        )
        config = reply.raise_for_status().json()
    except Exception:  # whatever it is: the page was read, so the rest stays unknown
        return {}
    return config if isinstance(config, dict) else {}


def _unanswered(model: str, error: Exception) -> str:
    return (
        f"The hub did not say anything about {model!r} ({reason(error)}). Its figures stay "
        "unknown; go online, check the id and your access to it, or give a folder with the model."
    )
