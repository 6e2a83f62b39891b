"""What is known of the chosen model, each figure with its source; unknown is said as such."""

from __future__ import annotations

from collections.abc import Iterator

from ftlab.html import short
from ftlab.limits import Limits
from ftlab.model_files import ModelInfo
from ftlab.models import place_of
from ftlab.ui.shown import opening_html

FIGURES = {
    "n_params": "parameters",
    "context_length": "context",
    "hidden_size": "hidden size",
    "n_layers": "layers",
    "n_heads": "heads",
    "vocab_size": "vocabulary",
    "family": "family",
    "license": "licence",
}


def model_html(info: ModelInfo) -> str:
    """One line that opens to all figures and to what the service takes."""
    size = "size unknown" if info.n_params is None else f"{in_billions(info.n_params)} parameters"
    context = "unknown" if info.context_length is None else f"{info.context_length:,} tokens"
    parts = (f"context {context}", info.license or "licence unknown", place_of(info))
    more = " · ".join(part for part in parts if part)
    return opening_html(size, more, [*_figures(info), *_hosted(info.hosted)])


def in_billions(n: int) -> str:
    """As people speak of models: 8.19B, 230M."""
    return f"{n / 1e9:.3g}B" if n >= 1e9 else f"{n / 1e6:.3g}M" if n >= 1e6 else short(n)


def _figures(info: ModelInfo) -> Iterator[tuple[str, str]]:
    for name, title in FIGURES.items():
        value, source = getattr(info, name), info.source_of(name)
        text = f"{value:,}" if isinstance(value, int) else str(value or "unknown")
        yield title, f"{text} · {source}" if source and value is not None else text


def _hosted(limits: Limits | None) -> Iterator[tuple[str, str]]:
    """What the service takes for it."""
    if limits is None:
        yield "hosted", "unknown; the service may still have it"
        return
    longest = limits.max_seq_length_sft
    parts = {
        "batches of": _from_to(*limits.batch_sizes()),
        "rows up to": None if longest is None else f"{longest:,} tokens",
        "rank up to": limits.max_lora_r,
        "all weights": {True: "yes", False: "no"}.get(limits.full),  # type: ignore[arg-type]
    }
    known = ", ".join(f"{name} {value}" for name, value in parts.items() if value is not None)
    source = ", ".join(part for part in (limits.source, limits.as_of) if part)
    yield "hosted", f"{known or 'limits unknown'} · {source}"


def _from_to(low: int | None, high: int | None) -> str | None:
    if low is None or high is None:
        return None
    return f"{low}" if low == high else f"{low} to {high}"
