"""Votes on hidden answers: which of two was better, kept in the run's folder, and their tally."""

from __future__ import annotations

import json
import math
import os
import random
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar, get_args

from ftlab.errors import RunError

T = TypeVar("T")
Choice = Literal["left", "right", "tie", "bad"]
CHOICES: tuple[Choice, ...] = get_args(Choice)
NORMAL_95 = 1.959964
"""The normal distribution lies within so many standard deviations in 95 of 100 cases."""


class Vote(NamedTuple):
    """What a person said of two answers without knowing whose they were."""

    left: str
    """The key of the side that stood on the left."""
    right: str
    choice: Choice
    """"bad" means both."""
    seed: int
    """That decided which side stood where."""
    prompt: str = ""
    answers: tuple[str, str] = ("", "")
    sampling: dict[str, Any] = {}  # noqa: RUF012 (nobody changes it)
    time: float = 0.0
    """Seconds since the epoch."""

    @property
    def winner(self) -> str:
        """The key of the side that was better; empty where neither was."""
        return {"left": self.left, "right": self.right}.get(self.choice, "")


def shuffled(first: T, second: T, seed: int) -> tuple[T, T]:
    """Two sides, as the seed puts them: left and right."""
    return (second, first) if random.Random(seed).random() < 0.5 else (first, second)


def add_vote(file: Path, vote: Vote) -> None:
    """Append a vote, on disk for good. Raises RunError where it can't be written."""
    told = vote._asdict() | {"time": vote.time or time.time()}
    # A line break in front too: after a torn line, this one still stands on its own.
    line = "\n" + json.dumps(told, ensure_ascii=False) + "\n"
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with open(handle, "wb") as stream:
            stream.write(line.encode("utf-8", "surrogatepass"))
            stream.flush()
            os.fsync(handle)
    except OSError as exc:
        raise RunError(
            f"The vote can't be written ({exc}); votes are kept in the run's folder, which must "
            "be there and have room. Vote again when it is so."
        ) from exc


def read_votes(file: Path) -> list[Vote]:
    """All votes in the order in which they were given; torn lines are passed over. Raises RunError
    where the file can't be read."""
    try:
        lines = file.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as exc:
        raise RunError(
            f"The votes can't be read ({exc}); they are lines of a file of one's own. Move away "
            "what is in its place, or let yourself read it."
        ) from exc
    return [vote for line in lines if (vote := _vote_on(line)) is not None]


def _vote_on(line: bytes) -> Vote | None:
    try:
        found = json.loads(line)
        vote = Vote(**{name: found[name] for name in Vote._fields if name in found})
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    are_texts = all(isinstance(one, str) for one in (vote.left, vote.right, vote.choice))
    return vote if are_texts and vote.choice in CHOICES else None


class Tally(NamedTuple):
    """The votes on two sides."""

    first: int
    """How often the first side was better."""
    second: int
    ties: int
    bad: int
    """How often both were."""

    @property
    def decided(self) -> int:
        return self.first + self.second

    @property
    def interval(self) -> tuple[float, float]:
        """Where the share of prompts on which the second side is better lies, in 95 of 100 cases;
        of those on which one is."""
        return wilson(self.second, self.decided)

    @property
    def verdict(self) -> str:
        """ "better" or "worse" than chance for the second side; empty while it may be chance."""
        low, high = self.interval
        return "better" if low > 0.5 else "worse" if high < 0.5 else ""

    def in_words(self, first: str, second: str) -> str:
        """For a person, who calls the sides so."""
        if not self.decided + self.ties + self.bad:
            return "No vote yet."
        rest = f"{self.ties} {'tie' if self.ties == 1 else 'ties'}, {self.bad} both bad"
        if not self.decided:
            return f"No vote for one side yet; {rest}."
        low, high = self.interval
        share = f"{self.second / self.decided:.0%}, with 95 % certainty {low:.0%} to {high:.0%}"
        verdict = f"{self.verdict} than chance" if self.verdict else "this may still be chance"
        return (
            f"{second} better than {first} on {self.second} of {self.decided} prompts ({share}): "
            f"{verdict}. {rest}."
        )


def tally(votes: Iterable[Vote], first: str, second: str) -> Tally:
    """Of the votes on these two sides, whichever stood on the left."""
    ours = [vote for vote in votes if {vote.left, vote.right} == {first, second}]
    won = [vote.winner for vote in ours]
    ties, bad = (sum(vote.choice == name for vote in ours) for name in ("tie", "bad"))
    return Tally(won.count(first), won.count(second), ties, bad)


def wilson(n_right: int, n: int, z: float = NORMAL_95) -> tuple[float, float]:
    """Where a share lies of which `n_right` of `n` were seen (Wilson 1927); 0 to 1 for none."""
    if not n:
        return 0.0, 1.0
    share, z2 = n_right / n, z * z
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(middle - half, 0.0), min(middle + half, 1.0)
