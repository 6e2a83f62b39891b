"""Curve: what a diagnosis knows of a run, whatever the run was: its measurements and its job."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

from ftlab.diagnosis.tried import Tried
from ftlab.spec import JobSpec

NO_SPEC = JobSpec.model_validate({})
USUAL_SPREAD = 3.0
"""Factor either way within which a recommended learning rate may be off, where nobody says."""


@dataclass(frozen=True)
class Curve:
    """Measurements by step; what was not measured is empty, and what is not known is None."""

    steps: Sequence[int]
    """Optimizer steps done, rising."""
    train_loss: Sequence[float]
    """Of each of `steps`, in nats per trained token; may be no number."""
    eval_loss: Mapping[int, float] = field(default_factory=dict)
    """By step; 0 is before the first."""
    grad_norm: Sequence[float] = ()
    """Before clipping, of each of `steps`, as are those below; nan where one is missing."""
    learning_rate: Sequence[float] = ()
    loss_tokens: Sequence[float] = ()
    """Tokens that trained in the step."""
    tokens_per_second: Sequence[float] = ()
    memory_gib: Sequence[float] = ()
    """Resident, of the process."""
    gpu_memory_gib: Sequence[float] = ()
    """Of the GPU: in use after the step, or the most so far where that is not told."""
    utilization: Sequence[float] = ()
    """Percent of what the GPU can do."""
    seconds: Sequence[float] = ()
    """Of the whole step."""
    loader_seconds: Sequence[float] = ()
    """Of those, the seconds that it waited for its rows."""
    vocab_size: int | None = None
    steps_per_epoch: float | None = None
    batch_size: int | None = None
    recommended_lr: float | None = None
    recommended_spread: float = USUAL_SPREAD
    """Factor either way within which the recommendation may be off."""
    n_steps: int | None = None
    """Planned; None where that is not known, and the last of `steps` is taken for the end."""
    is_over: bool = True
    """Whether no further step follows."""
    spec: JobSpec = NO_SPEC
    """The job, as far as it is known."""
    tried: Sequence[Tried] = ()
    """Other learning rates that were measured on the same job."""
    samples: Sequence[str] = ()
    """What the model answered the last time that it was asked."""
    failure: str = ""
    """Why the run failed, if it did."""

    @cached_property
    def n(self) -> int:
        """Steps with a loss."""
        return len(self.steps)

    @cached_property
    def stride(self) -> int:
        """Steps from one loss to the next, as a rule."""
        apart = sorted(b - a for a, b in pairwise(self.steps))
        return max(apart[len(apart) // 2], 1) if apart else 1

    @cached_property
    def evaluations(self) -> list[tuple[int, float]]:
        """(step, eval_loss) after the first step, rising."""
        return sorted((step, loss) for step, loss in self.eval_loss.items() if step > 0)

    @cached_property
    def peak_lr(self) -> float | None:
        """That of the job, as somebody wrote it; the highest that was told where nobody knows."""
        return self.spec.learning_rate or max(self._rates, default=None)

    @property
    def _rates(self) -> list[float]:
        return [rate for rate in self.learning_rate if rate > 0]

    @cached_property
    def ratio(self) -> float | None:
        """The learning rate as a multiple of the recommended one."""
        if not self.peak_lr or not self.recommended_lr:
            return None
        return self.peak_lr / self.recommended_lr

    @cached_property
    def warmup(self) -> int:
        """How many of the first steps had a lower learning rate because it was still rising."""
        rates, highest = self.learning_rate, max(self._rates, default=None)
        if not rates or highest is None:
            return 0
        rising = 0
        while rising < len(rates) - 1 and rates[rising] < rates[rising + 1]:
            rising += 1
        return rising if rates[rising] >= 0.99 * highest else 0

    @cached_property
    def share_done(self) -> float:
        """Of the planned steps, 0 to 1."""
        last = self.steps[-1] if self.steps else 0
        return min(last / self.n_steps, 1.0) if self.n_steps else 1.0

    @cached_property
    def uniform(self) -> float | None:
        """The loss of a guess that takes all tokens for equally likely: ln of their number."""
        return math.log(self.vocab_size) if self.vocab_size else None

    @property
    def n_epochs(self) -> float | None:
        """Epochs that were done; None where their length is not known."""
        if not self.steps_per_epoch or not self.steps:
            return None
        return self.steps[-1] / self.steps_per_epoch
