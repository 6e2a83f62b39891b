"""What a scan has found so far: problems of single rows, put together to one issue per kind."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ftlab.data.problems import Problem, more_rows
from ftlab.issues import LINES_KEPT, Issue

GROUPS_PER_CODE = 20  # issues of one code; rows with ever new keys must not make ever new issues
_INDEX = re.compile(r"\[\d+\]")


class Findings:
    """The problems of a scan, by kind and place in the row."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], Found] = {}

    def add(self, number: int, problems: Iterable[Problem]) -> bool:
        """Count what is wrong with a row; True when an engine refuses it."""
        blocked = False
        for problem in problems:
            key = self._group(problem)
            self._found.setdefault(key, Found(problem, number)).add(number, problem)
            blocked = blocked or bool(problem.blocks)
        return blocked

    def _group(self, problem: Problem) -> tuple[str, str]:
        """Which issue a problem belongs to: one per code and kind of place, and not too many."""
        key = (problem.code, _INDEX.sub("[*]", problem.where) + problem.value)
        if key in self._found:
            return key
        n_groups = sum(code == problem.code for code, _ in self._found)
        return key if n_groups < GROUPS_PER_CODE else (problem.code, "")

    def issues(self, name: str) -> Iterator[Issue]:
        """One per kind, with the lines of the file `name` that have it."""
        return (found.issue(name) for found in self._found.values())


class Found:
    """One kind of problem at one place in the row, and the lines that have it."""

    def __init__(self, problem: Problem, number: int) -> None:
        self.problem, self.first = problem, number
        self.where = problem.where
        self.lines: list[int] = []
        self.count, self.last = 0, -1

    def add(self, number: int, problem: Problem) -> None:
        """Count a row, however often it has the problem."""
        if problem.where != self.where:  # `messages[*].role` when it is not the same place in all
            pattern = _INDEX.sub("[*]", problem.where)
            self.where = pattern if pattern == _INDEX.sub("[*]", self.where) else ""
        if number == self.last:
            return
        self.last = number
        self.count += 1
        if len(self.lines) < LINES_KEPT:
            self.lines.append(number)
        if number < self.first:  # token counts come a block late
            self.first, self.problem = number, problem

    def issue(self, name: str) -> Issue:
        said = f"{name} line {self.first}: " if self.first else ""  # line 0 is the file itself
        return Issue(
            self.problem.level,
            whole_text(said + self.problem.message + more_rows(self.count)),
            code=self.problem.code,
            where=whole_text(self.where),
            blocks=self.problem.blocks,
            lines=tuple(sorted(filter(None, self.lines))),
            count=self.count,
            fix=self.problem.fix or None,
        )


def whole_text(text: str) -> str:
    """Text without halves of surrogate pairs, which no file and no terminal takes."""
    return text.encode("utf-8", "backslashreplace").decode()
