"""Issues of a file as a whole, in the three facts."""

from __future__ import annotations

from pathlib import Path

from ftlab.data.problems import BOTH, LOCAL
from ftlab.issues import LINES_KEPT, Issue


def no_file(path: str | Path) -> Issue:
    return _no_data(
        "no_file",
        f"{path} is not a file; a file of rows (JSONL, JSON, CSV, Parquet) is needed. Correct the "
        "path.",
    )


def unreadable(path: Path, exc: OSError) -> Issue:
    return _no_data(
        "unreadable",
        f"{path} can't be read ({exc.strerror}); the file must be readable for you. "
        "Change its permissions, or copy it to where it can be read.",
    )


def no_hub_data(exc: Exception) -> Issue:
    return _no_data("no_hub_data", str(exc))


def _no_data(code: str, message: str) -> Issue:
    return Issue("error", message, code, "training_file", blocks=BOTH)


def no_rows(name: str) -> Issue:
    text = (
        f"{name} has no rows; at least one JSON object on a line of its own is needed. "
        "Write the rows into it."
    )
    return Issue("error", text, "no_rows", blocks=BOTH)


def mixed_formats(
    name: str, majority: str | None, lines: dict[str, list[int]], n_others: int
) -> Issue:
    others = sorted(n for kind, numbers in lines.items() if kind != majority for n in numbers)
    return Issue(
        "error",
        f"{name} line {others[0]}: this row has another format than most ({majority}); a file "
        f"holds one format. Move the {n_others:,} other rows into a file of their own.",
        code="mixed_formats",
        blocks=BOTH,
        lines=tuple(others[:LINES_KEPT]),
        count=n_others,
        fix="one_format",
    )


def nothing_trains(name: str) -> Issue:
    text = (
        f"No token of {name} would train; at least one answer must be left after weights and "
        "max_seq_length. Check the weights, or raise max_seq_length."
    )
    return Issue("error", text, "nothing_trains_at_all", blocks=LOCAL)


def no_training_file(path: str | Path) -> Issue:
    text = (
        f"{path} can't be read, so its rows were not compared with these; the path of the training "
        "file is needed. Correct the path."
    )
    return Issue("error", text, "no_training_file", "training_file")
