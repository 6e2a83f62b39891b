"""What can be wrong with a source as a whole, in the three facts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ftlab.data.problems import NOBODY, TOGETHER, Problem, about_whole, more_rows
from ftlab.issues import shown


def counted(problem: Problem, count: int) -> Problem:
    """The first problem of a kind, saying how many more there are."""
    return problem._replace(message=problem.message + more_rows(count))


def no_file(path: str | Path) -> Problem:
    return about_whole(
        "no_file",
        f"{path} is not a file; the path of a file with rows is needed. Correct the path.",
    )


def unreadable(name: str, exc: OSError) -> Problem:
    return about_whole(
        "unreadable",
        f"{name} can't be read ({exc.strerror or exc}); the file must be readable for you. "
        "Change its permissions, or copy it to where it can be read.",
    )


def broken(name: str, what: str, exc: Exception) -> Problem:
    """Also where rows came before the break: those were read."""
    reason = " ".join(str(exc).split())[:200] or type(exc).__name__
    return about_whole(
        "broken",
        f"{name}: {what} can't be read ({reason}); it must be whole to give all its rows. "
        "Get it again from where it came; rows before the break are still counted.",
    )


def other_kind(name: str, found: str) -> Problem:
    return about_whole(
        "other_kind",
        f"{name} is {found}; rows are read from JSONL, JSON, CSV and Parquet in UTF-8, and from "
        "these in gzip. Unpack it, or save it as one of them.",
    )


def zipped(name: str) -> Problem:
    return about_whole(
        "gzip",
        f"{name} is packed with gzip; the hosted service takes files that are not. "
        "Unpack it before uploading.",
        blocks=TOGETHER,
        fix="to_jsonl",
    )


def not_lines(name: str, shape: str) -> Problem:
    array = shape == "array"
    found = "is one JSON array" if array else "has JSON objects over several lines"
    return about_whole(
        "json_array" if array else "pretty_printed",
        f"{name} {found}; a training file has one JSON object on each line. Convert it to JSONL.",
        blocks=TOGETHER,
        fix="to_jsonl",
    )


def a_csv(name: str) -> Problem:
    return about_whole(
        "csv",
        f"{name} is a CSV file; training takes JSONL, one JSON object on each line. "
        "Convert it to JSONL and say which column is what.",
        fix="to_jsonl",
    )


def no_header(name: str) -> Problem:
    return about_whole(
        "no_header",
        f"{name} has no header; the first line of a CSV file names its columns. "
        "Write the names on the first line.",
    )


def names_twice(name: str, names: Iterable[str]) -> Problem:
    twice = ", ".join(repr(found) for found, n in Counter(names).items() if n > 1)
    return about_whole(
        "column_twice",
        f"{name} names the column {twice[:200]} more than once; each column has a name of its own. "
        "Rename them; until then the last one holds.",
    )


def ragged(name: str, number: int, n_cells: int, n_names: int) -> Problem:
    return about_whole(
        "ragged_row",
        f"{name} row {number} has {n_cells:,} cells; the header names {n_names:,} columns. "
        "Add or take out cells, and put cells that hold commas in quotes.",
    )


def bad_record(name: str, number: int, text: str) -> Problem:
    return about_whole(
        "bad_record",
        f"{name} row {number} can't be read as CSV ({text.partition(':')[0]}); a quote in a cell "
        "is written twice, and one that opens a cell closes it. Correct the quotes there.",
    )


def columns(name: str, names: list[str], token_columns: tuple[str, ...]) -> Iterable[Problem]:
    """What the service does not take among the columns of a Parquet file."""
    if "input_ids" not in names:
        yield about_whole(
            "parquet_text",
            f"{name} is Parquet without the column input_ids; the hosted service takes Parquet "
            "only with tokens in it. Convert it to JSONL.",
            blocks=TOGETHER,
            fix="to_jsonl",
        )
    elif others := [found for found in names if found not in token_columns]:
        yield about_whole(
            "parquet_columns",
            f"{name} has the column {', '.join(others)[:200]}; a Parquet file with tokens has only "
            f"{', '.join(token_columns)}. Take the others out.",
            blocks=TOGETHER,
        )


def no_pyarrow(name: str) -> Problem:
    return about_whole(
        "no_pyarrow",
        f"{name} is Parquet; reading that needs the package pyarrow, which is not installed. "
        'Install it with: pip install "ftlab[data]"',
    )


def choose_split(splits: Iterable[Any]) -> Problem:
    names = ", ".join(repr(name) for name in splits)[:200]
    return about_whole(
        "choose_split",
        f"The data set has the splits {names}; one of them is read. Give one, as data[…].",
    )


def not_rows(data: Any) -> Problem:
    return about_whole(
        "not_rows",
        f"The data is {shown(data)}, a {type(data).__name__}; a path, a table, or a list or other "
        "iterable of rows is read. Give one of these; a single row goes into a list.",
    )


def used_up(name: str) -> Problem:
    return about_whole(
        "used_up",
        f"The {name} was read before and gives nothing a second time; what is read twice must be "
        "a list or a file. Make a list of it first.",
        level="warning",
        blocks=NOBODY,
    )


def no_json(name: str, number: int, exc: Exception) -> Problem:
    return about_whole(
        "not_json_value",
        f"{name}, row {number}: a value can't be written as JSON ({str(exc)[:200]}); rows hold "
        "text, numbers, lists and objects. Convert the value or leave its column out.",
    )
