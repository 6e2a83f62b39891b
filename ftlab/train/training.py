"""A training on its way: its steps and states, and what is kept of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ftlab.course import course, rate_at
from ftlab.events import Checkpoint, Event, Log, RowLosses, Status
from ftlab.run_folder import RECORDED
from ftlab.spec import filled
from ftlab.train.batches import Examples
from ftlab.train.checkpoints import copy_tuned, keep_only, save_tuned
from ftlab.train.looks import Asked as Asked
from ftlab.train.looks import Looks
from ftlab.train.model import trainable
from ftlab.train.position import is_enough
from ftlab.train.reading import all_steps, steps_of
from ftlab.train.recorded import fixed_prompts, keep_recorded, recorded
from ftlab.train.references import Referred
from ftlab.train.rehearsal import rehearsed
from ftlab.train.saving import Saving, rows_cut, warnings
from ftlab.train.sharded import all_weights
from ftlab.train.states import load_references, load_state
from ftlab.train.telling import Telling
from ftlab.train.trainer import Trainer

if TYPE_CHECKING:
    from ftlab.train.loop import Prepared


class Training:
    """A run on its way, from the step where it stands to its end."""

    def __init__(self, ready: Prepared, asked: Asked, saving: Saving) -> None:
        self.ready, self.asked, self.saving = ready, asked, saving
        self.trainer, self.spec = ready.trainer, ready.trainer.spec
        self.telling = Telling(self.trainer)
        self.position, self.resumed, self.problems = saving.newest()
        self.training: Any = self._with_references("training", ready.training)
        self.validation: Any = self._with_references("validation", ready.validation)
        self.n_steps = steps_of(self.spec, ready.training)
        planned = course(self.spec, self.n_steps)
        self.checkpoints = {*planned.checkpoints}
        due, n = planned.evaluations, self.n_steps
        self.looks = Looks(ready, self.validation, asked, self.telling, due, n)

    # --- the three parts of a run ----------------------------------------------------------------

    def began(self) -> Iterator[Event | RowLosses]:
        """All that comes before the first step of this process."""
        yield from warnings((*self.problems, *self.ready.warnings))
        yield _described(self.trainer)
        if self.resumed is None:
            yield from self._looked_at()
            yield from self._rows_looked_at()
        self.trainer.model.train()
        if self.resumed is None and self.trainer.rehearses:
            rehearsed(self.trainer, self.ready.training)
            yield from self.telling.noted()
        torch.manual_seed(filled(self.spec.random_seed, "random_seed"))  # dropout starts here
        if self.resumed is not None:
            piece_tokens = self.position.piece_tokens or self.trainer.piece_tokens
            folder = str(self.resumed.absolute())
            self.trainer.room.tell("load", text=folder, piece_tokens=piece_tokens)
            load_state(self.resumed, self.trainer)
            self.trainer.piece_tokens = piece_tokens
            yield Log(text=f"Going on from the checkpoint of step {self.position.step:,}.")
            yield from self.saving.told(self.position.step, self._wanted)
            yield from self._looked_at()

    def steps(self, until: int | None = None) -> Iterator[Event | RowLosses]:
        """The steps from here to `until` or to the end, with the evaluations and checkpoints
        between them."""
        until = self.n_steps if until is None else min(until, self.n_steps)
        while self.position.step < until and self.asked() is None and not self.stops_early:
            asked_at = time.perf_counter()
            rows = next(self._rows)
            yield from self._step(rows, time.perf_counter() - asked_at)
            yield from self._looked_at()
            yield from self._saved_if_due()
        yield from self.telling.told()

    def ended(self, adapter: Path, why: str = "") -> Iterator[Event | RowLosses]:
        """Keep what is to be kept, and say how the run ended, and `why` where it was stopped."""
        request, step = self.asked(), self.position.step
        of = f"at step {step:,} of {self.n_steps:,}"
        if request == "cancel":
            keep_only(self.saving.folder, ())
            yield Status(status="cancelled", detail=f"cancelled {of}")
        elif request == "pause" and not self.is_over:
            if step:
                yield from self.saved()
            yield Status(status="paused", detail=f"paused {of}")
        else:
            if request == "stop":
                yield from self._looked_at("stop")
            yield from self._kept(adapter, why)

    @property
    def stops_early(self) -> bool:
        return is_enough(self.position.verdicts, self.spec)

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to do."""
        return self.stops_early or (self.position.step == self.n_steps and self.is_settled)

    @property
    def is_settled(self) -> bool:
        """Whether nothing of the present step was broken off."""
        return self.looks.are_done(self.position)

    @property
    def evaluations(self) -> set[int]:
        """The steps after which it is evaluated."""
        return self.looks.evaluations

    # --- what they are made of -------------------------------------------------------------------

    def _step(self, rows: list[Any], waited: float) -> Iterator[Event | RowLosses]:
        """One optimizer step, whose rows took `waited` seconds to come. What a GPU made of it is
        told when the next one is under way."""
        step, seen = self.position.step + 1, self.position.rows_seen + len(rows)
        rate = rate_at(self.spec, step - 1, self.n_steps)
        read = self.trainer.launch(rows, rate, waited)
        yield from self.telling.told()
        self.telling.keep(step, seen / len(self.training), read)
        self.position = self.position.model_copy(update={"step": step, "rows_seen": seen})
        if not self.trainer.works_ahead:
            yield from self.telling.told()

    def _looked_at(self, request: str | None = None) -> Iterator[Event | RowLosses]:
        """The validation loss and the answers to the sample prompts, where they are due."""
        self.position = yield from self.looks.taken(self.position, request)

    def _saved_if_due(self) -> Iterator[Event | RowLosses]:
        """At the end there is what was tuned; a state of that step would only be another copy."""
        step = self.position.step
        if step < self.n_steps and (step in self._wanted or self.saving.is_due()):
            yield from self.saved_if_possible()

    def saved_if_possible(self) -> Iterator[Event | RowLosses]:
        """Save all that the steps to come depend on, or say why that is put off."""
        try:
            yield from self.saved()
        except OSError as exc:
            yield self.saving.put_off(exc)

    def saved(self) -> Iterator[Event | RowLosses]:
        """Save all that the steps to come depend on."""
        yield from self.telling.told()
        self.position = self.position.model_copy(
            update={"n_cut": self._n_cut, "piece_tokens": self.trainer.piece_tokens}
        )
        named = {"training": self.training, "validation": self.validation}
        references = {n: rows.references for n, rows in named.items() if isinstance(rows, Referred)}
        yield from self.saving.save(
            *(self.trainer, self.ready.base, self.position, references, self._wanted),
            self._recorded,
        )

    @cached_property
    def _rows(self) -> Iterator[list[Any]]:
        """Of each step from the first of this process on."""
        return all_steps(self.spec, self.training, self.n_steps, self.position.step)

    @property
    def _n_cut(self) -> int:
        return max(self.position.n_cut, self.ready.training.n_cut)

    @property
    def _wanted(self) -> set[int]:
        """The steps whose states stay: those that were asked for, and the best."""
        best = self.position.verdicts.best_step
        return self.checkpoints if best is None else {*self.checkpoints, best}

    def _kept(self, adapter: Path, why: str) -> Iterator[Event]:
        """Save what was tuned: as it is now, or as it was where early stopping found it best."""
        best = self.saving.best(self.spec, self.position)
        weights = all_weights(self.trainer) if best.folder is None else None
        said = self._recorded() if best.folder is None else best.folder
        self.trainer.room.leave()  # it may take long, and nobody else is needed
        keep_recorded(said, adapter.with_name(RECORDED))
        if best.folder is None:
            save_tuned(self.trainer.model, adapter, self.ready.base, weights)
        else:
            copy_tuned(best.folder, adapter)
        yield Checkpoint(step=best.step, ref=adapter.name)
        keep_only(self.saving.folder, self._wanted)
        # Of a run that was resumed, the rows of the steps before were not read again.
        said = (best.problem, rows_cut(self._n_cut, self.spec, at_least=self.resumed is not None))
        yield from warnings(text for text in said if text)
        detail = best.ending(self.position.step, self.n_steps, why)
        yield Status(status="completed", detail=detail)

    def _recorded(self) -> bytes:
        """What the model says now of some fixed prompts."""
        return recorded(self.trainer, self._prompts)

    @cached_property
    def _prompts(self) -> list[list[int]]:
        ready = self.ready
        return fixed_prompts(ready.sampler.prompts, ready.validation or ready.training)

    def _rows_looked_at(self) -> Iterator[Log]:
        """Where all weights train, the model that they started from is gone later."""
        if self.spec.lora is not False or not self.spec.needs_reference:
            return
        yield Log(text="Looking at all rows that will train, with the model as it is now.")
        for rows in all_steps(self.spec, self.training, self.n_steps):
            if self.asked() is not None:
                return
            self.trainer.refer(rows)

    def _with_references(self, of: str, rows: Examples | None) -> Any:
        """The rows, with what the model said of them before training where that was saved."""
        if rows is None or not self.spec.needs_reference:
            return rows
        known = {} if self.resumed is None else load_references(self.resumed, of)
        return Referred(rows, known)


def _described(trainer: Trainer) -> Log:
    model = trainer.model
    n_trained = sum(parameter.numel() for parameter in trainable(model))
    n_all = trainer.scorer.inner.num_parameters()  # which knows how many a packed byte holds
    dtype = str(next(model.parameters()).dtype).removeprefix("torch.")
    return Log(
        text=f"Training {n_trained:,} of {n_all:,} parameters on {trainer.device} in {dtype}. "
        + trainer.scorer.in_words
    )
