"""Downloads of models, by the hub's client in a process of its own: it can be watched, and stopped
at once.

`python -m ftlab.downloads MODEL COMMIT FILE …` fetches files into the hub's cache, one after the
other, so that what is lost when it breaks off is one file at most. Each line that it prints is
JSON: the number of bytes fetched so far, or a text that says what went wrong.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ftlab.errors import FtlabError, UnreadableData
from ftlab.model_cache import cache_folder, free_bytes, repo_folder
from ftlab.model_hub import Listing, list_files
from ftlab.processes import environment
from ftlab.refusals import refusal
from ftlab.units import duration, in_bytes, share_of_bytes

TICK = 0.2  # seconds between two looks at the process, and between two lines of it
WINDOW = 60.0  # seconds over which the speed is taken: some downloads count in blocks of 10 MB
FAREWELL = 5.0  # seconds that the process has to tidy up when it is stopped
MAIN = "main"


class Progress(NamedTuple):
    """How far a download has come."""

    model: str
    got: int
    """Bytes, with those that were here before."""
    n_bytes: int
    rate: float
    """Bytes per second, lately."""

    def __str__(self) -> str:
        text = f"downloading {self.model}: {share_of_bytes(self.got, self.n_bytes)}"
        if self.rate < 1:
            return text
        left = (self.n_bytes - self.got) / self.rate
        return f"{text}, {in_bytes(self.rate)}/s, about {duration(left)} left"


Told = Callable[[Progress], None]


class Stopped(FtlabError):
    """A download was stopped because somebody asked for it."""


def download(
    model: str, revision: str | None, told: Told, stopped: Callable[[], bool], *, weights: bool
) -> Path:
    """Fetch what the cache lacks of a model; returns its folder there.

    Raises UnreadableData when it can't be fetched or does not fit on the disk, and Stopped.
    """
    listing = list_files(model, revision, weights=weights)
    folder = repo_folder(model) / "snapshots" / listing.commit
    missing = [name for name in listing.files if not (folder / name).exists()]
    _check_room(model, sum(listing.files[name] for name in missing))
    if missing:
        _fetch(model, listing, missing, told, stopped)
    _note_commit(model, revision or MAIN, listing.commit)
    return folder


def _check_room(model: str, n_bytes: int) -> None:
    free = free_bytes()
    if n_bytes > free:
        raise UnreadableData(
            f"{model} takes {in_bytes(n_bytes)} more, and {in_bytes(free)} are free on the disk of "
            f"{cache_folder()}; all of it must fit. Make room there, or set HF_HOME to a folder on "
            "a larger disk."
        )


def _fetch(
    model: str, listing: Listing, missing: list[str], told: Told, stopped: Callable[[], bool]
) -> None:
    n_bytes = sum(listing.files.values())
    before = n_bytes - sum(listing.files[name] for name in missing)
    told(Progress(model, before, n_bytes, 0))
    recent = deque([(time.monotonic(), before)])
    with _process([model, listing.commit, *missing]) as process:
        for said in _said(process):
            if stopped():
                raise Stopped(f"The download of {model} was stopped; what is whole is kept.")
            if words := [word for word in said if isinstance(word, str)]:
                raise UnreadableData(words[0])
            counted = [word for word in said if isinstance(word, int)]
            got = min(before + counted[-1], n_bytes) if counted else recent[-1][1]
            recent.append((time.monotonic(), got))
            while recent[-1][0] - recent[0][0] > WINDOW:
                recent.popleft()
            told(Progress(model, got, n_bytes, _rate(recent)))
    if process.returncode:
        raise UnreadableData(_ended(model, process.returncode))


def _ended(model: str, code: int) -> str:
    return (
        f"The process that downloads {model} ended with status {code} and said nothing; it must "
        "fetch all files. Start again: files that are whole are not fetched twice."
    )


def _rate(recent: deque[tuple[float, int]]) -> float:
    (began, first), (now, last) = recent[0], recent[-1]
    return max(last - first, 0) / (now - began) if now > began else 0.0


def _note_commit(model: str, revision: str, commit: str) -> None:
    """Let the cache know which commit a branch or tag was, as the hub's client does."""
    if revision == commit:
        return
    file = repo_folder(model) / "refs" / revision
    file.parent.mkdir(parents=True, exist_ok=True)
    staged = file.with_name(f"{file.name}.{os.getpid()}.new")
    staged.write_text(commit, encoding="utf-8")
    staged.replace(file)


# --- the process, from outside ---------------------------------------------------------------


@contextlib.contextmanager
def _process(arguments: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """The process; it is gone afterwards."""
    from huggingface_hub import constants

    where = {"HF_HUB_CACHE": str(cache_folder()), "HF_ENDPOINT": constants.ENDPOINT}
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "ftlab.downloads", *arguments],
        stdin=subprocess.PIPE,  # it closes when we die, and the process ends
        stdout=subprocess.PIPE,
        env={**environment(), **where, "HF_HUB_OFFLINE": "0"},  # the hub has just answered
        start_new_session=True,  # an interrupt reaches it once, by us
    )
    with process:
        try:
            yield process
            process.wait()
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Stop it, so that it takes the half of a file away."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGINT)
    try:
        process.wait(FAREWELL)
    except subprocess.TimeoutExpired:
        process.kill()


def _said(process: subprocess.Popen[bytes]) -> Iterator[list[int | str]]:
    """What the process has said, as it comes and every TICK; ends with the process."""
    pipe, rest = process.stdout, b""
    assert pipe is not None
    while True:
        if not select.select([pipe], [], [], TICK)[0]:
            yield []
            continue
        data = os.read(pipe.fileno(), 1 << 16)
        if not data:
            return
        *lines, rest = (rest + data).split(b"\n")
        yield [json.loads(line) for line in lines]


# --- the process, from inside ----------------------------------------------------------------


def main() -> int:
    model, commit, *files = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have had it ignored
    threading.Thread(target=_end_with_parent, daemon=True).start()
    said, sys.stdout = sys.stdout, sys.stderr  # whatever a library prints is none of our lines

    def say(word: int | str) -> None:
        print(json.dumps(word), file=said, flush=True)

    try:
        _clear_leftovers(model)
        _fetch_all(model, commit, files, say)
    except KeyboardInterrupt:
        return 130
    except Exception as exc:  # the hub's client raises a dozen unrelated kinds
        say(refusal(model, commit, exc))
    return 0


def _end_with_parent() -> None:
    """Interrupt this process when its standard input ends; nothing ever comes over it."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(FAREWELL)
    os._exit(130)


def _fetch_all(model: str, commit: str, files: list[str], say: Callable[[int], None]) -> None:
    from huggingface_hub import hf_hub_download

    count = _counter(say)
    for file in files:
        hf_hub_download(model, file, revision=commit, tqdm_class=count)


def _clear_leftovers(model: str) -> None:
    """Remove halves of files that downloads left when they were killed; the hub's client begins
    anew, under another name. Who downloads at present holds a lock."""
    from filelock import Timeout
    from huggingface_hub.utils import WeakFileLock

    repo = repo_folder(model)
    locks = cache_folder() / ".locks" / repo.name
    for half in (repo / "blobs").glob("*.incomplete"):
        lock = locks / f"{half.name.partition('.')[0]}.lock"
        with contextlib.suppress(Timeout, FileNotFoundError), WeakFileLock(lock, timeout=0.01):
            half.unlink()


def _counter(say: Callable[[int], None]) -> Any:
    """A class of progress bars for the hub's client that say what all of them have counted."""
    from tqdm.auto import tqdm

    got, last = 0, 0.0

    class Counter(tqdm):
        def __init__(self, *_: Any, **__: Any) -> None:
            super().__init__(disable=True)

        def update(self, n: float | None = 1) -> None:
            """Count what is on disk."""
            nonlocal got, last
            got += int(n or 0)
            if time.monotonic() - last > TICK:
                last = time.monotonic()
                say(got)

        def update_transfer(self, n: float | None = 1) -> None:
            """What came over the line is counted when it is on disk."""

        def set_transfer_postfix_str(self, *_: Any, **__: Any) -> None:
            """Nothing is drawn."""

    return Counter


if __name__ == "__main__":
    sys.exit(main())
