"""repair(): a copy of a data file in which every mechanical fault is mended.

Rows that no repair makes right go into a second file with the reasons. Nothing is written over.
"""

from __future__ import annotations

import difflib
import json
import math
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from ftlab.data.fixes import as_json, known_fixes
from ftlab.data.mending import Mended, Mender
from ftlab.data.outputs import NewFile, beside
from ftlab.data.problems import Problem
from ftlab.data.rows import is_blank
from ftlab.data.sources import Source, open_source
from ftlab.errors import UnreadableData
from ftlab.html import escaped, facts
from ftlab.issues import Issue

if TYPE_CHECKING:
    from ftlab.data.report import DataReport

KEPT = 100
LONGEST_SHOWN = 20_000
"""Characters of a row that a Change keeps of either side."""
EVERY = 500  # rows between two words about progress
Edits = Mapping[int, Mapping[str, Any] | None]
"""Line → what stands there instead; None takes the row out."""
Progress = Callable[[int, int], None]
"""Called with (bytes read, bytes in all)."""


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one line."""

    line: int
    """From 1."""
    before: str
    after: str
    """Empty when the row was left out or set aside."""
    fixes: tuple[str, ...] = ()
    reason: str = ""
    """Why the row was set aside; empty for all others."""

    def diff(self) -> list[str]:
        """The lines that differ, with a sign before each, and two around them."""
        before, after = self.before.split("\n"), self.after.split("\n") if self.after else []
        found = difflib.unified_diff(before, after, n=2, lineterm="")
        return [line for line in list(found)[2:] if not line.startswith("@@")]

    def html(self) -> str:
        """The difference for a notebook: red went, green came; every text is escaped."""
        made = [*self.fixes, *(["set aside"] if self.reason else [])]
        head = f"line {self.line:,}: {', '.join(made).replace('_', ' ')}"
        lines = "".join(_diff_line(line) for line in self.diff())
        reason = f'<div style="white-space:normal">{escaped(self.reason)}</div>'
        return (
            f"<div><b>{escaped(head)}</b>{reason if self.reason else ''}"
            f'<pre style="white-space:pre-wrap;margin:0">{lines}</pre></div>'
        )


_COLOURS = {
    "-": ("del", "--jp-error-color1, #d32f2f"),
    "+": ("ins", "--jp-success-color1, #2e7d32"),
}


def _diff_line(line: str) -> str:
    tag, colour = _COLOURS.get(line[:1], ("span", "--jp-ui-font-color2, #757575"))
    style = f"display:block;text-decoration:none;color:var({colour})"
    return f'<{tag} style="{style}">{escaped(line)}</{tag}>'


@dataclass(frozen=True, slots=True)
class Repair:
    """What a repair wrote."""

    path: Path | None
    """The new file; None when no row was left for it."""
    n_rows: int
    """Rows in it."""
    n_changed: int
    """Rows of it that differ from what they were."""
    n_removed: int
    """Blank lines, copies, and rows that were taken out by hand."""
    set_aside: Path | None
    """Rows that no repair makes right, as {"line", "reason", "row" or "raw"}."""
    n_set_aside: int
    changes: tuple[Change, ...] = ()
    """The first hundred."""
    counts: dict[str, int] = field(default_factory=dict)
    """Repair → lines that it changed or left out."""
    problems: tuple[Problem, ...] = ()
    """What is wrong with the whole file and can't be mended, such as an archive that was cut."""

    def __str__(self) -> str:
        name = self.path.name if self.path else "no file, since no row was left"
        said = f"{name}: {_many(self.n_rows, 'row')}, {self.n_changed:,} of them changed"
        if self.n_removed:
            said += f"; {_many(self.n_removed, 'line')} left out"
        if self.set_aside is not None:
            said += f"; {_many(self.n_set_aside, 'row')} set aside in {self.set_aside.name}"
        return said

    def _repr_html_(self) -> str:
        does = known_fixes()
        made = {does.get(name, name): _many(n, "line") for name, n in self.counts.items()}
        shown = "".join(change.html() for change in self.changes[:10])
        return f"<div><b>{escaped(self)}</b>{facts(made)}{shown}</div>"


def _many(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def fixable(report: DataReport) -> tuple[str, ...]:
    """The repairs that would take away issues of a report, about in the order in which they are
    made."""
    return tuple(named_fixes(report))


def hidden_fixes(report: DataReport) -> tuple[str, ...]:
    """The other repairs, where rows are refused that can be mended: nobody has looked for what
    else is wrong with those. Empty where there are none."""
    named = named_fixes(report)
    refused = [i for issues in named.values() for i in issues if i.lines and "local" in i.blocks]
    return tuple(name for name in known_fixes() if name not in named) if refused else ()


def named_fixes(report: DataReport) -> dict[str, list[Issue]]:
    """Repair → the issues that it takes away."""
    named: dict[str, list[Issue]] = {name: [] for name in known_fixes()}
    for issue in report.issues:
        if isinstance(issue.fix, str) and issue.fix in named:
            named[issue.fix].append(issue)
    return {name: issues for name, issues in named.items() if issues}


def rows_of(issues: Iterable[Issue]) -> tuple[int, bool]:
    """How many rows issues are about, and whether there may be more; an issue keeps the first
    lines only. One about the whole file has no rows."""
    found = [issue for issue in issues if any(line > 0 for line in issue.lines)]
    lines = {line for issue in found for line in issue.lines}
    more = any(issue.count > len(issue.lines) for issue in found)
    return max([len(lines), *(issue.count for issue in found)]), more


def repair(
    data: Any,
    to: str | Path | None = None,
    fixes: Iterable[str] | None = None,
    edits: Edits | None = None,
    progress: Progress | None = None,
    *,
    in_refused: Iterable[str] = (),
) -> Repair:
    """Write a repaired copy of a file, a table or any rows as JSONL.

    It goes beside the file as `<name>.fixed.jsonl`, or into the folder or to the path `to`; where
    that name is taken, a number is added. `fixes` are the names of repairs, all by default;
    `in_refused` are further ones, for those rows only that the embedded trainer refuses as they
    stand; `edits` replace rows by line before all that. Memory does not grow with the file, but for
    100 bytes a row while copies are looked for.

    Raises UnreadableData when nothing can be read, ValueError for an unknown name.
    """
    source = _readable(data)
    mender = Mender(_names(fixes), edits, _names(in_refused))
    target = beside(source.path, to, "fixed")
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = beside(source.path, target.parent, "set-aside")
    with ExitStack() as stack:
        output = _Output(target, aside, stack, one_format="one_format" in mender.names)
        for number, line in source.lines():
            for one in mender.mend(number, line):
                output.add(number, line, one)
            if progress is not None and number % EVERY == 0:
                progress(source.position, source.n_bytes or 0)
        _check_edits(mender, source)
        broken = source.broken
        if broken and output.is_empty:
            raise UnreadableData(broken[0].message)
        return output.finish(broken)


class Look(NamedTuple):
    """What a repair would do, as far as it was looked at."""

    changes: tuple[Change, ...]
    """Examples of every kind."""
    n_lines: int
    """Lines that were looked at."""
    is_whole: bool
    """Whether these are all."""


def look(
    data: Any,
    fixes: Iterable[str] | None = None,
    edits: Edits | None = None,
    *,
    in_refused: Iterable[str] = (),
    each: int = 2,
    seconds: float | None = None,
) -> Look:
    """The first `each` changes of every kind, found within some seconds; nothing is written.

    Rows of another format than most are known at the end only, and not shown.
    """
    source = _readable(data)
    mender = Mender(_names(fixes), edits, _names(in_refused))
    end = math.inf if seconds is None else monotonic() + seconds
    seen: Counter[str] = Counter()
    found: list[Change] = []
    number = 0
    for number, line in source.lines():
        for one in mender.mend(number, line):
            kinds = [*one.fixes, "set aside"] if one.reason else one.fixes
            if any(seen[kind] < each for kind in kinds):
                found.append(_change(number, line, one))
            seen.update(kinds)
        if number % EVERY == 0 and monotonic() > end:
            return Look(tuple(found), number, is_whole=False)
    return Look(tuple(found), number, is_whole=True)


class _Output:
    """The files of a repair: one per format until it is known which one most rows have."""

    def __init__(self, target: Path, aside: Path, stack: ExitStack, *, one_format: bool) -> None:
        self.target, self.stack, self.one_format = target, stack, one_format
        self.bad = stack.enter_context(NewFile(aside))
        self.files: dict[str, _Rows] = {}
        self.counts: Counter[str] = Counter()
        self.changes: list[Change] = []
        self.n_removed = 0

    def add(self, number: int, line: bytes, one: Mended) -> None:
        self.counts.update(one.fixes)
        if one.differs and len(self.changes) < KEPT:
            self.changes.append(_change(number, line, one))
        if one.reason:
            self.bad.add(_aside(number, one))
        elif one.line is None:
            self.n_removed += 1
        else:
            self._rows(one.format).add(number, one.line, changed=one.differs)

    def _rows(self, name: str) -> _Rows:
        name = name if self.one_format else ""
        if name not in self.files:
            file = self.stack.enter_context(NewFile(self.target))
            self.files[name] = _Rows(file)
        return self.files[name]

    @property
    def is_empty(self) -> bool:
        return not self.files and not self.bad.n_lines

    def finish(self, broken: tuple[Problem, ...]) -> Repair:
        best = max(self.files, key=lambda name: self.files[name].file.n_lines, default="")
        for name, rows in self.files.items():
            if name != best:
                self._set_aside(name, best, rows)
        kept = self.files.get(best)
        return Repair(
            path=kept.file.publish() if kept else None,
            n_rows=kept.file.n_lines if kept else 0,
            n_changed=kept.n_changed if kept else 0,
            n_removed=self.n_removed,
            n_set_aside=self.bad.n_lines,
            set_aside=self.bad.publish(),
            changes=tuple(self.changes),
            counts=dict(self.counts),
            problems=broken,
        )

    def _set_aside(self, name: str, best: str, rows: _Rows) -> None:
        """Move the rows of a format that most rows don't have."""
        reason = (
            f"The row has the format {name}; a file holds one, and most rows here have the format "
            f"{best}. Train such rows from a file of their own."
        )
        with rows.file.lines() as lines:
            for number, line in zip(rows.numbers, lines, strict=True):
                if is_blank(line):
                    continue
                self.bad.add(_aside(number, Mended(None, reason=reason, row=json.loads(line))))
                self.counts["one_format"] += 1


class _Rows:
    """The rows of one format."""

    def __init__(self, file: NewFile) -> None:
        self.file = file
        self.numbers = array("q")
        self.n_changed = 0

    def add(self, number: int, line: bytes, *, changed: bool) -> None:
        self.file.add(line)
        self.numbers.append(number)
        self.n_changed += changed


def _aside(number: int, one: Mended) -> bytes:
    entry: dict[str, Any] = {"line": number, "reason": one.reason}
    if one.row is not None:
        try:
            return as_json({**entry, "row": one.row})
        except RecursionError:
            pass
    if one.raw is not None:
        entry["raw"] = one.raw.decode("utf-8", "backslashreplace")
    return as_json(entry)


def _change(number: int, line: bytes, one: Mended) -> Change:
    after = one.line if one.line is not None and not one.reason else b""
    before, then = _shown(line), _shown(after)
    if not before or (after and not then):  # no JSON: both as they stand
        before, then = _as_text(line), _as_text(after)
    if before == then:  # the difference is in the bytes
        before, then = repr(line[:LONGEST_SHOWN])[2:-1], repr(after[:LONGEST_SHOWN])[2:-1]
    return Change(number, before, then, one.fixes, one.reason)


def _shown(line: bytes) -> str:
    """A row over several lines, so that a difference is seen where it is; empty if it is none."""
    try:
        return _cut(json.dumps(json.loads(line), ensure_ascii=False, indent=2))
    except (ValueError, RecursionError):
        return ""


def _as_text(line: bytes) -> str:
    return _cut(line[: 4 * LONGEST_SHOWN].decode("utf-8", "backslashreplace"))


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "…"


def _names(fixes: Iterable[str] | None) -> frozenset[str]:
    known = known_fixes()
    if fixes is None:
        return frozenset(known)
    wanted = frozenset([fixes] if isinstance(fixes, str) else fixes)
    unknown = sorted(wanted - known.keys())
    if unknown:
        raise ValueError(
            f"There is no repair {unknown[0]!r}; there are {', '.join(known)}. Use one of these."
        )
    return wanted


def _readable(data: Any) -> Source:
    source = open_source(data)
    if source.kind == "tokenized":
        raise UnreadableData(
            f"{source.name} holds token ids; a repair needs the texts. "
            "Repair the file that it was made from."
        )
    return source


def _check_edits(mender: Mender, source: Source) -> None:
    if mender.edits:
        raise UnreadableData(
            f"Line {min(mender.edits):,} was edited, and {source.name} has no such line; edits "
            "belong to a file as it was scanned. Scan it again."
        )
