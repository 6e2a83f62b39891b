"""The rows that a job trains on and is measured on, and which of them each step sees."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from ftlab.data.chat import tokenise
from ftlab.data.rows import Rows, split
from ftlab.data.tokens import Tokenizer
from ftlab.errors import FtlabError
from ftlab.files import existing, sha256_of
from ftlab.job import Job
from ftlab.schedule import total_steps
from ftlab.spec import JobSpec, filled
from ftlab.train.batches import Examples, Row, some_rows, steps_of_epoch
from ftlab.train.methods import method_of


def check_unchanged(job: Job) -> None:
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


def nothing_held_back(spec: JobSpec, n_rows: int) -> str:
    return (
        f"validation_split {spec.validation_split} holds none of the {n_rows} rows back, so that "
        "nothing is evaluated; equal rows go to one side. Raise it, or give a validation_file."
    )


def fitting(spec: JobSpec, training: Examples) -> tuple[Examples, str]:
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
        raise FtlabError(
            f"{found}, so that none is left; a run needs a row that fits. Raise max_seq_length, "
            "shorten the rows, or set over_length to truncate."
        )
    return kept, f"{found} and are left out, the first on line {lines[0]}."


def all_steps(
    spec: JobSpec, training: Examples, n_steps: int, start: int = 0
) -> Iterator[list[Row]]:
    """The rows of each step of a run, in order; from the `start`-th (from 0) on, without looking at
    those before."""
    seed, per_step = filled(spec.random_seed, "random_seed"), sequences_per_step(spec)
    per_epoch = -(-training.n_sequences // per_step)
    for epoch in range(start // per_epoch, spec.n_epochs):
        first = max(start - epoch * per_epoch, 0)
        left = n_steps - epoch * per_epoch - first
        yield from islice(steps_of_epoch(training, per_step, seed, epoch, first), max(left, 0))


def steps_of(spec: JobSpec, training: Examples) -> int:
    """Optimizer steps of a run."""
    per_step = sequences_per_step(spec)
    return total_steps(training.n_sequences, per_step, spec.n_epochs, spec.max_steps)


def sequences_per_step(spec: JobSpec) -> int:
    """Rows of an optimizer step, or with packing packs of them."""
    return int(spec.batch_size) * filled(
        spec.gradient_accumulation_steps, "gradient_accumulation_steps"
    )
