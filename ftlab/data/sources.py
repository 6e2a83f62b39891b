"""Where rows come from: files of any common kind, tables and iterables, all as lines of JSON.

What is wrong with the whole (an array where lines are needed, a broken archive) is a Problem of
the source; what is wrong with one row stays in its line, for whoever reads it. A record that can
be no row at all, such as one with too many cells, is a line that holds no JSON object.
"""

from __future__ import annotations

import gzip
import io
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Any, Literal

from ftlab.data import source_problems
from ftlab.data.blocks import LONGEST_LINE, TOO_LONG
from ftlab.data.elements import READ_SIZE, elements, shape_of
from ftlab.data.formats import file_problems
from ftlab.data.problems import Problem
from ftlab.data.rows import is_blank, row_or_text
from ftlab.data.tables import BATCH, as_line, csv_rows, frame_rows, pruned
from ftlab.files import existing

Kind = Literal["jsonl", "json", "csv", "parquet", "tokenized", "rows", "unknown"]
Read = Callable[["Source"], Iterator[bytes]]
MOST_KEPT = 32 << 20
"""Bytes of rows that come only once which are kept to be read again."""
TOKEN_COLUMNS = ("input_ids", "attention_mask", "labels", "position_ids")
_MAGIC = {
    b"PK\x03\x04": "a zip archive or an Excel workbook",
    b"\x28\xb5\x2f\xfd": "a zstd archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ": "an xz archive",
    b"\xff\xfe": "text in UTF-16",
    b"\xfe\xff": "text in UTF-16",
}


class Source:
    """Rows from anywhere, as numbered lines of JSON."""

    def __init__(
        self,
        name: str,
        kind: Kind,
        read: Read,
        *,
        path: Path | None = None,
        zipped: bool = False,
        n_rows: int | None = None,
        problems: Iterable[Problem] = (),
    ) -> None:
        self.name, self.kind, self.path, self.zipped = name, kind, path, zipped
        self.n_bytes = path.stat().st_size if path else None
        self.n_rows = n_rows
        """Where it is known beforehand, as with a list or a Parquet file."""
        self.position = 0
        """Bytes of the file read so far, out of `n_bytes`; rows, where there is no file."""
        self._read, self._known = read, tuple(problems)
        self._met: dict[str, tuple[Problem, int]] = {}

    @property
    def problems(self) -> list[Problem]:
        """What is wrong with the whole; grows while `lines()` runs."""
        met = [source_problems.counted(problem, n) for problem, n in self._met.values()]
        return [*self._known, *met]

    @property
    def broken(self) -> tuple[Problem, ...]:
        """Those because of which rows are missing: they stop the reading, and are not about how
        the file is packed."""
        found = [problem for problem in self.problems if not problem.fix]
        return tuple(p for p in found if "local" in p.blocks or p.code == "used_up")

    def note(self, problem: Problem) -> None:
        """Add a problem, or count it where its kind is known."""
        first, count = self._met.get(problem.code, (problem, 0))
        self._met[problem.code] = first, count + 1

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """(number from 1, one JSON value), in constant memory. A file of lines gives all of them,
        blank and bad ones too; what is longer than `LONGEST_LINE` is `TOO_LONG`."""
        self._met.clear()
        self.position = 0
        try:
            yield from enumerate(self._read(self), start=1)
        except (EOFError, zlib.error, gzip.BadGzipFile) as exc:
            self.note(source_problems.broken(self.name, "the archive", exc))
        except OSError as exc:
            self.note(source_problems.unreadable(self.name, exc))

    def some(self, lines: list[int] | None, n: int) -> list[tuple[int, Any]]:
        """(line, row) of at most `n` rows, of those on `lines` where given. What is no row comes
        as its text."""
        found = (
            (number, row_or_text(line))
            for number, line in self.lines()
            if (not is_blank(line) if lines is None else number in lines)
        )
        return list(islice(found, n))


def open_source(data: Any) -> Source:
    """The rows of a path, a DataFrame, a data set, a list or any iterable of rows.

    Never raises for what it is given: what can't be read is a Problem of an empty source.
    """
    if isinstance(data, Source):
        return data
    if isinstance(data, (str, Path)):
        return _open_path(data)
    return _open_rows(data)


def _open_path(path: str | Path) -> Source:
    file = existing(path)
    if file is None or not file.is_file():
        return Source(str(path), "unknown", _nothing, problems=[source_problems.no_file(path)])
    try:
        with file.open("rb") as stream:
            zipped = stream.read(2) == b"\x1f\x8b"
        head = _head(file, zipped=zipped)
    except OSError as exc:
        return _empty(file, source_problems.unreadable(file.name, exc))
    other = next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)
    if other:
        return _empty(file, source_problems.other_kind(file.name, other))
    suffix = next((s.lower() for s in reversed(file.suffixes) if s.lower() != ".gz"), "")
    if head.startswith(b"PAR1") or (suffix == ".parquet" and head):
        return _open_parquet(file, zipped=zipped)
    kind, read, problems = _of_text(file, suffix, head, zipped=zipped)
    return Source(file.name, kind, read, path=file, zipped=zipped, problems=problems)


def _of_text(
    file: Path, suffix: str, head: bytes, *, zipped: bool
) -> tuple[Kind, Read, list[Problem]]:
    """What a text is, how to read it, and what is wrong with that."""
    kind: Kind = "jsonl"
    wrong = []
    read = _line_reader(file, zipped=zipped)
    shape = shape_of(head, suffix)
    if suffix in (".csv", ".tsv"):
        kind, read = "csv", _csv_reader(file, zipped=zipped)
        wrong = [source_problems.a_csv(file.name)]
    elif shape != "lines":
        kind, read = "json", _element_reader(file, in_array=shape == "array", zipped=zipped)
        wrong = [source_problems.not_lines(file.name, shape)]
    return kind, read, _about_file(file, wrong, zipped=zipped)


def _about_file(file: Path, wrong: list[Problem], *, zipped: bool) -> list[Problem]:
    """`wrong`, and what the service does not take whatever the rows are. A suffix follows from the
    kind and goes when that is cured; that there are no rows, a scan says."""
    found = [*wrong, source_problems.zipped(file.name)] if zipped else wrong
    also = {"suffix", "no_rows"} if found else {"no_rows"}
    general = file_problems(file, file.stat().st_size)
    return [*found, *(problem for problem in general if problem.code not in also)]


def _empty(file: Path, problem: Problem) -> Source:
    return Source(file.name, "unknown", _nothing, path=file, problems=[problem])


def _head(file: Path, *, zipped: bool) -> bytes:
    """The first bytes of the text; as much of them as a broken archive gives."""
    if not zipped:
        with file.open("rb") as stream:
            return stream.read(READ_SIZE)
    try:
        with file.open("rb") as stream:
            return zlib.decompressobj(wbits=31).decompress(stream.read(READ_SIZE), READ_SIZE)
    except zlib.error:
        return b""


@contextmanager
def _opened(source: Source, file: Path, *, zipped: bool) -> Iterator[IO[bytes]]:
    """The text of a file, unpacked; tells the source how far it has been read."""
    with file.open("rb", buffering=0) as raw:
        counted = io.BufferedReader(_Counted(raw, source), READ_SIZE)
        if not zipped:
            yield counted
            return
        with gzip.GzipFile(fileobj=counted) as unpacked, io.BufferedReader(unpacked) as stream:
            yield stream


class _Counted(io.RawIOBase):
    """A file that counts the bytes taken from it."""

    def __init__(self, raw: io.FileIO, source: Source) -> None:
        self._raw, self._source = raw, source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        n_read = self._raw.readinto(buffer) or 0
        self._source.position += n_read
        return n_read


def _line_reader(file: Path, *, zipped: bool) -> Read:
    def read(source: Source) -> Iterator[bytes]:
        with _opened(source, file, zipped=zipped) as stream:
            yield from (line.removesuffix(b"\n") for line in _lines(stream))

    return read


def _lines(stream: IO[bytes]) -> Iterator[bytes]:
    """Lines with their newlines; one that is too long is passed over in pieces."""
    while line := stream.readline(LONGEST_LINE + 1):
        if len(line) <= LONGEST_LINE:
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = stream.readline(READ_SIZE)
        yield TOO_LONG


def _element_reader(file: Path, *, in_array: bool, zipped: bool) -> Read:
    def read(source: Source) -> Iterator[bytes]:
        with _opened(source, file, zipped=zipped) as stream:
            yield from elements(stream, source.note, name=source.name, in_array=in_array)

    return read


def _csv_reader(file: Path, *, zipped: bool) -> Read:
    def read(source: Source) -> Iterator[bytes]:
        with _opened(source, file, zipped=zipped) as stream:
            yield from csv_rows(_lines(stream), source.note, name=source.name)

    return read


def _open_parquet(file: Path, *, zipped: bool) -> Source:
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        return _empty(file, source_problems.no_pyarrow(file.name))
    try:
        with _unpacked(file, zipped=zipped) as stream, _table(stream) as table:
            names, n_rows = list(table.schema_arrow.names), table.metadata.num_rows
    except Exception as exc:  # pyarrow's own errors have no common base below Exception
        return _empty(file, source_problems.broken(file.name, "the Parquet file", exc))
    wrong = [*source_problems.columns(file.name, names, TOKEN_COLUMNS)]
    return Source(
        file.name,
        "tokenized" if "input_ids" in names else "parquet",
        _parquet_reader(file, n_rows, zipped=zipped),
        path=file,
        zipped=zipped,
        n_rows=n_rows,
        problems=_about_file(file, wrong, zipped=zipped),
    )


@contextmanager
def _unpacked(file: Path, *, zipped: bool) -> Iterator[IO[bytes]]:
    """A file that can be read from its end, as Parquet must; an archive goes to disk for that."""
    if not zipped:
        with file.open("rb") as stream:
            yield stream
        return
    with tempfile.TemporaryFile() as unpacked:
        with gzip.open(file) as stream:
            shutil.copyfileobj(stream, unpacked, READ_SIZE)
        unpacked.seek(0)
        yield unpacked


def _table(stream: IO[bytes]) -> Any:
    from pyarrow.parquet import ParquetFile

    return ParquetFile(stream, pre_buffer=False, buffer_size=READ_SIZE)


def _parquet_reader(file: Path, n_rows: int, *, zipped: bool) -> Read:
    def read(source: Source) -> Iterator[bytes]:
        done = 0
        try:
            with _unpacked(file, zipped=zipped) as stream, _table(stream) as table:
                for batch in table.iter_batches(BATCH):
                    yield from _row_lines(source, map(pruned, batch.to_pylist()), done)
                    done += batch.num_rows
                    source.position = (source.n_bytes or 0) * done // n_rows
        except Exception as exc:  # as above
            source.note(source_problems.broken(file.name, f"what follows row {done:,}", exc))

    return read


def _open_rows(data: Any) -> Source:
    package = type(data).__module__.partition(".")[0]
    name = f"{type(data).__name__} of rows"
    if package == "datasets" and isinstance(data, Mapping):
        return Source(name, "rows", _nothing, problems=[source_problems.choose_split(data)])
    rows = _rows_of(data, package)
    if rows is None:
        return Source(name, "rows", _nothing, problems=[source_problems.not_rows(data)])
    once = isinstance(data, Iterator)
    return Source(name, "rows", _in_order(rows, once=once), n_rows=_length(data))


def _rows_of(data: Any, package: str) -> Callable[[], Iterable[Any]] | None:
    """How to go through what holds rows, known by its package so that none is imported."""
    if package == "pandas" and hasattr(data, "iloc") and hasattr(data, "columns"):
        return lambda: frame_rows(data)
    if package == "datasets":
        return lambda: map(pruned, data)
    if package == "pyarrow" and hasattr(data, "to_batches"):
        return lambda: (pruned(row) for part in data.to_batches(BATCH) for row in part.to_pylist())
    if isinstance(data, (Mapping, bytes)) or not hasattr(data, "__iter__"):
        return None
    return lambda: data


def _length(data: Any) -> int | None:
    try:
        return len(data)
    except Exception:  # none, or someone else's code
        return None


def _in_order(rows: Callable[[], Iterable[Any]], *, once: bool) -> Read:
    def read(source: Source) -> Iterator[bytes]:
        try:
            yield from _row_lines(source, rows(), 0)
        except Exception as exc:  # the iterable is someone else's code
            what = f"what follows row {source.position:,}"
            source.note(source_problems.broken(source.name, what, exc))

    return _Once(read) if once else read


class _Once:
    """Lines that come only once, kept to be looked at and mended while they are not too many."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._left: Iterator[bytes] | None = None
        self._kept: list[bytes] | None = []
        self._size = 0
        self._met: dict[str, tuple[Problem, int]] = {}

    def __call__(self, source: Source) -> Iterator[bytes]:
        if self._left is None:
            self._left = self._read(source)
        if self._kept is None:
            source.note(source_problems.used_up(source.name))
        else:
            yield from tuple(self._kept)
        for line in self._left:
            self._keep(line)
            yield line
        # What was wrong with it the first time is so every time.
        self._met = self._met or dict(source._met)
        source._met.update(self._met)

    def _keep(self, line: bytes) -> None:
        if self._kept is None:
            return
        self._size += len(line)
        self._kept.append(line)
        if self._size > MOST_KEPT:
            self._kept = None


def _row_lines(source: Source, rows: Iterable[Any], done: int) -> Iterator[bytes]:
    for number, row in enumerate(rows, start=done + 1):
        try:
            line = as_line(row)
        except (TypeError, ValueError, RecursionError) as exc:
            source.note(source_problems.no_json(source.name, number, exc))
            line = as_line(f"row {number} can't be written as JSON")
        if source.path is None:
            source.position = number
        yield line


def _nothing(_: Source) -> Iterator[bytes]:
    return iter(())
