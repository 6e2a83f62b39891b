"""Looks at a model on its way: the validation loss, and the answers to the sample prompts."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Generator, Iterable
from typing import TYPE_CHECKING, Any

from ftlab.events import Event, Metrics, RowLosses, Sample
from ftlab.train.evaluating import evaluated
from ftlab.train.position import Position, judged
from ftlab.train.telling import Telling

if TYPE_CHECKING:
    from ftlab.train.loop import Prepared

Asked = Callable[[], str | None]
"""What a person asked of the run since it began: None, "pause", "stop" or "cancel"."""
Look = Generator[Event | RowLosses, None, Position]
"""What it finds, and the position of the run after it."""


class Looks:
    """When a run is looked at, and what is found."""

    def __init__(
        self,
        ready: Prepared,
        validation: Any,
        asked: Asked,
        telling: Telling,
        evaluations: Collection[int],
        n_steps: int,
    ) -> None:
        """`validation` are the rows of the evaluations, where there are any."""
        self.ready, self.validation, self.asked, self.telling = ready, validation, asked, telling
        self.trainer, self.spec = ready.trainer, ready.trainer.spec
        self.evaluations = {*evaluations} if validation else set[int]()
        sampled = self.evaluations or {0, n_steps}
        self.samples = sampled if self.spec.sample_prompts else set[int]()

    def are_done(self, position: Position) -> bool:
        """Whether nothing of the present step was broken off."""
        step = position.step
        measured = step not in self.evaluations or position.evaluated == step
        return measured and (step not in self.samples or position.sampled == step)

    def taken(self, position: Position, request: str | None = None) -> Look:
        """The validation loss and the answers where they are due or `request` asks for them, unless
        something else is asked for on the way."""
        position = yield from self._measured(position, request)
        return (yield from self._sampled(position, request))

    def _measured(self, position: Position, request: str | None) -> Look:
        step = position.step
        due = step in self.evaluations or (request and self.validation)
        if not due or position.evaluated == step:
            return position
        yield from self.telling.told()
        for found in self._found(step, lambda: self._is_asked_beside(request)):
            if isinstance(found, Metrics):
                position = self._judged(position, found)
            yield found
        return position

    def _found(self, step: int, ends: Callable[[], bool]) -> Iterable[Metrics | RowLosses]:
        """What an evaluation says; that before the first step may be known from another run."""
        if step:
            return evaluated(self.trainer, step, self.validation, ends)
        known = self.ready.before
        if not known:
            known += evaluated(self.trainer, step, self.validation, ends)
        return [event.model_copy(update={"time": time.time()}) for event in known]

    def _judged(self, position: Position, metrics: Metrics) -> Position:
        step, verdicts = metrics.step, position.verdicts
        if step:  # before the first step there is nothing to judge
            verdicts = judged(verdicts, self.spec, step, metrics.values["eval_loss"])
        return position.model_copy(update={"evaluated": step, "verdicts": verdicts})

    def _sampled(self, position: Position, request: str | None) -> Look:
        """An answer to each sample prompt, under the same conditions; all of them or none."""
        step = position.step
        due = step in self.samples or (request and self.samples)
        if not due or position.sampled == step:
            return position
        yield from self.telling.told()
        texts = self.ready.sampler.answers(self.trainer, lambda: self._is_asked_beside(request))
        yield from self.telling.noted()
        if texts is None:
            return position
        position = position.model_copy(update={"sampled": step})
        for prompt, text in zip(self.spec.sample_prompts, texts, strict=True):
            yield Sample(step=step, prompt=prompt, text=text)
        return position

    def _is_asked_beside(self, request: str | None) -> bool:
        """Whether anything else than `request` is asked of the run."""
        return self.asked() not in (None, request)
