"""`python -m ftlab.data FILE …`: a scan in a process of its own, for the data panel.

Writes lines of JSON: {"progress": share} while it reads, then {"report": …}. A template that
loops or a line of gigabytes can then be ended with the process; a thread could not.
"""

from __future__ import annotations

import json
import sys
import time

from ftlab.data.report import scan

REPORT_EVERY = 0.2  # seconds


def main() -> None:
    request = json.loads(sys.argv[1])
    last = 0.0

    def progress(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last > REPORT_EVERY:
            last = time.monotonic()
            print(json.dumps({"progress": done / total}), flush=True)

    report = scan(**request, progress=progress)
    print('{"report": ' + report.model_dump_json() + "}", flush=True)


main()
