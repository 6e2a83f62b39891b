"""scan(): what a data file is, in one pass: every bad line, and the tokens a model sees in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from ftlab.data import cache
from ftlab.data.asked import Asked, find_tokenizer
from ftlab.data.checks import find_in_file, raised
from ftlab.data.file_issues import (
    mixed_formats,
    no_file,
    no_hub_data,
    no_rows,
    nothing_trains,
    unreadable,
)
from ftlab.data.formats import BOTH, Problem
from ftlab.data.guess import guessed
from ftlab.data.hub import hub_rows, is_hub_id
from ftlab.data.purposes import PURPOSES, for_purpose
from ftlab.data.repeats import blocks_of, repeats, to_compare
from ftlab.data.rows import Rows
from ftlab.data.scans import Scan
from ftlab.data.sources import Source, open_source
from ftlab.data.stats import TokenStats
from ftlab.data.tokenized import FORMAT, TEXT_ONLY, TokenizedRows
from ftlab.errors import FtlabError
from ftlab.files import existing, sha256_of
from ftlab.html import escaped, facts, histogram, issue_list
from ftlab.issues import Issue, by_gravity, errors_for
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
    guess: TokenStats | None = None
    """By the number of characters, where no tokenizer counted."""
    loss_tokens: int = 0
    """Tokens that train, within max_seq_length or else the model's context."""
    max_seq_length: int | None = None
    train_on_inputs: bool | str = "auto"
    tokens_exact: bool = False
    issues: tuple[Issue, ...] = ()
    _source: Source | None = PrivateAttr(None)
    """The rows themselves, where they stand in no file."""

    @property
    def sizes(self) -> TokenStats | None:
        """`tokens`, or a guess at them where the model's tokenizer is not here."""
        return self.guess if self.tokens is None else self.tokens

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
        return counted == wanted and self.is_of(file)

    def is_of(self, file: str) -> bool:
        """Whether it is a scan of that file as it is now."""
        found = existing(file)
        return (
            found is not None
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

        A line that is no row comes as its text. Raises OSError or UnreadableData when the rows
        are no longer there.
        """
        lines = self._lines(code)
        if self._source is None and self.path.endswith(".jsonl"):
            return Rows(Path(self.path)).some(lines, n)
        return open_source(self._source or self.path).some(lines, n)

    def _lines(self, code: str | None) -> list[int] | None:
        if code is None:
            return None
        return sorted({line for issue in self.issues if issue.code == code for line in issue.lines})

    def repair(self, to: str | Path | None = None) -> Any:
        """Write a copy in which every fault of this report that can be mended is mended, and in
        rows that are refused whatever else they need; rows that can't be mended go into a second
        file, with reasons. Both stand beside the file; of rows from memory, in the present folder
        or in `to`. Returns a `Repair`; see `ftlab.repair`."""
        from ftlab.data.repair import fixable, hidden_fixes, repair

        rows = self._source or self.path
        return repair(rows, to, fixable(self), in_refused=hidden_fixes(self))

    def accepted_by(self, engine: str) -> bool:
        """Whether nothing in the file keeps that engine from taking it."""
        return not errors_for(self.issues, engine)

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
    name = None if model is None else str(model)
    tokenizer, issues = find_tokenizer(name)
    asked = Asked(
        model=name if tokenizer else None,
        tokenizer=tokenizer,
        max_seq_length=max_seq_length,
        train_on_inputs=train_on_inputs,
        purpose=purpose,
        against=against,
    )
    # A model that can't be read may be another time; such a report is not kept.
    keeps = cached and (name is None or tokenizer is not None)
    try:
        if file is None or not keeps:
            return _read(open_source(data if file is None else file), asked, issues, progress)
        return _kept_or_read(file, asked, issues, progress)
    except OSError as exc:
        return DataReport(path=str(data), issues=(unreadable(Path(str(data)), exc),))


def _kept_or_read(
    file: Path, asked: Asked, issues: list[Issue], progress: Progress | None
) -> DataReport:
    """The report of a file, from the cache where it is there."""
    key = cache.key(file, asked)
    known = cache.load(key) if key else None
    if known is not None and (report := _revived(known)) is not None:
        return report.model_copy(update={"path": str(file)})
    report = _read(open_source(file), asked, issues, progress)
    if key is not None and report.sha256 == sha256_of(file):
        cache.store(key, report.model_dump_json())  # else it was written to while it was read
    return report


def _revived(text: str) -> DataReport | None:
    """A report that was kept, or None where it was damaged."""
    try:
        return DataReport.model_validate_json(text)
    except ValueError:
        return None


def _read(
    source: Source, asked: Asked, issues: list[Issue], progress: Progress | None
) -> DataReport:
    """The report of a source, with the issues that are known beforehand. Raises OSError."""
    if source.kind == "tokenized":
        report = _read_tokenized(source, asked)
    else:
        report = _read_rows(source, asked, issues, progress)
    found = for_purpose(by_gravity(report.issues), asked.purpose, source.kind)
    report = report.model_copy(update={"issues": tuple(found)})
    if source.path is None:
        report._source = source
    return report


def _read_rows(
    source: Source, asked: Asked, issues: list[Issue], progress: Progress | None
) -> DataReport:
    total = source.n_bytes or 0
    near = to_compare(source)
    scanned = Scan(source.name, asked.tokenizer, asked.limit, asked.train_on_inputs, near)
    scanned.run(blocks_of(source), progress and (lambda done: progress(min(done, total), total)))
    for problem in source.problems:
        scanned.report(0, [_for_trainer(problem, source)])
    columns = scanned.rows.columns
    found = [*issues, *_issues(scanned), *repeats(source, scanned.rows, asked.against)]
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
        guess=None if scanned.tokens else guessed(columns, scanned.rows.turns),
        tokens_exact=scanned.tokens is not None and scanned.tokens.is_exact,
        loss_tokens=scanned.tokens.loss_tokens if scanned.tokens else 0,
        issues=tuple(raised(found, scanned.n_rows)),
        **asked.said,
    )


def _read_tokenized(source: Source, asked: Asked) -> DataReport:
    rows, scanned = TokenizedRows(), Scan(source.name, None, None)
    for number, problem in rows.read(source.lines(), asked.limit):
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
        issues=tuple(found),
        **asked.said,
    )


def _is_elsewhere(source: Source) -> bool:
    """Whether the rows stand in anything but the lines of a plain file, which a trainer reads."""
    return source.kind != "jsonl" or source.zipped


def _for_trainer(problem: Problem, source: Source) -> Problem:
    """The embedded trainer reads lines of JSON and nothing else."""
    blocked = source.path is not None and _is_elsewhere(source)
    return problem._replace(blocks=BOTH) if blocked and problem.blocks else problem


def _sha256(source: Source) -> str:
    return sha256_of(source.path) if source.path else ""


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
