"""Rows of other tools and tables, turned into a file of ours."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ftlab.data.blocks import LONGEST_LINE, TOO_LONG
from ftlab.data.formats import detect
from ftlab.data.outputs import NewFile, beside
from ftlab.data.problems import Problem, Row
from ftlab.data.readers import READERS, Reader, pair
from ftlab.data.rows import BOM, BadLine, is_blank, parse_line
from ftlab.data.sources import open_source
from ftlab.data.tables import as_line
from ftlab.data.turns import CannotConvert, as_text, say, turns_of, with_tools
from ftlab.errors import UnreadableData

__all__ = ["CannotConvert", "ColumnMapping", "Conversion", "Reader"]
__all__ += ["convert", "detect_foreign", "suggest_mapping"]

TOLD_EVERY = 1000
# What the columns of a mapping may stand for, together.
TARGETS = (
    ({"text"}, set()),
    ({"messages"}, {"tools"}),
    ({"prompt", "completion"}, set()),
    ({"user", "assistant"}, {"system", "context"}),
    ({"user", "chosen", "rejected"}, {"system"}),
    ({"prompt", "chosen", "rejected"}, {"system"}),
)
# Names that columns have elsewhere, likeliest first.
NAMES = {
    "user": "user question query prompt instruction input inputs problem human request",
    "assistant": "assistant answer response completion output outputs target targets reply "
    "solution gpt label",
    "system": "system system_prompt definition persona",
    "chosen": "chosen preferred accepted better",
    "rejected": "rejected dispreferred worse",
    "text": "text content body document",
}


class ColumnMapping(Reader):
    """Columns by what they stand for: {"user": "question", "assistant": "answer"}."""

    name = "columns"

    def __init__(self, columns: Mapping[str, str]) -> None:
        """Raises UnreadableData when the parts make no row."""
        self.columns = dict(columns)
        given = self.columns.keys()
        if not any(needed <= given <= needed | more for needed, more in TARGETS):
            known = "; ".join(", ".join(sorted(needed)) for needed, _ in TARGETS)
            raise UnreadableData(
                f"The mapping names {', '.join(sorted(map(str, given))) or 'nothing'}; a row is "
                f"made of one of these: {known}. Name a column for each."
            )

    def matches(self, row: Row) -> bool:
        return all(column in row for column in self.columns.values())

    def convert(self, row: Row) -> dict[str, Any]:
        parts = {target: self._value(row, target) for target in self.columns}
        if "messages" in parts:
            messages = turns_of(parts["messages"], self.columns["messages"])
            return with_tools({"messages": messages}, parts.get("tools"))
        texts = {part: as_text(value, self.columns[part]) for part, value in parts.items()}
        if texts.keys() & {"text", "completion"}:
            return texts
        return _as_chat(texts)

    def _value(self, row: Row, target: str) -> Any:
        column = self.columns[target]
        value = row.get(column)
        if value is None and target in ("system", "context", "tools"):
            return ""
        if value is None:
            keys = ", ".join(map(str, row))[:200] or "none"
            raise CannotConvert(
                f"The row has nothing in the column {column}; its columns are {keys}, and "
                f"{target} is read from that one. Fill it or map another column."
            )
        return value


def _as_chat(texts: dict[str, str]) -> dict[str, Any]:
    messages = [say("system", texts["system"])] if texts.get("system") else []
    asked = texts.get("user", texts.get("prompt", ""))
    context = texts.get("context", "")
    messages.append(say("user", f"{asked}\n\n{context}" if context else asked))
    if "chosen" in texts:
        sides = ([say("assistant", texts[key])] for key in ("chosen", "rejected"))
        return pair({"messages": messages}, *sides)
    return {"messages": [*messages, say("assistant", texts["assistant"])]}


class Conversion(NamedTuple):
    """What came of a conversion."""

    path: Path | None
    """The new file; None when no row could be converted."""
    n_rows: int
    set_aside: Path | None
    """The rows that could not be, each with its line and the reason."""
    n_set_aside: int
    reader: str
    """Whose shape the first row had."""
    problems: tuple[Problem, ...] = ()
    """What was wrong with the source as a whole, such as an archive that breaks off."""


def detect_foreign(row: Row) -> Reader | None:
    """The reader of a row that another tool made; None for ours and for unknown ones."""
    return next((reader for reader in READERS if reader.matches(row)), None)


def suggest_mapping(columns: Mapping[str, Any]) -> dict[str, str] | None:
    """What the columns of a table stand for, by their names and a sample of each; None where
    that would be a guess."""
    texts = {_plain(name): name for name, value in columns.items() if isinstance(value, str)}
    found: dict[str, str] = {}
    for target, names in NAMES.items():
        column = next((texts[name] for name in names.split() if name in texts), None)
        if column is not None and column not in found.values():
            found[target] = column
    if "prompt" in texts and "completion" in texts:
        return {"prompt": texts["prompt"], "completion": texts["completion"]}
    for needed in ({"user", "chosen", "rejected"}, {"user", "assistant"}, {"text"}):
        if needed <= found.keys():
            kept = needed | ({"system"} if "user" in needed else set())
            return {target: column for target, column in found.items() if target in kept}
    return None


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "_", str(name).strip().lower()).strip("_")


def convert(
    data: Any,
    to: str | Path,
    mapping: Mapping[str, str] | Reader | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Conversion:
    """Write the rows of any source as JSONL, never over a file: a name that is taken gets a
    number. Rows that are ours stay as they are; those that can't be converted go to another file.

    Raises UnreadableData for a mapping that makes no row, OSError where nothing can be written.
    """
    source = open_source(data)
    chosen = mapping if isinstance(mapping, Reader) or mapping is None else ColumnMapping(mapping)
    target = Path(to).expanduser()
    name = ""

    def tell() -> None:
        if progress:
            progress(source.position, source.n_bytes or 0)

    target.parent.mkdir(parents=True, exist_ok=True)
    with NewFile(target) as good, NewFile(beside(target, target.parent, "set-aside")) as aside:
        rows = _readable(source.lines(), aside, tell)
        for number, row in rows if chosen is None else chosen.group(rows):
            reader = chosen or detect_foreign(row)
            try:
                good.add(as_line(_converted(row, reader)))
                name = name or (reader.name if reader else "")
            except (CannotConvert, RecursionError) as exc:
                aside.add(_set_aside(number, row, exc))
        tell()
        wrong, n_good, n_aside = source.broken, good.n_lines, aside.n_lines
        return Conversion(good.publish(), n_good, aside.publish(), n_aside, name, wrong)


def _converted(row: Row, reader: Reader | None) -> Row:
    if reader is not None:
        return reader.convert(row)
    if detect(row) is None:
        keys = ", ".join(map(str, row))[:200] or "none"
        raise CannotConvert(
            f"The columns are {keys}, which is no format that is known; it takes a mapping to say "
            "what each stands for. Name the columns of the question and of the answer."
        )
    return row


def _readable(
    lines: Iterator[tuple[int, bytes]], aside: NewFile, tell: Callable[[], None]
) -> Iterator[tuple[int, Row]]:
    """The numbered rows; lines that hold none are set aside."""
    for number, line in lines:
        line = line.removeprefix(BOM)
        if number % TOLD_EVERY == 0:
            tell()
        if is_blank(line):
            continue
        if line.startswith(TOO_LONG):
            reason = f"The row is longer than {LONGEST_LINE >> 20} MiB; no row that trains is."
            aside.add(as_line({"line": number, "reason": reason, "raw": ""}))
            continue
        try:
            yield number, parse_line(line)
        except BadLine as exc:
            raw = line.decode("utf-8", "backslashreplace")
            aside.add(as_line({"line": number, "reason": str(exc), "raw": raw}))


def _set_aside(number: int, row: Row, exc: Exception) -> bytes:
    if isinstance(exc, RecursionError):
        reason = "The row is nested too deeply to be written; rows are a few levels deep."
        return as_line({"line": number, "reason": reason, "raw": ""})
    return as_line({"line": number, "reason": str(exc), "row": row})
