"""How a rule is written and kept, and what all rules say things with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ftlab.data.report import DataReport
from ftlab.issues import Issue, Level
from ftlab.limits import Limits
from ftlab.spec import BOTH, FIELDS, Engine, JobSpec

NO_LIMITS = Limits()
WHO: dict[Engine, str] = {"local": "the embedded trainer", "together": "the hosted service"}
WHOSE: dict[Engine, str] = {"local": "jobs on this machine", "together": "hosted jobs"}
"""What an engine is called in a message."""
FILES = {"model": "m", "training_file": "t.jsonl"}

Rule = Callable[[JobSpec, Limits, DataReport | None], Iterator[Issue]]


@dataclass(frozen=True, slots=True)
class RegisteredRule:
    name: str
    find: Rule
    example: dict[str, Any]
    """Values of a spec that break the rule."""
    limits: Limits
    report: DataReport | None


RULES: list[RegisteredRule] = []


def rule(
    limits: Limits = NO_LIMITS, report: DataReport | None = None, **example: Any
) -> Callable[[Rule], Rule]:
    """Register a rule under its function's name, with the values of a spec that breaks it."""

    def register(find: Rule) -> Rule:
        RULES.append(RegisteredRule(find.__name__, find, {**FILES, **example}, limits, report))
        return find

    return register


def error(where: str, message: str, blocks: tuple[Engine, ...] = BOTH, fix: Any = None) -> Issue:
    """Something because of which those engines refuse the job."""
    return Issue("error", message, where=where, blocks=blocks, fix=fix)


def advice(level: Level, where: str, message: str, fix: Any = None) -> Issue:
    """Something that no engine refuses."""
    return Issue(level, message, where=where, fix=fix)


def is_set(spec: JobSpec, name: str) -> bool:
    """Whether a field asks for something other than its default; False asks for nothing."""
    value = getattr(spec, name)
    return value is not False and value != FIELDS[name].default
