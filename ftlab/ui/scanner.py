"""A scan in a process of its own, which can be ended at any time."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from ftlab.data.report import DataReport
from ftlab.errors import UnreadableData


class Scanner:
    """One scan; `report()` blocks until it is done or cancelled."""

    def __init__(
        self,
        request: dict[str, Any],
        progressed: Callable[[float], None],
        previewed: Callable[[str], None],
    ) -> None:
        """`request` is what `scan` takes; `previewed` gets first figures of a large file."""
        self._progressed, self._previewed = progressed, previewed
        self._cancelled = False
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "ftlab.data", json.dumps(request)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def report(self) -> DataReport | None:
        """The report, or None when it was cancelled. Raises UnreadableData when it broke."""
        assert self._process.stdout is not None
        found: DataReport | None = None
        last = ""
        with self._process:
            for line in self._process.stdout:
                if line.startswith('{"report"'):
                    found = DataReport.model_validate_json(line[len('{"report": ') : -2])
                elif line.startswith('{"progress"'):
                    self._progressed(json.loads(line)["progress"])
                elif line.startswith('{"preview"'):
                    self._previewed(json.loads(line)["preview"])
                elif line.strip():
                    last = line.strip()
        if found is None and not self._cancelled:
            raise UnreadableData(
                f"The scan ended without a report ({last or self._ending()}); it reads rows as far "
                "as memory and time go. Check the file, or scan a part of it."
            )
        return found

    def _ending(self) -> str:
        code = self._process.returncode
        if code == -signal.SIGKILL:
            return "it was killed, as where memory runs out"
        return f"signal {-code}" if code < 0 else f"exit status {code}"

    def cancel(self) -> None:
        """End the scan."""
        self._cancelled = True
        self._process.kill()
