"""The system prompt that a tuned model knows from every row."""

from __future__ import annotations

from ftlab.answers.rows import question_of
from ftlab.data.rows import parse_line, row_lines
from ftlab.errors import UnreadableData
from ftlab.files import existing, sha256_of
from ftlab.run import Run


def system_prompt(run: Run) -> str:
    """The one with which all rows of the training file begin; empty where they don't all, or the
    file is not here as it was."""
    file = existing(run.job.spec.training_file or "")
    if file is None or not file.is_file() or sha256_of(file) != run.job.data_sha256:
        return ""
    found = set[str]()
    for line in row_lines(file):
        found.add(_system(line))
        if "" in found or len(found) > 1:
            return ""
    return found.pop() if found else ""


def _system(line: bytes) -> str:
    try:
        asked = question_of(parse_line(line))
    except UnreadableData:
        return ""
    return asked.system if asked else ""
