"""Examples in the prompt: the same row with answered rows of the training data before it."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

from ftlab.data.formats import detect
from ftlab.data.rows import Rows
from ftlab.errors import UnreadableData
from ftlab.scores.rows import Row, question_of, reference_of

TRIES = 20
"""Rows that are drawn for each example, before there are taken to be none."""
BETWEEN = "\n\n"
"""Of plain rows."""


class Shots:
    """Draws examples for a row, the same ones each time; never one that asks what the row asks."""

    def __init__(self, rows: Rows, places: Sequence[int], n: int, seed: int) -> None:
        self._rows, self._places, self.n, self._seed = rows, places, n, seed

    def before(self, line: int, row: Row) -> list[Row]:
        """At most `n` examples."""
        drawn = random.Random(f"{self._seed}:shots:{line}")
        n_tries = min(len(self._places), self.n * TRIES)
        found = list[Row]()
        for place in drawn.sample(self._places, n_tries):
            if len(found) == self.n:
                break
            found += self._fitting(place, row)
        return found

    def _fitting(self, place: int, row: Row) -> Iterator[Row]:
        try:
            example = self._rows[place]
        except UnreadableData:
            return
        alike = detect(example) == detect(dict(row))
        if alike and reference_of(example) is not None and question_of(example) != question_of(row):
            yield example


def with_examples(row: Row, examples: Sequence[Row]) -> Row:
    """The row with answered ones before it, none of which trains."""
    if not examples:
        return row
    if "prompt" in row:
        said = [f"{one['prompt']}{one['completion']}" for one in examples]
        return {**row, "prompt": BETWEEN.join([*said, row["prompt"]])}
    turns = [turn for one in examples for turn in _turns(one)]
    if "messages" in row:
        return {**row, "messages": _after_system(row["messages"], turns)}
    given = row["input"]
    return {**row, "input": {**given, "messages": _after_system(given["messages"], turns)}}


def _turns(example: Row) -> list[dict[str, Any]]:
    """Without what the system says, which the row says itself."""
    own = example.get("messages") or [
        *example["input"]["messages"],
        *example["preferred_output"],
    ]
    return [{**turn, "weight": 0} for turn in own if turn.get("role") != "system"]


def _after_system(messages: Sequence[Any], turns: Sequence[Any]) -> list[Any]:
    n_first = next(
        (place for place, turn in enumerate(messages) if turn.get("role") != "system"),
        len(messages),
    )
    return [*messages[:n_first], *turns, *messages[n_first:]]
