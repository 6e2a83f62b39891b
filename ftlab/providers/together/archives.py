"""Archives that came from elsewhere: what may be in them, and how much, and where it goes.

Nothing of one is trusted: neither its names nor its sizes, nor that it ends.
"""

from __future__ import annotations

import gzip
import os
import shutil
import sys
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from ftlab.errors import FtlabError, UnreadableData
from ftlab.providers.together.room import require_room
from ftlab.units import in_bytes

if sys.version_info >= (3, 14):
    from compression.zstd import ZstdError, ZstdFile
else:
    from backports.zstd import ZstdError, ZstdFile

KEPT = (".safetensors", ".json", ".jinja", ".txt", ".md", ".model")
"""Files of weights, settings and tokenizers; all others, such as pickles, stay in the archive."""
MOST_FILES = 10_000
MOST_BYTES = 512 * 2**30
"""Of all that is in it: the largest model that the service tunes has 470 GB in 16 bits."""
RATIO = 50
"""Unpacked bytes per packed one; weights have 1 to 2, a tokenizer's files up to 10."""
FREE_OF_RATIO = 2**26  # bytes that any archive may unpack to
LONGEST_HEADER = 2**22
"""Bytes that may lie between two files: tarfile holds these in memory."""
LONGEST_NAME, DEEPEST = 200, 8  # characters; folders in each other
BLOCK = 2**20
DAMAGED = (
    *(tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error, ZstdError),
    *(RecursionError, ValueError),
)
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


def unpack(archive: Path, into: Path) -> list[str]:
    """Unpack a .tar.zst, .tar.gz or .tar into a new folder; all names in it come back.

    Raises UnreadableData for one that is damaged, or that holds links, devices, names that lead
    elsewhere, or more than it may, and FtlabError where the disk is too small; what was unpacked
    so far then lies in the folder.
    """
    into.mkdir(mode=0o700)
    try:
        with archive.open("rb") as file:
            stream = _Bounded(_unpacked(file), _most(archive))
            return list(_members(stream, into))
    except DAMAGED as exc:
        if isinstance(exc, UnreadableData):
            raise
        why = f"it is damaged ({type(exc).__name__}: {str(exc)[:200]})"
        raise _refused(why, "a whole one is needed") from None
    except OSError as exc:
        raise FtlabError(
            f"The archive can't be unpacked into {into.parent} "
            f"({exc.strerror or type(exc).__name__}); what is in it must fit there. Make room, "
            "then ask again: the archive is kept."
        ) from None


def _members(stream: _Bounded, into: Path) -> Iterator[str]:
    """Unpack one after the other; the names."""
    stream.allow(LONGEST_HEADER)
    with tarfile.open(fileobj=stream, mode="r|", bufsize=BLOCK) as tar:  # pyright: ignore
        for n, member in enumerate(tar):
            if n >= MOST_FILES:
                raise _refused(f"it holds more than {MOST_FILES:,} files", "an adapter has few")
            if problem := _problem(member):
                raise _refused(problem, "plain files in folders of its own are taken")
            stream.allow(member.size + LONGEST_HEADER)
            if member.isfile() and PurePosixPath(member.name).suffix in KEPT:
                _write(tar, member, into)
            yield member.name
        stream.allow(sys.maxsize)
    while stream.read(BLOCK):  # to the end, where its checksum is
        pass


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, into: Path) -> None:
    """So that it is on the disk before anybody is told that it is there. Of a plain file nothing
    but its content is taken; tarfile's own filters came with Python 3.11.4."""
    require_room(into, member.size, f"{member.name} of the archive")
    place, content = into / member.name, tar.extractfile(member)
    assert content is not None, "it is a file"
    place.parent.mkdir(parents=True, exist_ok=True)
    with content, place.open("wb") as file:
        shutil.copyfileobj(content, file, BLOCK)
        file.flush()
        os.fsync(file.fileno())


def _problem(member: tarfile.TarInfo) -> str:
    """Why a member is not taken; empty where it is."""
    name, parts = member.name, PurePosixPath(member.name).parts
    is_plain = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and member.sparse is None
    if not is_plain and not member.isdir():
        return f"{_shown(name)} is neither a file nor a folder"
    if name.startswith("/") or ".." in parts or "\\" in name or not name.isprintable():
        return f"{_shown(name)} leads out of it"
    if len(name) > LONGEST_NAME or len(parts) > DEEPEST:
        return f"{_shown(name)} is too long a name"
    if member.size < 0 or member.size > MOST_BYTES:
        return f"{_shown(name)} has {member.size:,} bytes by its own word"
    return ""


def _shown(name: str) -> str:
    return ascii(name if len(name) <= 60 else name[:59] + "…")


def _unpacked(file: IO[bytes]) -> gzip.GzipFile | ZstdFile | IO[bytes]:
    """What is packed in a file, by how it begins."""
    start = file.read(4)
    file.seek(0)
    if start.startswith(GZIP):
        return gzip.open(file)
    # Only what it unpacks is held in memory; its window is at most 128 MiB.
    return ZstdFile(file) if start == ZSTD else file


def _most(archive: Path) -> int:
    """Bytes that it may unpack to."""
    return min(archive.stat().st_size * RATIO + FREE_OF_RATIO, MOST_BYTES)


def _refused(found: str, allowed: str) -> UnreadableData:
    return UnreadableData(
        f"The archive is not taken: {found}; {allowed}. Download it again; if it stays so, look at "
        "the job's files at the service."
    )


class _Bounded:
    """A stream that says no before it has given too much."""

    def __init__(self, stream: Any, most: int) -> None:
        self._stream, self._most = stream, most
        self._given, self._allowed = 0, most

    def allow(self, more: int) -> None:
        """So many bytes may be read from here on."""
        self._allowed = self._given + more

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._given += len(data)
        if self._given > self._most:
            limit = in_bytes(self._most)
            raise _refused(
                f"it unpacks to more than {limit}",
                f"its size allows {limit}",
            )
        if self._given > self._allowed + BLOCK:  # tarfile reads ahead by a block
            raise _refused("it holds a header without end", "a header has a few hundred bytes")
        return data
