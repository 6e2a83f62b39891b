"""The trainer as a generator of events: the caller decides what an event is for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ftlab.course import rate_at
from ftlab.data.tokens import load_tokenizer
from ftlab.errors import FtlabError
from ftlab.events import Checkpoint, Event, Log, Metrics, Status
from ftlab.job import Job, LocalOptions
from ftlab.models import fetch
from ftlab.schedule import evaluation_steps, total_steps
from ftlab.spec import filled
from ftlab.train.batches import Examples
from ftlab.train.checkpoints import save_tuned
from ftlab.train.fused import fuse
from ftlab.train.model import gradient_scaler, load_model, make_optimizer, trainable
from ftlab.train.reading import (
    all_steps,
    check_unchanged,
    fitting,
    nothing_held_back,
    read_examples,
    sequences_per_step,
)
from ftlab.train.scoring import scorer_for
from ftlab.train.trainer import Trainer

Asked = Callable[[], str | None]
"""What a person asked of the run since it began: None, "stop" or "cancel"."""


def train(job: Job, adapter: Path, device: str, asked: Asked) -> Iterator[Event]:
    """Train the job's adapter on `device` and save it to `adapter`, telling what happens.

    Ends with a Status: completed (also when asked to stop, with what was learned until then) or
    cancelled. Raises FtlabError with the three facts when the job can't run.
    """
    spec = job.spec
    trainer, training, validation, base, warnings = prepared(job, device)
    for warning in warnings:
        yield Log(level="warning", text=warning)
    n_steps = total_steps(
        training.n_sequences, sequences_per_step(spec), spec.n_epochs, spec.max_steps
    )
    yield Status(status="running", n_steps=n_steps)
    yield _described(trainer.model, device)
    status, detail, step = yield from _steps(trainer, training, validation, n_steps, asked)
    if status != "cancelled":
        save_tuned(trainer.model, adapter, base)
        yield Checkpoint(step=step, ref=adapter.name)
        if training.n_cut:
            yield Log(
                level="warning",
                text=f"{training.n_cut:,} of {len(training):,} rows were cut at "
                f"{spec.max_seq_length:,} tokens.",
            )
    yield Status(status=status, detail=detail)


class Prepared(NamedTuple):
    """A job that is ready for its first step."""

    trainer: Trainer
    training: Examples
    validation: Examples | None
    base: Path
    """The folder of the base model."""
    warnings: list[str]


def prepared(job: Job, device: str) -> Prepared:
    """The rows and the model of a job. Raises FtlabError when it can't run."""
    spec, options = job.spec, LocalOptions(**job.options)
    torch.manual_seed(filled(spec.random_seed, "random_seed"))
    check_unchanged(job)
    tokenizer = load_tokenizer(fetch(filled(spec.model, "model"), spec.hf_model_revision))
    training, validation = read_examples(spec, tokenizer, job.created_at.astimezone())
    training, left_out = fitting(spec, training)
    warnings = [left_out] if left_out else []
    if spec.packing:
        training.pack(filled(spec.max_seq_length, "max_seq_length"))
    if spec.validation_split and validation is None:
        warnings.append(nothing_held_back(spec, len(training)))
    model = load_model(spec, options, device)
    model.train()  # as it was loaded it answers: without dropout, and without checkpointing
    fuse(model)
    scorer = scorer_for(model, tokenizer.pad_id, device)
    trainer = Trainer(spec, options, scorer, make_optimizer(model, spec))
    trainer.scaler = gradient_scaler(spec, options, device)
    return Prepared(trainer, training, validation, tokenizer.folder, warnings)


def _steps(
    trainer: Trainer, training: Examples, validation: Examples | None, n_steps: int, asked: Asked
) -> Iterator[Any]:
    """All steps and evaluations; returns the status that the run ends with, why, and its step."""
    spec = trainer.spec
    measured = -1
    evaluations = {0, *evaluation_steps(n_steps, spec.n_evals or 0)} if validation else set[int]()

    def evaluated(step: int, request: str | None = None) -> Iterator[Metrics]:
        """The validation loss, unless something else than `request` is asked for on the way."""
        nonlocal measured
        if validation:
            for metrics in trainer.evaluate(
                step, validation, lambda: asked() not in (None, request)
            ):
                measured = step
                yield metrics

    yield from evaluated(0)
    if spec.lora is False and spec.needs_reference:  # later the model that it started from is gone
        yield Log(text="Looking at all rows that will train, with the model as it is now.")
        for rows in all_steps(spec, training, n_steps):
            if asked() is not None:
                break
            trainer.refer(rows)
    trainer.model.train()
    torch.manual_seed(filled(spec.random_seed, "random_seed"))  # dropout starts here, always alike
    seen = done = 0
    for step, examples in enumerate(all_steps(spec, training, n_steps), start=1):
        if asked() is not None:
            break
        values = trainer.step(examples, rate_at(spec, step - 1, n_steps))
        seen += len(examples)
        values["epoch"] = seen / len(training)
        yield Metrics(step=step, values=values)
        if not math.isfinite(values["train_loss"]):
            raise FtlabError(
                f"The loss became {values['train_loss']} at step {step}; it must stay a number. "
                "Lower the learning rate to a tenth, and check the rows of that step."
            )
        done = step
        if step in evaluations:
            yield from evaluated(step)
    if asked() == "stop" and measured != done:
        yield from evaluated(done, "stop")
    if asked() == "cancel":
        return "cancelled", f"cancelled at step {done} of {n_steps}", done
    return "completed", f"stopped at step {done} of {n_steps}" if done < n_steps else "", done


def _described(model: Any, device: str) -> Log:
    n_trained = sum(parameter.numel() for parameter in trainable(model))
    n_all = sum(parameter.numel() for parameter in model.parameters())
    dtype = str(next(model.parameters()).dtype).removeprefix("torch.")
    return Log(text=f"Training {n_trained:,} of {n_all:,} parameters on {device} in {dtype}.")
