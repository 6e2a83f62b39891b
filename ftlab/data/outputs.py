"""Files that are written beside the data: whole or not there, and never over another."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self


class NewFile:
    """A file of lines that takes a free name when it is whole; until then it has another.

    A context: whatever was not published when it ends is taken away.
    """

    def __init__(self, wanted: Path) -> None:
        self.wanted = wanted
        self.n_lines = 0
        self._draft = wanted.with_name(f".{wanted.name[:80]}.{uuid.uuid4().hex}.part")
        self._stream: BinaryIO | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._stream is not None:
            self._stream.close()
            self._draft.unlink(missing_ok=True)

    def add(self, line: bytes) -> None:
        """Write one line; its newline is added. Raises OSError."""
        if self._stream is None:
            self.wanted.parent.mkdir(parents=True, exist_ok=True)
            self._stream = self._draft.open("xb", buffering=1 << 20)
        self._stream.write(line + b"\n")
        self.n_lines += 1

    def lines(self) -> BinaryIO:
        """What was written so far, to be read again. At least one line must be."""
        if self._stream is not None:
            self._stream.flush()
        return self._draft.open("rb")

    def publish(self) -> Path | None:
        """Give it the name that was wanted, or that with a number; None when it has no lines."""
        if self._stream is None:
            return None
        self._stream.close()
        number = 1
        while True:
            path = numbered(self.wanted, number)
            try:
                _take_name(self._draft, path)
            except FileExistsError:
                number += 1
            else:
                return path


def numbered(path: Path, number: int) -> Path:
    """`train.fixed.jsonl`, then `train.fixed-2.jsonl`."""
    return path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")


def _take_name(draft: Path, path: Path) -> None:
    """Rename, but never over another file. Raises FileExistsError."""
    try:
        os.link(draft, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        path.open("xb").close()
        draft.replace(path)


def beside(source: Path | None, to: str | Path | None, kind: str) -> Path:
    """Where a file made of another goes: `train.fixed.jsonl` beside it, in `to`, or `to` itself."""
    given = None if to is None else Path(to).expanduser()
    if given is not None and not given.is_dir():
        return given
    folder = given or (source.parent if source else Path())
    return folder / f"{plain_stem(source, kind)}.{kind}.jsonl"


def plain_stem(source: Path | None, kind: str) -> str:
    """The name without its endings, also without that of an earlier round."""
    if source is None:
        return "rows"
    name = source.name.removesuffix(".gz")
    stem = Path(name).stem
    first, _, last = stem.rpartition(".")
    again = first and (last == kind or (last.startswith(f"{kind}-") and last[-1].isdigit()))
    return first if again else stem
