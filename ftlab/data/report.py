"""scan(): what a data file is, in one pass: every bad line, and the tokens a model sees in it."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ftlab.data.chat import Tokens, tokenise
from ftlab.data.checks import RowView, find_problems
from ftlab.data.formats import Problem, detect, messages_of, row_problems
from ftlab.data.rows import BOM, BadLine, iter_lines, parse_line
from ftlab.data.stats import TokenStats
from ftlab.data.template import CannotRender
from ftlab.data.tokens import Tokenizer, load_tokenizer
from ftlab.errors import UnreadableData
from ftlab.files import existing, sha256_of
from ftlab.html import escaped, facts, histogram, issue_list
from ftlab.issues import LINES_KEPT, Issue, by_gravity
from ftlab.models import fetch, read_info
from ftlab.spec import JobSpec

PROGRESS_EVERY = 1 << 20  # bytes
GROUPS_PER_CODE = 20  # issues of one code; rows with ever new keys must not make ever new issues
_INDEX = re.compile(r"\[\d+\]")

Progress = Callable[[int, int], None]
"""Called with (bytes read, bytes in all)."""


class DataReport(BaseModel):
    """What a data file is: rows, format, tokens, and everything that is wrong with it."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    path: str
    sha256: str = ""
    n_bytes: int = 0
    n_rows: int = 0
    """Rows, bad ones included; blank lines are none."""
    format: str | None = None
    """conversation, instruction, general or preference: what most rows are."""
    n_bad_rows: int = 0
    """Rows that at least one engine refuses."""
    n_duplicates: int = 0
    """Rows that are the same as an earlier one, byte for byte."""
    roles: dict[str, int] = Field(default_factory=dict)
    """Messages per role."""
    turns: dict[int, int] = Field(default_factory=dict)
    """Number of messages → rows that have so many."""
    model: str | None = None
    """Whose tokenizer and chat template counted; None when none did."""
    tokens: TokenStats | None = None
    loss_tokens: int = 0
    """Tokens that train, within max_seq_length or else the model's context."""
    max_seq_length: int | None = None
    train_on_inputs: bool | str = "auto"
    tokens_exact: bool = False
    issues: tuple[Issue, ...] = ()

    @property
    def n_truncated(self) -> int:
        """Sequences longer than max_seq_length."""
        return 0 if self.tokens is None else self.tokens.n_longer(self.max_seq_length)

    def holds_for(self, spec: JobSpec, file: str) -> bool:
        """Whether it is a scan of that file as it is now, with what the spec says."""
        counted = (self.model, self.max_seq_length, self.train_on_inputs)
        wanted = (spec.model, spec.max_seq_length, spec.train_on_inputs or "auto")
        found = existing(file)
        return (
            counted == wanted
            and found is not None
            and found.resolve() == Path(self.path).resolve()
            and sha256_of(found) == self.sha256
        )

    def accepted_by(self, engine: str) -> bool:
        """Whether nothing in the file keeps that engine from taking it."""
        return not any(engine in issue.blocks for issue in self.issues)

    def _repr_html_(self) -> str:
        return _as_html(self)


def _as_html(report: DataReport) -> str:
    """What a notebook shows of a report: figures, a histogram, and the issues."""
    values = {"rows": f"{report.n_rows:,}", "format": report.format or "unknown"}
    picture = ""
    if report.tokens is not None:
        share = report.loss_tokens / max(report.tokens.total, 1)
        values["tokens"] = f"{report.tokens.total:,} (tokenizer of {report.model})"
        values["trained"] = f"{report.loss_tokens:,} ({share:.0%})"
        values["per row"] = ", ".join(f"{k} {n:,}" for k, n in report.tokens.quantiles().items())
        picture = histogram(report.tokens.histogram(), report.max_seq_length)
    title = f"<b>{escaped(Path(report.path).name)}</b>"
    return f"<div>{title}{facts(values)}{picture}{issue_list(report.issues)}</div>"


def scan(
    path: str | Path,
    model: str | None = None,
    *,
    max_seq_length: int | None = None,
    train_on_inputs: bool | str = "auto",
    progress: Progress | None = None,
) -> DataReport:
    """Read a JSONL file once and report all that is wrong with it, and its tokens for `model`.

    Never raises for what is in the file: a missing file or model is an Issue of the report too.
    """
    file = existing(path)
    if file is None or not file.is_file():
        return DataReport(path=str(path), issues=(_no_file(path),))
    tokenizer, issues = _find_tokenizer(model)
    limit = max_seq_length or (_context(model) if model and tokenizer else None)
    tally = _Tally(file.name, tokenizer, limit, train_on_inputs)
    digest, done, total = hashlib.sha256(), 0, file.stat().st_size
    try:
        for number, line in iter_lines(file):
            digest.update(line)
            tally.add(number, line)
            if progress and (done // PROGRESS_EVERY) != (done + len(line)) // PROGRESS_EVERY:
                progress(done, total)
            done += len(line)
    except OSError as exc:
        return DataReport(path=str(path), issues=(_unreadable(file, exc),))
    return DataReport(
        path=str(file),
        sha256=digest.hexdigest(),
        n_bytes=total,
        model=model if tokenizer else None,
        max_seq_length=max_seq_length,
        train_on_inputs=train_on_inputs,
        issues=tuple(by_gravity([*issues, *tally.issues()])),
        **tally.figures(),
    )


class _Tally:
    """The running counts of a scan."""

    def __init__(
        self,
        name: str,
        tokenizer: Tokenizer | None,
        max_seq_length: int | None,
        train_on_inputs: bool | str,  # noqa: FBT001 (the field's own type)
    ) -> None:
        self.name, self.tokenizer = name, tokenizer
        self.max_seq_length, self.train_on_inputs = max_seq_length, train_on_inputs
        # One time for the whole scan, or a template that writes it could change on the way.
        self.now = datetime.now()
        self.n_rows = self.n_bad_rows = self.n_duplicates = self.loss_tokens = 0
        self.formats: Counter[str] = Counter()
        self.roles: Counter[str] = Counter()
        self.turns: Counter[int] = Counter()
        self.lengths: Counter[int] = Counter()
        self.by_role: Counter[str] = Counter()
        self.hashes: set[int] = set()
        self.copies: list[int] = []
        self.found: dict[tuple[str, str], _Found] = {}
        self.format_lines: dict[str, list[int]] = {}

    def add(self, number: int, line: bytes) -> None:
        """Count one line of the file."""
        problems = list(self._line_problems(number, line))
        for problem in problems:
            key = self._group(problem)
            self.found.setdefault(key, _Found(problem, number)).add(number, problem)
        if any(problem.blocks for problem in problems):
            self.n_bad_rows += 1

    def _group(self, problem: Problem) -> tuple[str, str]:
        """Which issue a problem belongs to: one per code and kind of place, and not too many."""
        key = (problem.code, _INDEX.sub("[*]", problem.where) + problem.value)
        if key in self.found:
            return key
        n_groups = sum(code == problem.code for code, _ in self.found)
        return key if n_groups < GROUPS_PER_CODE else (problem.code, "")

    def _line_problems(self, number: int, line: bytes) -> Iterator[Problem]:
        if number == 1 and line.startswith(BOM):
            yield _BYTE_ORDER_MARK
            line = line.removeprefix(BOM)
        if not line.strip():
            yield _BLANK_LINE
            return
        self.n_rows += 1
        self._count_duplicate(line, number)
        try:
            row = parse_line(line)
        except BadLine as exc:
            yield exc.problem
            return
        yield from self._row_problems(number, row)

    def _row_problems(self, number: int, row: dict[str, Any]) -> Iterator[Problem]:
        known = detect(row)
        if known is not None:
            self.formats[known.name] += 1
            self.format_lines.setdefault(known.name, []).append(number)
        problems = row_problems(row)
        yield from problems
        if known is not None and not any("local" in problem.blocks for problem in problems):
            ours = {key: value for key, value in row.items() if key in known.keys}
            self._count_messages(ours)
            yield from self._token_problems(ours)

    def _token_problems(self, row: dict[str, Any]) -> Iterator[Problem]:
        if self.tokenizer is None:
            return
        try:
            sequences = tokenise(row, self.tokenizer, self.train_on_inputs, now=self.now)
        except CannotRender as exc:
            yield Problem("cannot_render", "", str(exc), blocks=("local",))
            return
        for tokens in sequences:
            self._count_tokens(tokens)
        yield from find_problems(RowView(row, sequences, self.tokenizer, self.max_seq_length))

    def _count_tokens(self, tokens: Tokens) -> None:
        self.lengths[len(tokens.ids)] += 1
        self.by_role.update(tokens.by_role())
        self.loss_tokens += tokens.cut(self.max_seq_length).n_trained

    def _count_messages(self, row: dict[str, Any]) -> None:
        messages = messages_of(row)
        self.roles.update(str(message.get("role")) for message in messages)
        self.turns[len(messages)] += 1

    def _count_duplicate(self, line: bytes, number: int) -> None:
        key = hash(line.strip())  # 8 bytes a row; two different rows meet once in 10^19 pairs
        if key in self.hashes:
            self.n_duplicates += 1
            if len(self.copies) < LINES_KEPT:
                self.copies.append(number)
        self.hashes.add(key)

    def figures(self) -> dict[str, Any]:
        """The fields of the report that were counted."""
        stats = TokenStats(lengths=dict(self.lengths), by_role=dict(self.by_role))
        return {
            "n_rows": self.n_rows,
            "n_bad_rows": self.n_bad_rows,
            "n_duplicates": self.n_duplicates,
            "format": self._majority(),
            "roles": dict(self.roles),
            "turns": dict(self.turns),
            "tokens": stats if self.tokenizer else None,
            "tokens_exact": self.tokenizer is not None,
            "loss_tokens": self.loss_tokens,
        }

    def _majority(self) -> str | None:
        return self.formats.most_common(1)[0][0] if self.formats else None

    def issues(self) -> Iterator[Issue]:
        """One issue per kind of problem and place in the row, with the lines that have it."""
        for found in self.found.values():
            yield found.issue(self.name)
        yield from self._whole_file_issues()

    def _whole_file_issues(self) -> Iterator[Issue]:
        if self.n_rows == 0:
            yield _no_rows(self.name)
        if len(self.formats) > 1:
            yield _mixed_formats(self.name, self._majority(), self.format_lines)
        if self.n_duplicates:
            yield _duplicates(self.name, self.n_duplicates, self.n_rows, self.copies)
        trains_nothing = self.tokenizer is not None and self.lengths and self.loss_tokens == 0
        if trains_nothing:
            yield _nothing_trains(self.name)


class _Found:
    """One kind of problem at one place in the row, and the lines that have it."""

    def __init__(self, problem: Problem, number: int) -> None:
        self.problem, self.first = problem, number
        self.where = problem.where
        self.lines: list[int] = []
        self.count = self.last = 0

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

    def issue(self, name: str) -> Issue:
        more = {1: "", 2: " One more row has this."}.get(
            self.count, f" {self.count - 1:,} more rows have this."
        )
        return Issue(
            self.problem.level,  # type: ignore[arg-type]
            _whole(f"{name} line {self.first}: {self.problem.message}{more}"),
            code=self.problem.code,
            where=_whole(self.where),
            blocks=self.problem.blocks,
            lines=tuple(self.lines),
            count=self.count,
        )


def _whole(text: str) -> str:
    """Text without halves of surrogate pairs, which no file and no terminal takes."""
    return text.encode("utf-8", "backslashreplace").decode()


_BYTE_ORDER_MARK = Problem(
    "byte_order_mark",
    "",
    "The file starts with a byte order mark; the hosted service takes UTF-8 without one. "
    "Save the file without it.",
    blocks=("together",),
    level="warning",
)
_BLANK_LINE = Problem(
    "blank_line",
    "",
    "The line is blank; each line holds one row. Nothing is lost, it is passed over.",
    blocks=(),
    level="tip",
)


def _find_tokenizer(model: str | None) -> tuple[Tokenizer | None, list[Issue]]:
    if model is None:
        text = (
            "Tokens were not counted: no model was given, and counts take its tokenizer. "
            "Name the model."
        )
        return None, [Issue("tip", text, code="no_model", where="model")]
    try:
        return load_tokenizer(fetch(model, weights=False)), []
    except UnreadableData as exc:
        text = f"Tokens were not counted: {exc}"
        return None, [Issue("error", text, "no_tokenizer", "model", blocks=("local",))]


def _context(model: str) -> int | None:
    """The length that a run takes when none is given; None is unknown."""
    try:
        return read_info(model).context_length
    except UnreadableData:
        return None  # submit() says what is wrong with the model


def _no_file(path: str | Path) -> Issue:
    return Issue(
        "error",
        f"{path} is not a file; the path of a JSONL file is needed. Correct the path.",
        code="no_file",
        where="training_file",
        blocks=("together", "local"),
    )


def _unreadable(path: Path, exc: OSError) -> Issue:
    return Issue(
        "error",
        f"{path} can't be read ({exc.strerror}); the file must be readable for you. "
        "Change its permissions, or copy it to where it can be read.",
        code="unreadable",
        where="training_file",
        blocks=("together", "local"),
    )


def _no_rows(name: str) -> Issue:
    return Issue(
        "error",
        f"{name} has no rows; at least one JSON object on a line of its own is needed. "
        "Write the rows into it.",
        code="no_rows",
        blocks=("together", "local"),
    )


def _mixed_formats(name: str, majority: str | None, lines: dict[str, list[int]]) -> Issue:
    others = sorted(n for kind, numbers in lines.items() if kind != majority for n in numbers)
    return Issue(
        "error",
        f"{name} line {others[0]}: this row has another format than most ({majority}); a file "
        f"holds one format. Move the {len(others):,} other rows into a file of their own.",
        code="mixed_formats",
        blocks=("together", "local"),
        lines=tuple(others[:LINES_KEPT]),
        count=len(others),
    )


def _duplicates(name: str, n_duplicates: int, n_rows: int, lines: list[int]) -> Issue:
    share = n_duplicates / n_rows
    return Issue(
        "warning" if share > 0.01 else "tip",
        f"{name} line {lines[0]}: this row repeats an earlier one, byte for byte; a row trains as "
        f"often as it stands there. Take the copies out unless that is meant. {n_duplicates:,} "
        f"of {n_rows:,} rows ({share:.1%}) are copies.",
        code="duplicates",
        lines=tuple(lines),
        count=n_duplicates,
    )


def _nothing_trains(name: str) -> Issue:
    return Issue(
        "error",
        f"No token of {name} would train; at least one answer must be left after weights and "
        "max_seq_length. Check the weights, or raise max_seq_length.",
        code="nothing_trains_at_all",
        blocks=("local",),
    )
