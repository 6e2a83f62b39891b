"""Noise on the input embeddings while training (NEFTune; Jain et al., 2023, arXiv 2310.05914)."""

from __future__ import annotations

from typing import Any

import torch


def with_noise(embeddings: torch.Tensor, lengths: torch.Tensor, alpha: float) -> torch.Tensor:
    """(rows, tokens, width) embeddings with even noise of at most alpha / √(length × width).

    `lengths` says of each token, (rows, tokens), how many its document has; 0 is padding, which
    stays as it is. Draws from torch's own random numbers.
    """
    largest = alpha / (lengths.clamp(min=1) * embeddings.shape[-1]).sqrt()
    largest = torch.where(lengths > 0, largest, 0.0).to(embeddings.dtype).unsqueeze(-1)
    return embeddings + torch.empty_like(embeddings).uniform_(-1, 1) * largest


def document_lengths(
    shape: tuple[int, int],
    position_ids: torch.Tensor | None = None,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """(rows, tokens): how many tokens each token's document has, 0 for padding.

    A document begins where position_ids is 0; without them each row is one. `mask` is 1 for tokens
    and 0 for padding.
    """
    if position_ids is None:
        starts = torch.zeros(shape, dtype=torch.bool)
        starts[:, 0] = True
    else:
        starts = position_ids.expand(shape) == 0
    document = starts.flatten().cumsum(0)
    if mask is None or mask.shape != shape:  # one of more dimensions tells of attention alone
        mask = torch.ones(shape, device=document.device)
    real = mask.flatten().to(document.device, torch.float32)
    sizes = real.new_zeros(real.numel() + 1).index_add(0, document, real)
    return (sizes[document] * real).reshape(shape)


def add_noise(model: Any, alpha: float) -> None:
    """From now on the model's embeddings are noisy, as long as it trains."""
    lengths: list[torch.Tensor] = []

    def look(_: Any, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        ids = named.get("input_ids", given[0] if given else None)
        if ids is None:  # embeddings are given, and whoever made them knows of the noise
            return
        found = document_lengths(
            tuple(ids.shape), named.get("position_ids"), named.get("attention_mask")
        )
        lengths[:] = [found.to(ids.device)]

    def disturb(layer: Any, _: Any, output: torch.Tensor) -> torch.Tensor:
        return with_noise(output, lengths[0], alpha) if layer.training else output

    # The decoder, because whoever computes the loss himself calls it instead of the whole model.
    model.get_decoder().register_forward_pre_hook(look, with_kwargs=True)
    model.get_input_embeddings().register_forward_hook(disturb)
