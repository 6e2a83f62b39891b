"""What a file is uploaded for decides which rules of the service hold."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ftlab.data.formats import STRUCTURAL
from ftlab.issues import Issue

PURPOSES = ("fine-tune", "eval")
_TABLES = {"parquet", "tokenized"}


def for_purpose(issues: Iterable[Issue], purpose: str, kind: str) -> list[Issue]:
    """The issues as they stand for a purpose: for "eval" the service takes CSV and any object on a
    line, and no Parquet (`check_file` of its SDK 3.1.1). Raises ValueError for another word."""
    if purpose not in PURPOSES:
        raise ValueError(f"purpose is {purpose!r}; it takes {' or '.join(PURPOSES)}. Use one.")
    if purpose == "fine-tune":
        return list(issues)
    found = [
        issue if issue.code in STRUCTURAL and issue.code != "csv" else _taken(issue)
        for issue in issues
    ]
    return [*found, _NO_PARQUET] if kind in _TABLES else found


def _taken(issue: Issue) -> Issue:
    """The issue, on account of which the service refuses nothing."""
    return replace(issue, blocks=tuple(who for who in issue.blocks if who != "together"))


_NO_PARQUET = Issue(
    "error",
    "The file is Parquet; for evaluations the service takes JSONL and CSV. Convert it to JSONL.",
    code="parquet_for_eval",
    blocks=("together",),
    fix="to_jsonl",
)
