"""The trainer as a generator of events: the caller decides what an event is for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch

from ftlab.data.tokens import load_tokenizer
from ftlab.events import Event, Log, RowLosses, Status
from ftlab.job import Job, LocalOptions
from ftlab.models import fetch
from ftlab.spec import filled
from ftlab.train.batches import Examples
from ftlab.train.fused import fuse
from ftlab.train.model import gradient_scaler, load_model, make_optimizer
from ftlab.train.reading import check_unchanged, fitting, nothing_held_back, read_examples
from ftlab.train.samples import Sampler
from ftlab.train.saving import Saving
from ftlab.train.scoring import scorer_for
from ftlab.train.trainer import Trainer
from ftlab.train.training import Asked, Training


def train(
    job: Job,
    adapter: Path,
    device: str,
    asked: Asked,
    saving: Saving | None = None,
    attempt: int = 1,
) -> Iterator[Event | RowLosses]:
    """Train the job's adapter on `device` and save it to `adapter`, telling what happens.

    Goes on from the newest whole state that `saving` finds. Ends with a Status: completed (also
    when asked to stop, with what was learned until then), paused or cancelled. Raises FtlabError
    with the three facts when the job can't run.
    """
    ready = prepared(job, device)
    run = Training(ready, asked, saving or Saving(adapter.with_name("checkpoints")))
    yield Status(status="running", n_steps=run.n_steps, from_step=run.position.step)
    if attempt > 1 and run.resumed is None:
        yield Log(
            level="warning",
            text="There is no whole checkpoint; a run goes on from whole ones alone, so training "
            "begins at step 0 again. Let it run, or cancel it.",
        )
    yield from run.began()
    yield from run.steps()
    yield from run.ended(adapter)


class Prepared(NamedTuple):
    """A job that is ready for its first step."""

    trainer: Trainer
    training: Examples
    validation: Examples | None
    base: Path
    """The folder of the base model."""
    warnings: list[str]
    sampler: Sampler


def prepared(job: Job, device: str) -> Prepared:
    """The rows and the model of a job. Raises FtlabError when it can't run."""
    spec, options = job.spec, LocalOptions(**job.options)
    torch.manual_seed(filled(spec.random_seed, "random_seed"))
    check_unchanged(job)
    now = job.created_at.astimezone()
    tokenizer = load_tokenizer(fetch(filled(spec.model, "model"), spec.hf_model_revision))
    sampler = Sampler(spec.sample_prompts, tokenizer, now)
    training, validation = read_examples(spec, tokenizer, now)
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
    return Prepared(trainer, training, validation, tokenizer.folder, warnings, sampler)
