"""A file from the person's own machine into the notebook's folder, piece by piece.

A hub's machine and that of the browser are two, and JupyterLab's own upload is in another place.
Each piece waits for the answer to the one before, so that neither side holds the whole file.
"""

from __future__ import annotations

import re
import shutil
import threading
import time
import unicodedata
import uuid
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import anywidget
from traitlets import Int, List, Unicode

from ftlab.data.outputs import numbered
from ftlab.errors import UnreadableData
from ftlab.ui.guard import Teller, guarded

PIECE = 1 << 20
LARGEST = 2 << 30
KINDS = (".jsonl", ".json", ".csv", ".parquet", ".gz")
LONGEST_NAME = 150  # bytes; file systems take 255, and a number and `.part` are added
SILENCE = 60  # seconds after which an upload that sends nothing makes room for another
_ODD = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\/]')


class Upload(anywidget.AnyWidget):
    """A button that sends a file; `uploaded` is called with the path under which it lies here."""

    _esm = Path(__file__).with_name("upload.js")
    _css = Path(__file__).with_name("upload.css")
    label = Unicode().tag(sync=True)
    kinds = List(Unicode(), list(KINDS)).tag(sync=True)
    piece = Int(PIECE).tag(sync=True)

    def __init__(
        self, uploaded: Callable[[Path], Any], tell: Teller, label: str = "Upload a file"
    ) -> None:
        super().__init__(label=f"{label} (at most {LARGEST >> 30} GiB)")
        self._uploaded, self._tell = uploaded, tell
        self._arriving: dict[str, Arriving] = {}  # one at most, by the browser's name for it
        self._lock = threading.RLock()
        self.on_msg(guarded(tell, self._heard))
        weakref.finalize(self, _drop, self._arriving)  # also when the kernel ends

    def close(self) -> None:
        """Take the widget away, and what has arrived of a file."""
        _drop(self._arriving)
        super().close()

    def _heard(self, _: Any, said: Any, buffers: list[Any]) -> None:
        """One message of the browser. Whatever is in it, an answer goes back."""
        key = str(said.get("id", ""))
        try:
            with self._lock:
                answer, path = self._answer(said, key, buffers)
        except UnreadableData as exc:
            _drop(self._arriving, key)
            answer, path = {"kind": "refused", "text": str(exc)}, None
        except OSError as exc:
            _drop(self._arriving, key)
            answer, path = {"kind": "refused", "text": _not_written(exc)}, None
        self.send({**answer, "id": key})
        if path is not None:
            self._uploaded(path)

    def _answer(
        self, said: dict[str, Any], key: str, buffers: list[Any]
    ) -> tuple[dict[str, Any], Path | None]:
        if said.get("kind") == "cancel":
            _drop(self._arriving, key)
            return {"kind": "cancelled"}, None
        if said.get("kind") == "start":
            self._start(said, key)
        elif key in self._arriving:
            self._arriving[key].add(said.get("from"), buffers)
        else:
            raise UnreadableData(_LOST)
        file = self._arriving[key]
        if not file.is_whole:
            return {"kind": "got", "n": file.n_bytes}, None
        path = file.publish()
        del self._arriving[key]
        return {"kind": "done", "name": path.name}, path

    def _start(self, said: dict[str, Any], key: str) -> None:
        for other in self._arriving.values():
            if time.monotonic() - other.last < SILENCE:
                raise UnreadableData(
                    f"{other.name} is being uploaded in another window; one file at a time is "
                    "taken. Wait until it is done, or cancel it there."
                )
        _drop(self._arriving)
        name, n_bytes = safe_name(said.get("name")), _checked_size(said.get("size"))
        self._arriving[key] = Arriving(name, n_bytes, Path.cwd())


class Arriving:
    """A file of which a part is here, under a name of its own until it is whole."""

    def __init__(self, name: str, size: int, folder: Path) -> None:
        self.name, self.size, self.folder = name, size, folder
        self.n_bytes = 0
        self.last = time.monotonic()
        free = shutil.disk_usage(folder).free
        if free < size:
            raise UnreadableData(
                f"{name} has {_mib(size)}; {folder} has room for {_mib(free)}. "
                "Make room there, or upload a smaller file."
            )
        self.draft = folder / f".{name}.{uuid.uuid4().hex}.part"
        self._stream: BinaryIO = self.draft.open("xb")

    @property
    def is_whole(self) -> bool:
        return self.n_bytes == self.size

    def add(self, start: Any, buffers: list[Any]) -> None:
        """Write the next piece. Raises UnreadableData when it is not the next one."""
        data = buffers[0] if len(buffers) == 1 else b""
        n_new = memoryview(data).nbytes
        fits = 0 < n_new <= PIECE and self.n_bytes + n_new <= self.size
        if start != self.n_bytes or not fits:
            raise UnreadableData(
                f"A piece of {self.name} came out of turn; pieces come one after the other. "
                "Upload it again; nothing was kept."
            )
        self._stream.write(data)
        self.n_bytes += n_new
        self.last = time.monotonic()

    def publish(self) -> Path:
        """Give the whole file its name, or that with a number where it is taken."""
        self._stream.close()
        number = 1
        while True:
            path = numbered(self.folder / self.name, number)
            try:
                path.open("xb").close()  # whoever makes the file has the name
            except FileExistsError:
                number += 1
            else:
                return self._renamed(path)

    def _renamed(self, path: Path) -> Path:
        try:
            return self.draft.replace(path)
        except OSError:
            path.unlink(missing_ok=True)  # it is empty, and ours
            raise

    def drop(self) -> None:
        """Take away what has arrived."""
        self._stream.close()
        self.draft.unlink(missing_ok=True)


def safe_name(given: Any) -> str:
    """The last part of what a browser calls a file, without what a path could be made of."""
    text = unicodedata.normalize("NFC", str(given or "")).encode("utf-8", "ignore").decode()
    last = re.split(r"[\\/]", text)[-1]
    name = "".join(c for c in _ODD.sub("_", last) if c.isprintable()).strip(" .")
    stem, dot, ending = name.rpartition(".")
    if f"{dot}{ending}".lower() not in KINDS or not stem:
        raise UnreadableData(
            f"{name[:80] or 'The file'} is of no kind that is read here; {', '.join(KINDS)} are. "
            "Choose such a file, or save it as one."
        )
    while len(stem.encode()) > LONGEST_NAME:
        stem = stem[:-1]
    return f"{stem}.{ending}"


def _checked_size(given: Any) -> int:
    if type(given) is not int or given <= 0:
        raise UnreadableData("The file is empty; one with rows is needed. Choose another.")
    if given > LARGEST:
        raise UnreadableData(
            f"The file has {_mib(given)}; up to {_mib(LARGEST)} are uploaded here. Pack it with "
            "gzip, or copy it to this machine in another way and type its path."
        )
    return given


def _mib(n_bytes: int) -> str:
    return f"{n_bytes / 2**20:,.0f} MiB" if n_bytes >= 1 << 20 else f"{n_bytes:,} bytes"


def _not_written(exc: OSError) -> str:
    return (
        f"The file can't be written to {Path.cwd()} ({exc.strerror or exc}); the folder of the "
        "notebook must be writable and have room. Nothing was kept; mend that and upload it again."
    )


def _drop(arriving: dict[str, Arriving], key: str | None = None) -> None:
    """Take away what has arrived of one upload, or of all."""
    for name in [key] if key is not None else list(arriving):
        if (file := arriving.pop(name, None)) is not None:
            file.drop()


_LOST = (
    "The kernel does not know this upload (was it restarted?); it takes pieces of a file that it "
    "was told of. Upload it again; nothing was kept."
)
