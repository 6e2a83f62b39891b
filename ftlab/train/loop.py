"""The trainer as a generator of events: the caller decides what an event is for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ftlab.data.tokens import Tokenizer, load_tokenizer
from ftlab.events import Event, Log, Metrics, RowLosses, Status
from ftlab.job import Job, LocalOptions
from ftlab.models import fetch
from ftlab.spec import filled
from ftlab.train.batches import Examples
from ftlab.train.finding import scorer_for
from ftlab.train.fused import fuse
from ftlab.train.liger import quickened
from ftlab.train.model import (
    autocast,
    choose_dtype,
    gradient_scaler,
    load_model,
    make_optimizer,
    trainable,
)
from ftlab.train.parallel import Room
from ftlab.train.passes import shorten
from ftlab.train.reading import check_unchanged, fitting, nothing_held_back, read_examples
from ftlab.train.samples import Sampler
from ftlab.train.saving import Saving
from ftlab.train.sharded import in_each
from ftlab.train.trainer import Trainer
from ftlab.train.training import Asked, Training


def train(
    job: Job,
    adapter: Path,
    device: str,
    asked: Asked,
    saving: Saving | None = None,
    attempt: int = 1,
    room: Room | None = None,
) -> Iterator[Event | RowLosses]:
    """Train the job's adapter on `device` and save it to `adapter`, telling what happens.

    Goes on from the newest whole state that `saving` finds. Ends with a Status: completed (also
    when asked to stop, with what was learned until then), paused or cancelled. Raises FtlabError
    with the three facts when the job can't run.
    """
    room = room or Room()
    with room.noticing():
        training = Training(
            prepared(job, device, room), asked, saving or Saving(adapter.with_name("checkpoints"))
        )
        yield from begun(training, attempt)
        yield from training.steps()
        yield from training.ended(adapter)
    room.leave()


def begun(training: Training, attempt: int) -> Iterator[Event | RowLosses]:
    """All that comes before the first step of a process."""
    yield Status(status="running", n_steps=training.n_steps, from_step=training.position.step)
    if attempt > 1 and training.resumed is None:
        yield Log(
            level="warning",
            text="There is no whole checkpoint; a run goes on from whole ones alone, so training "
            "begins at step 0 again. Let it run, or cancel it.",
        )
    yield from training.began()


class Read(NamedTuple):
    """What a job trains on, and what is asked of its model on the way."""

    training: Examples
    validation: Examples | None
    tokenizer: Tokenizer
    warnings: list[str]
    sampler: Sampler


class Prepared(NamedTuple):
    """A job that is ready for its first step."""

    trainer: Trainer
    training: Examples
    validation: Examples | None
    base: Path
    """The folder of the base model."""
    warnings: list[str]
    sampler: Sampler
    before: list[Metrics | RowLosses]
    """What the evaluation before the first step found; empty until then."""

    @classmethod
    def of(
        cls, trainer: Trainer, found: Read, before: list[Metrics | RowLosses] | None = None
    ) -> Prepared:
        """Rows and what trains on them."""
        training, validation, tokenizer, warnings, sampler = found
        known = [] if before is None else before
        return cls(trainer, training, validation, tokenizer.folder, warnings, sampler, known)


def prepared(job: Job, device: str, room: Room | None = None) -> Prepared:
    """The rows and the model of a job. Raises FtlabError when it can't run."""
    room = room or Room()
    torch.manual_seed(filled(job.spec.random_seed, "random_seed"))
    found = read(job)
    if room.size > 1:
        room.tell("make", text=_told(job, device, found.tokenizer.pad_id))
    return Prepared.of(made(job, device, found.tokenizer.pad_id, room), found)


def read(job: Job) -> Read:
    """The rows of a job, as they were when it was submitted. Raises FtlabError when it can't have
    them."""
    spec, now = job.spec, job.created_at.astimezone()
    check_unchanged(job)
    tokenizer = load_tokenizer(fetch(filled(spec.model, "model"), spec.hf_model_revision))
    sampler = Sampler(spec.sample_prompts, tokenizer, now)
    training, validation = read_examples(spec, tokenizer, now)
    training, left_out = fitting(spec, training)
    warnings = [left_out] if left_out else []
    if spec.packing:
        training.pack(filled(spec.max_seq_length, "max_seq_length"))
    if spec.validation_split and validation is None:
        warnings.append(nothing_held_back(spec, len(training)))
    return Read(training, validation, tokenizer, warnings, sampler)


def _told(job: Job, device: str, pad_id: int) -> str:
    """What the other processes need to make the same; they don't measure which format is best."""
    dtype = str(choose_dtype(job.spec, LocalOptions(**job.options), device))
    options = {**job.options, "dtype": dtype.removeprefix("torch.")}
    same = job.model_copy(update={"options": options})
    return json.dumps({"job": same.model_dump(mode="json"), "device": device, "pad_id": pad_id})


def made(job: Job, device: str, pad_id: int, room: Room, bare: Any = None) -> Trainer:
    """The model of a job and what trains it, the same in all processes of the room; `bare` is its
    base model where that is loaded."""
    spec, options = job.spec, LocalOptions(**job.options)
    if room.size == 1:  # a share of 1/1 is the whole
        options = options.model_copy(update={"shard": False})
    room.share_machine(device)
    model = load_model(spec, options, device, bare)
    if device == "cpu":
        shorten(model)  # while its norms' weights are whole
    if options.shard:
        from ftlab.train.sharded import shard

        shard(model, spec, device, choose_dtype(spec, options, device))
    model.train()  # as it was loaded it answers: without dropout, and without checkpointing
    fuse(model)
    with autocast(spec, options, device):
        scorer = quickened(scorer_for(model, pad_id, device), room)
    trainer = Trainer(spec, options, scorer, make_optimizer(model, spec), room)
    trainer.scaler = gradient_scaler(spec, options, device)
    room.make_equal(in_each(trainable(model)))
    return trainer
