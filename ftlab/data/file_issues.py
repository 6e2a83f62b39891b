"""Issues of a file as a whole, in the three facts."""

from __future__ import annotations

from pathlib import Path

from ftlab.issues import LINES_KEPT, Issue

MOST_COMPARED = 20_000
"""Rows that are compared with each other for near duplicates, without being asked."""
MOST_CHARACTERS = 32 << 20
"""And the text of all of them."""


def no_file(path: str | Path) -> Issue:
    return Issue(
        "error",
        f"{path} is not a file; the path of a JSONL file is needed. Correct the path.",
        code="no_file",
        where="training_file",
        blocks=("together", "local"),
    )


def unreadable(path: Path, exc: OSError) -> Issue:
    return Issue(
        "error",
        f"{path} can't be read ({exc.strerror}); the file must be readable for you. "
        "Change its permissions, or copy it to where it can be read.",
        code="unreadable",
        where="training_file",
        blocks=("together", "local"),
    )


def no_rows(name: str) -> Issue:
    return Issue(
        "error",
        f"{name} has no rows; at least one JSON object on a line of its own is needed. "
        "Write the rows into it.",
        code="no_rows",
        blocks=("together", "local"),
    )


def mixed_formats(
    name: str, majority: str | None, lines: dict[str, list[int]], n_others: int
) -> Issue:
    others = sorted(n for kind, numbers in lines.items() if kind != majority for n in numbers)
    return Issue(
        "error",
        f"{name} line {others[0]}: this row has another format than most ({majority}); a file "
        f"holds one format. Move the {n_others:,} other rows into a file of their own.",
        code="mixed_formats",
        blocks=("together", "local"),
        lines=tuple(others[:LINES_KEPT]),
        count=n_others,
        fix="one_format",
    )


def nothing_trains(name: str) -> Issue:
    return Issue(
        "error",
        f"No token of {name} would train; at least one answer must be left after weights and "
        "max_seq_length. Check the weights, or raise max_seq_length.",
        code="nothing_trains_at_all",
        blocks=("local",),
    )


def not_compared(name: str) -> Issue:
    return Issue(
        "tip",
        f"Near duplicates were not looked for in {name}: that takes long, and is done by itself "
        f"for up to {MOST_COMPARED:,} rows of {MOST_CHARACTERS >> 20} MiB of text. For a larger "
        "file call ftlab.data.checks.near_duplicates on a part of it.",
        code="near_duplicates_not_sought",
    )


def no_hub_data(exc: Exception) -> Issue:
    return Issue(
        "error", str(exc), code="no_hub_data", where="training_file", blocks=("together", "local")
    )


def no_training_file(path: str | Path) -> Issue:
    return Issue(
        "error",
        f"{path} can't be read, so its rows were not compared with these; the path of the training "
        "file is needed. Correct the path.",
        code="no_training_file",
        where="training_file",
    )
