"""The trainer as a generator of events: the caller decides what an event is for."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ftlab.course import rate_at
from ftlab.data.chat import tokenise
from ftlab.data.rows import Rows, split
from ftlab.data.tokens import Tokenizer, load_tokenizer
from ftlab.errors import FtlabError
from ftlab.events import Checkpoint, Event, Log, Metrics, Status
from ftlab.files import existing, sha256_of
from ftlab.job import Job, LocalOptions
from ftlab.models import fetch
from ftlab.schedule import evaluation_steps, total_steps
from ftlab.spec import JobSpec, filled
from ftlab.train.batches import Examples, Pair, Row, pieces, some_rows, steps_of_epoch
from ftlab.train.checkpoints import save_tuned
from ftlab.train.methods import Method, method_of
from ftlab.train.methods.method import Loss
from ftlab.train.model import autocast, load_model, make_optimizer, trainable

Asked = Callable[[], str | None]
"""What a person asked of the run since it began: None, "stop" or "cancel"."""


@dataclass
class Trainer:
    """What the steps of one run share."""

    spec: JobSpec
    options: LocalOptions
    model: Any
    optimizer: torch.optim.Optimizer
    pad_id: int
    device: str

    @cached_property
    def method(self) -> Method:
        return method_of(self.spec)

    def pieces(self, rows: Sequence[Row]) -> Iterator[list[Row]]:
        """The rows in pieces that fit in memory."""
        return pieces(rows, self.options.micro_batch_size)

    def loss(self, piece: Sequence[Row]) -> Loss:
        """The method's loss of some rows, computed in the format of the device."""
        with autocast(self.spec, self.options, self.device):
            return self.method.loss(self.model, piece, self.pad_id, self.device)

    def refer(self, rows: Sequence[Row]) -> None:
        """Note what the model said of the rows before training, where nobody has yet."""
        if self.method.needs_reference:
            unseen = [row for row in rows if isinstance(row, Pair) and row.reference is None]
            if not unseen:
                return
            with autocast(self.spec, self.options, self.device):
                self.method.refer(self.model, self.pieces(unseen), self.pad_id, self.device)

    def step(self, rows: Sequence[Row], learning_rate: float) -> dict[str, float]:
        """One optimizer step; the loss is the mean over what the method counts."""
        began, loss, sums = time.perf_counter(), 0.0, Counter[str]()
        self.refer(rows)
        divisor = max(self.method.divisor(rows), 1)
        for piece in self.pieces(rows):
            found = self.loss(piece)
            part = found.total / divisor
            part.backward()
            loss += part.item()
            sums.update(found.sums)
        limit = self.spec.max_grad_norm or math.inf
        norm = torch.nn.utils.clip_grad_norm_(trainable(self.model), limit)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        values = {
            "train_loss": loss,
            "grad_norm": norm.item(),
            "learning_rate": learning_rate,
            "loss_tokens": sum(row.n_trained for row in rows),
            "tokens_per_second": sum(row.n_tokens for row in rows) / (time.perf_counter() - began),
            **_means(sums, divisor),
        }
        if self.device.startswith("cuda"):
            values["gpu_memory_gib"] = torch.cuda.max_memory_allocated(self.device) / 2**30
        return values

    def evaluate(
        self, step: int, rows: Examples | Sequence[Row], ends: Callable[[], bool]
    ) -> Iterator[Metrics]:
        """The mean loss (SFT: per trained token, in nats; DPO: per pair); nothing when it `ends`
        before it is known."""
        everything = [rows[i] for i in range(len(rows))]
        divisor, total, sums = max(self.method.divisor(everything), 1), 0.0, Counter[str]()
        self.model.eval()
        try:
            for piece in self.pieces(everything):  # rows of like length together: little padding
                if ends():
                    return
                self.refer(piece)
                with torch.no_grad():
                    found = self.loss(piece)
                total += found.total.item()
                sums.update(found.sums)
        finally:
            self.model.train()
        means = {f"eval_{name}": value for name, value in _means(sums, divisor).items()}
        yield Metrics(step=step, values={"eval_loss": total / divisor, **means})


def _means(sums: Mapping[str, float], divisor: int) -> dict[str, float]:
    return {name: value / divisor for name, value in sums.items()}


def train(job: Job, adapter: Path, device: str, asked: Asked) -> Iterator[Event]:
    """Train the job's adapter on `device` and save it to `adapter`, telling what happens.

    Ends with a Status: completed (also when asked to stop, with what was learned until then) or
    cancelled. Raises FtlabError with the three facts when the job can't run.
    """
    spec = job.spec
    trainer, training, validation, base, warnings = prepared(job, device)
    for warning in warnings:
        yield Log(level="warning", text=warning)
    n_steps = total_steps(len(training), rows_per_step(spec), spec.n_epochs, spec.max_steps)
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
    _check_unchanged(job)
    tokenizer = load_tokenizer(fetch(filled(spec.model, "model"), spec.hf_model_revision))
    training, validation = read_examples(spec, tokenizer, job.created_at.astimezone())
    training, left_out = _fitting(spec, training)
    warnings = [left_out] if left_out else []
    if spec.validation_split and validation is None:
        warnings.append(_nothing_held_back(spec, len(training)))
    model = load_model(spec, options, device)
    model.train()  # as it was loaded it answers: without dropout, and without checkpointing
    trainer = Trainer(spec, options, model, make_optimizer(model, spec), tokenizer.pad_id, device)
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


def all_steps(spec: JobSpec, training: Examples, n_steps: int) -> Iterator[list[Row]]:
    """The rows of each step of a run, in order."""
    seed = filled(spec.random_seed, "random_seed")
    left = n_steps
    for epoch in range(spec.n_epochs):
        for examples in steps_of_epoch(training, rows_per_step(spec), seed, epoch):
            if left == 0:
                return
            left -= 1
            yield examples


def rows_per_step(spec: JobSpec) -> int:
    """Rows of an optimizer step."""
    return int(spec.batch_size) * filled(
        spec.gradient_accumulation_steps, "gradient_accumulation_steps"
    )


# --- data ------------------------------------------------------------------------------------


def _check_unchanged(job: Job) -> None:
    """The rows must be those that were checked when the job was submitted."""
    checked = {
        job.spec.training_file: job.data_sha256,
        job.spec.validation_file: job.validation_sha256,
    }
    for name, digest in checked.items():
        if name is None or not digest:
            continue
        file = existing(name)
        if file is None or sha256_of(file) != digest:
            found = "is gone" if file is None else "has changed"
            raise FtlabError(
                f"{name} {found} since the job was submitted; a run takes the rows that were "
                "checked. Submit the job again to train on what is there now."
            )


def read_examples(
    spec: JobSpec, tokenizer: Tokenizer, now: datetime
) -> tuple[Examples, Examples | None]:
    """The training rows and the validation rows, if there are any, as the spec divides them."""
    rows = Rows(Path(filled(spec.training_file, "training_file")))
    method, length = method_of(spec), spec.max_seq_length or 2**31
    inputs = spec.train_on_inputs or "auto"

    def as_trained(row: dict[str, Any]) -> Row:
        return method.read(tokenise(row, tokenizer, inputs, now=now), length)

    places, held_back = list(range(len(rows))), list[int]()
    if spec.validation_split:
        places, held_back = split(rows, spec.validation_split)
    places = some_rows(places, spec.max_train_rows, filled(spec.random_seed, "random_seed"))
    training = Examples(rows, places, as_trained)
    if not len(training):
        raise FtlabError(
            f"No row of {rows.path.name} is left to train on; equal rows go to one side of "
            f"validation_split {spec.validation_split}. Give a validation_file instead, or more "
            "different rows."
        )
    if spec.validation_file:
        others = Rows(Path(spec.validation_file))
        return training, Examples(others, range(len(others)), as_trained)
    return training, Examples(rows, held_back, as_trained) if held_back else None


def _nothing_held_back(spec: JobSpec, n_rows: int) -> str:
    return (
        f"validation_split {spec.validation_split} holds none of the {n_rows} rows back, so that "
        "nothing is evaluated; equal rows go to one side. Raise it, or give a validation_file."
    )


def _fitting(spec: JobSpec, training: Examples) -> tuple[Examples, str]:
    """The rows to train on, and what is to be said about those that are too long."""
    lines = [] if spec.over_length == "truncate" else training.too_long()
    if not lines:
        return training, ""
    found = f"{len(lines)} rows are longer than max_seq_length {spec.max_seq_length}"
    if spec.over_length == "stop":
        raise FtlabError(
            f"{found} (line {lines[0]} is the first) and over_length is stop. Raise "
            "max_seq_length, shorten the rows, or set over_length to truncate or drop."
        )
    kept = training.without_too_long()
    if not len(kept):
        raise FtlabError(f"{found}, so that none is left. Raise max_seq_length.")
    return kept, f"{found} and are left out, the first on line {lines[0]}."


def _described(model: Any, device: str) -> Log:
    n_trained = sum(parameter.numel() for parameter in trainable(model))
    n_all = sum(parameter.numel() for parameter in model.parameters())
    dtype = str(next(model.parameters()).dtype).removeprefix("torch.")
    return Log(text=f"Training {n_trained:,} of {n_all:,} parameters on {device} in {dtype}.")
