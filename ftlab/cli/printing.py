"""What is printed: texts that may hold anything, issues, tables, JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import IO, Any

from ftlab.issues import Issue

LINES_SHOWN = 8


def say(text: object, to: IO[str] | None = None) -> None:
    """Print what may hold anything: names of files, texts of rows, what a process said."""
    print(visible(str(text)), file=to)


def say_line(text: object, to: IO[str] | None = None) -> None:
    """Print what is one line, so that no name in it can feign a second one."""
    say(str(text).replace("\n", "\\n"), to)


def visible(text: str) -> str:
    """Text without the control characters that could steer a terminal."""
    return "".join(c if c.isprintable() or c in "\n\u3000\xa0" else _named(c) for c in text)


def _named(char: str) -> str:
    """A character as an escape of JSON, or of Python where JSON has none so short."""
    number = ord(char)
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def print_json(value: Any) -> None:
    """One line of JSON; what could steer a terminal is escaped as JSON has it."""
    print(visible_json(json.dumps(value, ensure_ascii=False)))


def visible_json(text: str) -> str:
    """JSON that says the same without the characters that could steer a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else _in_json(c) for c in text)


def _in_json(char: str) -> str:
    return _named(char) if ord(char) < 0x10000 else json.dumps(char)[1:-1]


def plain(issue: Issue) -> dict[str, Any]:
    """What --json tells of an issue."""
    kept = ("level", "blocks", "code", "where", "lines", "count", "message")
    return {name: value for name, value in issue.as_dict().items() if name in kept}


def print_issues(issues: Sequence[Issue], to: IO[str] | None = None) -> None:
    """One line each, and a second one where several lines of a file are meant."""
    for issue in issues:
        say_line(issue, to)
        if len(issue.lines) > 1:
            shown = ", ".join(map(str, issue.lines[:LINES_SHOWN]))
            say(f"    lines {shown}" + (", …" if issue.count > LINES_SHOWN else ""), to)


def print_table(
    titles: Sequence[str], rows: Iterable[Sequence[str]], whole: Sequence[str] = ()
) -> None:
    """A table with lines between its rows; the columns named in `whole` are not wrapped."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(show_lines=True)
    for title in titles:
        table.add_column(title, overflow="fold", no_wrap=title in whole)
    for row in rows:
        table.add_row(*(Text(visible(cell)) for cell in row))
    Console().print(table)


def print_columns(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Columns without lines between them, one row on a line however wide the terminal is."""
    shown = [[visible(cell).replace("\n", "\\n") for cell in row] for row in (titles, *rows)]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        print("  ".join(map(str.ljust, row, widths)).rstrip())


def teller() -> Callable[[str], None]:
    """Prints what is being waited for, each time that it changes."""
    last = ""

    def tell(text: str) -> None:
        nonlocal last
        if text != last:
            last = text
            say(text, to=sys.stderr)

    return tell
