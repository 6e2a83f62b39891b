"""`python -m ftlab.data REQUEST`: a scan in a process of its own, for the data panel.

Writes lines of JSON: {"preview": text} for a large file, {"progress": share} while it reads, then
{"report": …}. A template that loops or a line of gigabytes can then be ended with the process; a
thread could not.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from typing import Any

from ftlab.data.limits import limit_memory
from ftlab.data.preview import preview
from ftlab.data.report import scan
from ftlab.data.tokens import load_tokenizer
from ftlab.errors import UnreadableData
from ftlab.files import existing
from ftlab.models import fetch

REPORT_EVERY = 0.2  # seconds


def main() -> None:
    # An interrupt of the notebook's kernel is meant for a cell, and reaches its children too.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    request = json.loads(sys.argv[1])
    limit_memory()
    _tell_preview(request["data"], request.get("model"))
    last = 0.0

    def progress(done: int, total: int) -> None:
        nonlocal last
        if total and time.monotonic() - last > REPORT_EVERY:
            last = time.monotonic()
            _tell({"progress": done / total})

    report = scan(**request, progress=progress)
    print('{"report": ' + report.model_dump_json() + "}", flush=True)


def _tell_preview(path: str, model: str | None) -> None:
    file = existing(path)
    if file is None or file.suffix != ".jsonl" or not file.is_file():
        return
    try:
        tokenizer = load_tokenizer(fetch(model, weights=False)) if model else None
        found = preview(file, tokenizer)
    except (UnreadableData, OSError, MemoryError, TypeError):
        return  # the scan itself says what is wrong
    if found is not None:
        _tell({"preview": found.in_words()})


def _tell(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


main()
