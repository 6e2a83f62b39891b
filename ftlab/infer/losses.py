"""The losses of rows that are tokens already: cross-entropy of what trains in each of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.nn.functional import cross_entropy

from ftlab.data.chat import IGNORED
from ftlab.pieces import PIECE_TOKENS, piece_sizes

if TYPE_CHECKING:
    from ftlab.infer.answer import Answerer

LOGITS = 2**28
"""Values of the output head that are there at once: 1 GiB in float32."""


class Row(NamedTuple):
    """A sequence, and what of it trains."""

    ids: list[int]
    labels: list[int]
    """-100 where nothing trains; not shifted."""


class Loss(NamedTuple):
    """Of one sequence."""

    loss: float
    """Cross-entropy of its trained tokens in nats, summed."""
    n_trained: int
    n_right: int
    """Trained tokens that the model finds the most likely ones."""


def losses(answerer: Answerer, asked: dict[str, Any]) -> dict[str, Any]:
    """Of each of the rows, by `model`: "base", or the folder of an adapter or of a whole model."""
    rows = [Row(row["ids"], row["labels"]) for row in asked["rows"]]
    with answerer.models.switched(asked["model"]) as model, torch.inference_mode():
        found = losses_of(model, rows)
    return {"model": asked["model"], "rows": [loss._asdict() for loss in found]}


def losses_of(model: Any, rows: Sequence[Row]) -> list[Loss]:
    """The loss of each row, in the order of the rows."""
    found = dict[int, Loss]()
    for places in _batches(rows, model.get_input_embeddings().weight.shape[0]):
        batch = [rows[place] for place in places]
        found |= zip(places, _of_batch(model, batch), strict=True)
    return [found[place] for place in range(len(rows))]


def _batches(rows: Sequence[Row], n_words: int) -> Iterator[list[int]]:
    """Rows of like length together, the longest first."""
    order = sorted(range(len(rows)), key=lambda place: -len(rows[place].ids))
    lengths = [len(rows[place].ids) for place in order]
    most, start = min(PIECE_TOKENS, LOGITS // n_words), 0
    for size in piece_sizes(lengths, max_tokens=most, padded=True):
        yield order[start : start + size]
        start += size


def _of_batch(model: Any, rows: Sequence[Row]) -> Iterator[Loss]:
    """Padded behind their ends, where no token of a causal model sees it."""
    longest = max(len(row.ids) for row in rows)
    ids = torch.tensor([row.ids + [0] * (longest - len(row.ids)) for row in rows])
    labels = torch.tensor([row.labels + [IGNORED] * (longest - len(row.ids)) for row in rows])
    logits = model(input_ids=ids.to(model.device), use_cache=False).logits[:, :-1]
    targets = labels[:, 1:].to(logits.device)
    trained = targets != IGNORED
    chosen, tokens = logits[trained].float(), targets[trained]
    values = cross_entropy(chosen, tokens, reduction="none").cpu().double()
    right = (chosen.argmax(dim=-1) == tokens).cpu()
    start = 0
    for size in trained.sum(dim=1).tolist():
        end = start + size
        yield Loss(values[start:end].sum().item(), size, int(right[start:end].sum()))
        start = end
