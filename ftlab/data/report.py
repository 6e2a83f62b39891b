"""scan(): what a data file is, in one pass: every bad line, and the tokens a model sees in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ftlab.data import cache
from ftlab.data.blocks import Block, file_blocks, line_blocks
from ftlab.data.checks import (
    find_in_file,
    leakage,
    near_duplicate_issues,
    near_leakage_issues,
    raised,
)
from ftlab.data.columns import Columns
from ftlab.data.file_issues import (
    MOST_CHARACTERS,
    MOST_COMPARED,
    mixed_formats,
    no_file,
    no_hub_data,
    no_rows,
    no_training_file,
    not_compared,
    nothing_trains,
    unreadable,
)
from ftlab.data.formats import BOTH, Problem
from ftlab.data.hub import hub_rows, is_hub_id
from ftlab.data.purposes import PURPOSES, for_purpose
from ftlab.data.rows import Rows
from ftlab.data.scans import Scan
from ftlab.data.sources import Source, open_source
from ftlab.data.stats import TokenStats
from ftlab.data.tally import RowTally, answered_texts
from ftlab.data.tokenized import FORMAT, TEXT_ONLY, TokenizedRows
from ftlab.data.tokens import Tokenizer, load_tokenizer
from ftlab.errors import FtlabError, UnreadableData
from ftlab.files import existing, sha256_of
from ftlab.html import escaped, facts, histogram, issue_list
from ftlab.issues import Issue, by_gravity
from ftlab.models import fetch, read_info
from ftlab.spec import JobSpec

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
    foreign: str | None = None
    """Whose format most rows have (ShareGPT, Alpaca, …) where that is none of the four."""
    n_bad_rows: int = 0
    """Rows that at least one engine refuses."""
    n_duplicates: int = 0
    """Rows that say the same as an earlier one."""
    n_groups: int = 0
    """Groups of rows that say the same."""
    formats: dict[str, int] = Field(default_factory=dict)
    """Rows per format."""
    scripts: dict[str, int] = Field(default_factory=dict)
    """Writing system of the answers (latin, cyrillic, han, …) → rows."""
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

    @property
    def format_in_words(self) -> str:
        """The format for a person."""
        if self.foreign is not None:
            return f"{self.foreign} (to be converted)"
        return self.format or "unknown"

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

    def to_frame(self) -> Any:
        """One line per issue, gravest first, for pandas."""
        from pandas import DataFrame

        columns = ["level", "code", "where", "count", "lines", "blocks", "message"]
        rows = [[getattr(issue, name) for name in columns] for issue in self.issues]
        return DataFrame(rows, columns=columns)

    def rows(self, code: str | None = None, n: int = 10) -> list[tuple[int, Any]]:
        """(line, row) of the first rows, or of the first that an issue of that code is about.

        A line that is no row comes as its text. Raises UnreadableData when the file is no JSONL.
        """
        return Rows(Path(self.path)).some(self._lines(code), n)

    def _lines(self, code: str | None) -> list[int] | None:
        if code is None:
            return None
        return sorted({line for issue in self.issues if issue.code == code for line in issue.lines})

    def repair(self, to: str | Path | None = None) -> Any:
        """Write a copy in which every fault of this report that can be mended is mended; rows that
        can't be go into a second file, with reasons. Returns a `Repair`; see `ftlab.repair`."""
        from ftlab.data.repair import fixable, repair

        return repair(self.path, to, fixable(self))

    def accepted_by(self, engine: str) -> bool:
        """Whether nothing in the file keeps that engine from taking it."""
        return not any(engine in issue.blocks for issue in self.issues)

    def _repr_html_(self) -> str:
        return _as_html(self)


def _as_html(report: DataReport) -> str:
    """What a notebook shows of a report: figures, a histogram, and the issues."""
    values = {"rows": f"{report.n_rows:,}", "format": report.format_in_words}
    picture = ""
    if report.tokens is not None and report.tokens.n_sequences:
        share = report.loss_tokens / max(report.tokens.total, 1)
        values["tokens"] = f"{report.tokens.total:,} (tokenizer of {report.model})"
        values["trained"] = f"{report.loss_tokens:,} ({share:.0%})"
        values["per row"] = ", ".join(f"{k} {n:,}" for k, n in report.tokens.quantiles().items())
        picture = histogram(report.tokens.histogram(), report.max_seq_length)
    title = f"<b>{escaped(Path(report.path).name)}</b>"
    return f"<div>{title}{facts(values)}{picture}{issue_list(report.issues)}</div>"


def scan(
    data: Any,
    model: str | Path | None = None,
    *,
    against: str | Path | None = None,
    max_seq_length: int | None = None,
    train_on_inputs: bool | str = "auto",
    purpose: str = "fine-tune",
    progress: Progress | None = None,
    cached: bool = True,
) -> DataReport:
    """Read data once and report all that is wrong with it, and its tokens for `model`.

    `data` is the path of a JSONL, JSON, CSV or Parquet file (also .gz), a DataFrame, a list of
    rows, anything that gives rows, or the id of a data set on the hub. `against` is the training
    file when `data` is validation data: rows that stand in both are reported. An unchanged file
    is not read twice unless `cached` is False.

    `purpose` is what it is uploaded for: "fine-tune" or "eval".

    Never raises for what is in the data: a missing file or model is an Issue of the report too.
    """
    if purpose not in PURPOSES:
        raise ValueError(f"purpose is {purpose!r}; it takes {' or '.join(PURPOSES)}. Use one.")
    file = existing(data) if isinstance(data, (str, Path)) else None
    if isinstance(data, str) and file is None and is_hub_id(data):
        try:
            data = list(hub_rows(data))
        except FtlabError as exc:
            return DataReport(path=data, issues=(no_hub_data(exc),))
    if isinstance(data, (str, Path)) and (file is None or not file.is_file()):
        return DataReport(path=str(data), issues=(no_file(data),))
    model = None if model is None else str(model)
    tokenizer, issues = _find_tokenizer(model)
    limit = max_seq_length or (_context(model) if model and tokenizer else None)
    asked = {
        "model": model if tokenizer else None,
        "max_seq_length": max_seq_length,
        "train_on_inputs": train_on_inputs,
    }
    try:
        asking = {**asked, "purpose": purpose}
        # A model that can't be read may be another time; such a report is not kept.
        keeps = file is not None and cached and (model is None or tokenizer is not None)
        key = cache.key(file, tokenizer, limit, asking, against) if file and keeps else None
        known = cache.load(key) if key else None
        if known is not None and (report := _revived(known)) is not None:
            return report.model_copy(update={"path": str(file)})
        source = open_source(data if file is None else file)
        report = _read(source, tokenizer, limit, asked, issues, progress, against)
        found = tuple(for_purpose(report.issues, purpose, source.kind))
        report = report.model_copy(update={"issues": found})
    except OSError as exc:
        return DataReport(path=str(data), issues=(unreadable(Path(str(data)), exc),))
    if key is not None and file is not None and report.sha256 == sha256_of(file):
        cache.store(key, report.model_dump_json())  # else it was written to while it was read
    return report


def _revived(text: str) -> DataReport | None:
    """A report that was kept, or None where it was damaged."""
    try:
        return DataReport.model_validate_json(text)
    except ValueError:
        return None


def _read(
    source: Source,
    tokenizer: Tokenizer | None,
    limit: int | None,
    asked: dict[str, Any],
    issues: list[Issue],
    progress: Progress | None,
    against: str | Path | None,
) -> DataReport:
    if source.kind == "tokenized":
        return _read_tokenized(source, limit, asked)
    total = source.n_bytes or 0
    scanned = Scan(source.name, tokenizer, limit, asked["train_on_inputs"])
    scanned.run(blocks_of(source), progress and (lambda done: progress(min(done, total), total)))
    for problem in source.problems:
        scanned.report(0, [_for_trainer(problem, source)])
    columns = scanned.rows.columns
    repeats = _repeats(source, scanned.rows, against)
    found = raised([*issues, *_issues(scanned), *repeats], scanned.n_rows)
    sizes = np.unique(columns.row_hash, return_counts=True)[1]
    unseen = scanned.passed_over or _is_elsewhere(source)
    return DataReport(
        path=str(source.path or source.name),
        sha256=_sha256(source) if unseen else scanned.screen.sha256,
        n_bytes=total,
        n_rows=scanned.n_rows,
        n_bad_rows=scanned.n_bad_rows,
        n_duplicates=int((sizes - 1).sum()),
        n_groups=int((sizes > 1).sum()),
        format=scanned.majority,
        foreign=scanned.foreign,
        formats=dict(scanned.formats),
        roles=dict(scanned.rows.roles),
        turns=dict(scanned.rows.turns),
        scripts=dict(columns.scripts),
        tokens=scanned.tokens.stats() if scanned.tokens else None,
        tokens_exact=scanned.tokens is not None and scanned.tokens.is_exact,
        loss_tokens=scanned.tokens.loss_tokens if scanned.tokens else 0,
        issues=tuple(by_gravity(found)),
        **asked,
    )


def _read_tokenized(source: Source, limit: int | None, asked: dict[str, Any]) -> DataReport:
    rows, scanned = TokenizedRows(), Scan(source.name, None, None)
    for number, problem in rows.read(source.lines(), limit):
        scanned.report(number, [problem])
    for problem in (*source.problems, TEXT_ONLY):
        scanned.report(0, [problem])
    found = list(scanned.findings.issues(source.name))
    if not rows.n_rows:
        found.append(no_rows(source.name))
    return DataReport(
        path=str(source.path or source.name),
        sha256=_sha256(source),
        n_bytes=source.n_bytes or 0,
        n_rows=rows.n_rows,
        n_bad_rows=rows.n_bad_rows,
        format=FORMAT if rows.n_rows else None,
        formats={FORMAT: rows.n_rows},
        tokens=rows.stats(),
        tokens_exact=True,
        loss_tokens=rows.loss_tokens,
        issues=tuple(by_gravity(found)),
        **asked,
    )


def _repeats(source: Source, tally: RowTally, against: str | Path | None) -> Iterator[Issue]:
    """Rows that nearly repeat each other, or rows of the training data."""
    columns = tally.columns
    small = columns.n_rows <= MOST_COMPARED and columns.n_chars.sum() <= MOST_CHARACTERS
    if columns.n_rows and small:
        yield from near_duplicate_issues(source.name, answered_texts(source, columns.format))
    elif columns.n_rows:
        yield not_compared(source.name)
    if against is None:
        return
    train = open_source(against)
    if train.kind == "unknown" or not Path(against).expanduser().exists():
        yield no_training_file(against)
        return
    yield from leakage(columns_of(against), columns)
    if small and (train.n_bytes or 0) <= MOST_CHARACTERS:
        texts = answered_texts(train, columns.format), answered_texts(source, columns.format)
        yield from near_leakage_issues(train.name, texts[0], source.name, texts[1])


def _is_elsewhere(source: Source) -> bool:
    """Whether the rows stand in anything but the lines of a plain file, which a trainer reads."""
    return source.kind != "jsonl" or source.zipped


def _for_trainer(problem: Problem, source: Source) -> Problem:
    """The embedded trainer reads lines of JSON and nothing else."""
    blocked = source.path is not None and _is_elsewhere(source)
    return problem._replace(blocks=BOTH) if blocked and problem.blocks else problem


def _sha256(source: Source) -> str:
    return sha256_of(source.path) if source.path else ""


def blocks_of(source: Source) -> Iterator[Block]:
    """The blocks of any source; a JSONL file goes the short way."""
    if source.kind == "jsonl" and source.path is not None and not source.zipped:
        return file_blocks(source.path)
    return line_blocks(source.lines())


def columns_of(data: str | Path) -> Columns:
    """What a scan without a tokenizer keeps of a file's rows. Raises OSError."""
    source = open_source(data)
    scanned = Scan(source.name, None, None)
    scanned.run(blocks_of(source))
    return scanned.rows.columns


def _issues(scanned: Scan) -> Iterator[Issue]:
    """One issue per kind of problem and place in the row, then those of the whole file."""
    yield from scanned.findings.issues(scanned.name)
    if scanned.n_rows == 0:
        yield no_rows(scanned.name)
        return
    if len(scanned.formats) > 1:
        yield mixed_formats(
            scanned.name,
            scanned.majority,
            scanned.format_lines,
            scanned.formats.total() - scanned.formats[scanned.majority or ""],
        )
    yield from scanned.check_sample()
    yield from find_in_file(scanned.rows.columns)
    if scanned.tokens is not None and scanned.tokens.lengths and not scanned.tokens.loss_tokens:
        yield nothing_trains(scanned.name)


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
