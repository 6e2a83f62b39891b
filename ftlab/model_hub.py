"""What the hub says of a model that is not on this machine. Only `look_up` uses the network."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

from ftlab.errors import UnreadableData
from ftlab.model_files import ModelInfo, config_info

TIMEOUT = 3.0  # seconds for each of the two questions
HUB = "huggingface.co"

_found: dict[str, ModelInfo] = {}


def seen(model: str) -> ModelInfo | None:
    """What `look_up` found for a model earlier in this process."""
    return _found.get(model)


def look_up(model: str, *, timeout: float = TIMEOUT) -> ModelInfo:
    """Parameters and licence from the model's page, its shape from config.json; no weights.

    A gated model without access to its files has its page only. Raises UnreadableData after
    `timeout` seconds per question at most: when there is no network, no such model, or the hub
    is switched off (HF_HUB_OFFLINE).
    """
    from huggingface_hub import HfApi

    source = f"{HUB}, {date.today().isoformat()}"
    try:
        page = HfApi().model_info(model, timeout=timeout)
    except Exception as exc:  # the hub's client raises a dozen unrelated kinds
        raise UnreadableData(_unanswered(model, exc)) from exc
    found, known = config_info(model, _config(model, timeout), source), _of_page(page)
    sources = {**found.sources, **dict.fromkeys(known, source)}
    _found[model] = replace(found, **known, sources=sources)
    return _found[model]


def _of_page(page: Any) -> dict[str, Any]:
    weights, card = getattr(page, "safetensors", None), getattr(page, "card_data", None)
    total = getattr(weights, "total", None)
    tag = getattr(card, "license", None)
    if tag == "other":  # then the name of the licence stands beside it
        tag = getattr(card, "license_name", None) or tag
    found = {
        "n_params": total if type(total) is int and total > 0 else None,
        "license": tag if isinstance(tag, str) else None,
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
    lines = str(error).strip().splitlines()
    reason = lines[0] if lines else type(error).__name__
    return (
        f"The hub did not say anything about {model!r} ({reason}). Its figures stay unknown; go "
        "online, check the id and your access to it, or give a folder with the model."
    )
