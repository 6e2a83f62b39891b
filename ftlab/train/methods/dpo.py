"""Preference training: DPO and what follows from it.

With Δ the log-probability of the preferred answer less that of the other one, and Δref the same by
the model before training, the loss of a pair is −log σ(β(Δ − Δref)) (Rafailov et al., 2023,
arXiv 2305.18290). Length-normalised, each log-probability is divided by its trained tokens.
Without a reference, Δref is 0. RPO adds rpo_alpha × the preferred answer's mean negative
log-likelihood (Pang et al., 2024, arXiv 2404.19733). SimPO is length-normalised, has no reference
and takes simpo_gamma off the margin (Meng et al., 2024, arXiv 2405.14734).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch.nn.functional import logsigmoid

from ftlab.data.chat import Tokens
from ftlab.errors import UnreadableData
from ftlab.spec import JobSpec
from ftlab.train.adapters import reference_of
from ftlab.train.batches import NOTHING, Example, Pair
from ftlab.train.device import sent
from ftlab.train.methods.method import Loss, Pieces
from ftlab.train.scoring import Scorer

BETA = 0.1  # the service's default


class _Scores(NamedTuple):
    """(pairs,) log-probabilities of the trained tokens of each answer."""

    chosen: torch.Tensor
    rejected: torch.Tensor


class Dpo:
    """The loss is the mean over the pairs of a step, each by its row's weight."""

    figures: tuple[str, ...] = ("rewards_chosen", "rewards_rejected", "rewards_accuracy")

    def __init__(self, spec: JobSpec) -> None:
        self.nothing = Pair(NOTHING, NOTHING, (0.0, 0.0))
        self.beta = spec.dpo_beta or BETA
        self.gamma = spec.simpo_gamma or 0.0
        self.rpo_alpha = spec.rpo_alpha or 0.0
        self.by_length = spec.dpo_normalize_logratios_by_length or self.gamma > 0
        self.needs_reference = spec.needs_reference

    def read(self, sequences: tuple[Tokens, ...], longest: int) -> Pair:
        """The preferred answer and the other one, each behind the same input."""
        if len(sequences) != 2:
            raise UnreadableData(
                "The row has one answer; DPO takes rows with a preferred and another output. "
                "Use training_method sft, or another file."
            )
        chosen, rejected = (Example.of(sequence, longest) for sequence in sequences)
        return Pair(chosen, rejected)

    def divisor(self, rows: Sequence[Pair]) -> int:
        """The pairs."""
        return len(rows)

    def refer(self, scorer: Scorer, pieces: Pieces) -> None:
        """Keep the log-probabilities of the model that training starts from, in the pairs."""
        model = scorer.model
        was_training = model.training
        model.eval()
        try:
            with torch.no_grad(), reference_of(model):
                for pairs in pieces:
                    scores = _scores(scorer, pairs)
                    found = zip(scores.chosen.tolist(), scores.rejected.tolist(), strict=True)
                    for pair, reference in zip(pairs, found, strict=True):
                        pair.reference = reference
        finally:
            model.train(was_training)

    def loss(self, scorer: Scorer, rows: Sequence[Pair]) -> Loss:
        """The loss, and what the model prefers by now."""
        scores, device = _scores(scorer, rows), scorer.device
        sizes = sent(_n_trained(rows), device)
        chosen, rejected = (
            score - reference
            for score, reference in zip(scores, self._references(rows, device), strict=True)
        )
        per_token = sizes if self.by_length else torch.ones_like(sizes)
        means = chosen / per_token[0], rejected / per_token[1]
        losses = -logsigmoid(self.beta * (means[0] - means[1]) - self.gamma)
        if self.rpo_alpha:
            losses = losses - self.rpo_alpha * scores.chosen / sizes[0]
        weights = sent(torch.tensor([pair.weight for pair in rows]), device)
        if self.gamma:  # what it trains on: there is no reference that a sum could be compared with
            chosen, rejected = means
        with torch.no_grad():
            accurate = (chosen > rejected).sum()
            sums = self.beta * chosen.sum(), self.beta * rejected.sum(), accurate
        named = dict(zip(self.figures, sums, strict=True))
        return Loss((losses * weights).sum(), named, losses.detach())

    def _references(self, pairs: Sequence[Pair], device: str) -> _Scores:
        if not self.needs_reference:
            zeros = torch.zeros(len(pairs), device=device)
            return _Scores(zeros, zeros)
        known = [pair.reference for pair in pairs if pair.reference is not None]
        assert len(known) == len(pairs), "refer() comes before loss()"
        return _Scores(*sent(torch.tensor(known), device).T)


def _scores(scorer: Scorer, pairs: Sequence[Pair]) -> _Scores:
    """Both answers of all pairs at once."""
    losses = scorer.losses([[pair.chosen, pair.rejected] for pair in pairs])
    sums = losses.values.new_zeros(2 * len(pairs)).index_add(0, losses.sequence, losses.values)
    return _Scores(*(-sums).reshape(-1, 2).T)


def _n_trained(pairs: Sequence[Pair]) -> torch.Tensor:
    """(2, pairs) trained tokens of the chosen and the rejected answers, at least 1."""
    sizes = [[p.chosen.n_trained for p in pairs], [p.rejected.n_trained for p in pairs]]
    return torch.tensor(sizes, dtype=torch.float32).clamp(min=1)
