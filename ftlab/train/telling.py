"""What steps say of themselves once a GPU has made it, and what else a person should be told."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from ftlab.errors import FtlabError
from ftlab.events import Event, Log, Metrics, RowLosses
from ftlab.train.steps import Told, rounded
from ftlab.train.trainer import Trainer


class Telling:
    """The last step's figures are told when the next one is under way, or when somebody needs them
    told."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._untold: Callable[[], tuple[int, float, Told]] | None = None

    def keep(self, step: int, epoch: float, read: Callable[[], Told]) -> None:
        """A step that was launched, whose figures are known when they are read."""
        self._untold = lambda: (step, epoch, read())

    def told(self) -> Iterator[Event | RowLosses]:
        """The figures of the last step, where they are not told yet. Raises FtlabError where its
        loss is no number."""
        yield from self.noted()
        if self._untold is None:
            return
        step, epoch, (values, hardest) = self._untold()
        self._untold = None
        yield Metrics(step=step, values={**values, "epoch": epoch})
        lines, losses = zip(*((line, rounded(loss)) for line, loss in hardest), strict=True)
        yield RowLosses(step=step, file="training", lines=lines, losses=losses)
        watched = {"loss": values["train_loss"]}
        if not self._trainer.scaler.is_enabled():  # it passes over such gradients by itself
            watched["gradient's norm"] = values["grad_norm"]
        if bad := [(name, value) for name, value in watched.items() if not math.isfinite(value)]:
            raise FtlabError(
                f"The {bad[0][0]} became {bad[0][1]} at step {step}; it must stay a number. "
                "Lower the learning rate to a tenth, and check the rows of that step."
            )

    def noted(self) -> Iterator[Log]:
        """What the trainer wants a person to know."""
        yield from [Log(level="warning", text=note) for note in self._trainer.notes]
        self._trainer.notes.clear()
