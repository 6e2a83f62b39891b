"""The rows that are scored: which they are, and what of each the models get to see."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from ftlab.data.chat import prompt_text
from ftlab.data.formats import detect
from ftlab.data.rows import Rows, split
from ftlab.data.template import Message, joined_text
from ftlab.data.tokens import Tokenizer
from ftlab.errors import RunError, UnreadableData
from ftlab.files import existing, sha256_of
from ftlab.html import counted
from ftlab.run import Run
from ftlab.spec import filled

Row = Mapping[str, Any]
TRAINED_ON = (
    "The run trained on this file; scores on it tell what it remembers, not what it makes of new "
    "rows. Score rows that it has not seen."
)
LEAKED = (
    "{} of these {} stand in the training data too; scores on them tell what it remembers. Score "
    "rows that it has not seen: `ftlab split` keeps copies on one side."
)
HELD_OUT = "The run held these rows out of {}; it did not train on them."
CHANGED = (
    "{} has changed since the run took it; its scores are of other rows than its validation loss. "
    "Compare only scores of one file."
)


class Source(NamedTuple):
    """Rows of a file, and where they are from."""

    rows: Rows
    places: list[int]
    """Of those that are scored."""
    sha256: str
    notes: list[str]
    """What is to be known with their scores."""

    @property
    def lines(self) -> list[int]:
        return [self.rows.line_number(place) for place in self.places]


def source_of(run: Run, file: Path | str | None, max_rows: int | None, seed: int) -> Source:
    """The rows of a file, or those that the run is measured on; at most so many, drawn by the
    seed. Raises RunError where there are none."""
    path, places = _all_places(run, file)
    rows = Rows(path)
    taken = list(range(len(rows))) if places is None else places
    if not taken:
        raise RunError(
            f"{path.name} has no row to score; scores are of rows with an answer. Give another "
            "file, or hold rows back with validation_split."
        )
    digest, notes = sha256_of(path), list[str]()
    if places is not None:
        notes.append(HELD_OUT.format(path.name))
    elif digest == run.job.data_sha256:
        notes.append(TRAINED_ON)
    if file is None and digest not in (_digest_then(run), ""):
        notes.append(CHANGED.format(path.name))
    if max_rows is not None and max_rows < len(taken):
        notes.append(f"{max_rows:,} of its {len(taken):,} rows, drawn by the seed {seed}.")
        taken = sorted(random.Random(f"{seed}:scored").sample(taken, max_rows))
    return Source(rows, taken, digest, notes)


def _all_places(run: Run, file: Path | str | None) -> tuple[Path, list[int] | None]:
    """The file, and the places of its rows where not all are meant."""
    spec = run.job.spec
    if file is not None or spec.validation_file:
        return _here(file or filled(spec.validation_file, "validation_file")), None
    if spec.validation_split:
        path = _here(filled(spec.training_file, "training_file"))
        return path, split(Rows(path), spec.validation_split)[1]
    raise RunError(
        f"Run {run.id} has no validation rows; scores are of rows that it did not train on. Give a "
        "file with such rows, or train with validation_split."
    )


def leaked(run: Run, source: Source) -> list[str]:
    """How many of the rows were trained on, where the training data are here; nothing where none
    was, or all of them and the source says so."""
    if TRAINED_ON in source.notes:
        return []
    scored = [_content(row) for _, row in readable(source) if not isinstance(row, str)]
    try:
        rows, places = training_places(run)
    except RunError:
        return []
    wanted, found = set(scored), set[bytes]()
    for _, row in readable(Source(rows, list(places), "", [])):
        if not isinstance(row, str) and (said := _content(row)) in wanted:
            found.add(said)
    n = sum(said in found for said in scored)
    return [LEAKED.format(f"{n:,}", counted(len(scored), "row"))] if n else []


def _content(row: Row) -> bytes:
    """The same for rows that say the same, however much they weigh."""
    said = {name: value for name, value in row.items() if name != "weight"}
    text = json.dumps(said, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def _digest_then(run: Run) -> str:
    job = run.job
    return job.validation_sha256 if job.spec.validation_file else job.data_sha256


def _here(name: Path | str) -> Path:
    found = existing(name)
    if found is None or not found.is_file():
        raise RunError(
            f"{str(name)!r} is no file on this machine; scores read a JSONL file with rows as they "
            "train. Give the path of one."
        )
    return found.absolute()


def training_places(run: Run) -> tuple[Rows, Sequence[int]]:
    """The rows that the run trained on. Raises RunError where their file is not here."""
    spec = run.job.spec
    rows = Rows(_here(filled(spec.training_file, "training_file")))
    if spec.validation_split:
        return rows, split(rows, spec.validation_split)[0]
    return rows, range(len(rows))


# --- one row ---------------------------------------------------------------------------------


class Prompt(NamedTuple):
    """What a model answers to."""

    text: str
    is_plain: bool
    """Not written by a chat template: the tokenizer's own beginning belongs before it."""


def prompt_of(row: Row, tokenizer: Tokenizer, now: datetime) -> Prompt | None:
    """The text after which the row's answer stands; None where it has no answer. Raises
    CannotRender."""
    match _format(row):
        case "conversation" if _answer_of(row["messages"]) is not None:
            return _chat(row["messages"][:-1], row.get("tools"), tokenizer, now)
        case "preference":
            given = row["input"]
            return _chat(given["messages"], given.get("tools"), tokenizer, now)
        case "instruction":
            return Prompt(str(joined_text(row["prompt"])), is_plain=True)
    return None


def _chat(messages: Sequence[Message], tools: Any, tokenizer: Tokenizer, now: datetime) -> Prompt:
    return Prompt(prompt_text(messages, tokenizer, tools=tools, now=now), is_plain=False)


def reference_of(row: Row) -> str | None:
    """The answer that the row has, the preferred one of two; None where it has none as text."""
    match _format(row):
        case "conversation":
            return _answer_of(row["messages"])
        case "preference":
            return _answer_of(row["preferred_output"])
        case "instruction":
            return str(joined_text(row["completion"]))
    return None


def question_of(row: Row) -> str:
    """What a person reads of what comes before the answer: the last message, or the prompt."""
    match _format(row):
        case "conversation":
            said = row["messages"][:-1]
        case "preference":
            said = row["input"]["messages"]
        case "instruction":
            return str(joined_text(row["prompt"]))
        case _:
            return str(joined_text(row.get("text", "")))
    return str(joined_text(said[-1].get("content")) or "") if said else ""


def _answer_of(messages: Sequence[Message]) -> str | None:
    """The text of the last message, if the assistant wrote it and it calls no tool."""
    last = messages[-1] if messages else {}
    content = joined_text(last.get("content"))
    is_text = isinstance(content, str) and not last.get("tool_calls")
    return content if is_text and last.get("role") == "assistant" else None


def _format(row: Row) -> str:
    known = detect(dict(row))
    return known.name if known else ""


def readable(source: Source) -> Iterator[tuple[int, Row | str]]:
    """(line, row) of each that is scored, or why there is none."""
    for place in source.places:
        try:
            yield source.rows.line_number(place), source.rows[place]
        except UnreadableData as exc:
            yield source.rows.line_number(place), str(exc)
