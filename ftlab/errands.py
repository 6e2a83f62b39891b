"""A piece of slow work in a process of its own that tells how far it is, from both sides.

The request goes in as JSON on the standard input. Lines of JSON come out: {"progress": share,
"what": text}, and at the end {"made": …} or {"failed": text}.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterable
from typing import Any

from ftlab.errors import FtlabError, RunError
from ftlab.processes import environment

Message = dict[str, Any]
Told = Callable[[float, str], Any]
"""Called with the share that is done (0 to 1) and what is being done."""
LAST_WORDS = 300  # characters of what a broken process said


# --- from outside ----------------------------------------------------------------------------


class Errand:
    """One such process at a time, for a thread beside the one that shows it."""

    def __init__(self, told: Told | None = None) -> None:
        self._told: Told = told or (lambda _share, _what: None)
        self._process: subprocess.Popen[str] | None = None
        self.is_cancelled = False

    def cancel(self) -> None:
        """End it; `run` then returns None."""
        self.is_cancelled = True
        if self._process is not None:
            self._process.kill()

    def run(
        self,
        module: str,
        request: Message,
        why: Callable[[int, str], str],
        **variables: str,
    ) -> Any:
        """What the process of a module made; None when it was cancelled. Raises RunError with what
        it said was wrong, or with what `why` makes of its exit status and its last words."""
        self._process = subprocess.Popen(
            # -P: a script beside the notebook called peft.py must not be taken for the library.
            [sys.executable, "-P", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**environment(), **variables},
        )
        if self.is_cancelled:  # while it was being started
            self._process.kill()
        try:
            return self._listen(self._process, request, why)
        finally:
            self._process.kill()
            self._process.wait()

    def _listen(
        self, process: subprocess.Popen[str], request: Message, why: Callable[[int, str], str]
    ) -> Any:
        assert process.stdin is not None
        assert process.stdout is not None
        said = ""
        with process.stdin as requests, process.stdout as lines:
            try:
                requests.write(json.dumps(request))
                requests.close()
            except BrokenPipeError:  # it has ended already; its last words say why
                said = "it could not be started"
            for line in lines:
                message = _message(line)
                if "made" in message:
                    return message["made"]
                if "failed" in message:
                    raise RunError(message["failed"])
                if "progress" in message:
                    self._told(message["progress"], message["what"])
                else:
                    said = (said + line)[-LAST_WORDS:]
        if self.is_cancelled:
            return None
        raise RunError(why(process.wait(), said.strip() or "none"))


def _message(line: str) -> Message:
    """A line of the process as a message; empty for what a library printed."""
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


# --- from inside -----------------------------------------------------------------------------


def described(exc: Exception) -> str:
    return f"{type(exc).__name__}: {exc}"


def answering(
    work: Callable[[Message, Callable[[Message], None]], Iterable[Message]],
    in_words: Callable[[Exception], str] = described,
) -> int:
    """Do what is asked, and say each message; the exit status of the process. `work` may also say
    one by itself, while it waits."""
    # An interrupt of the notebook's kernel is meant for a cell, and reaches its children too.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        for message in work(json.loads(sys.stdin.read()), _say):
            _say(message)
    except BrokenPipeError:  # nobody waits for it any more
        return 1
    except FtlabError as exc:
        _say({"failed": str(exc)})
        return 1
    except Exception as exc:
        traceback.print_exc()
        _say({"failed": in_words(exc)})
        return 1
    return 0


def _say(message: Message) -> None:
    print(json.dumps(message), flush=True)
