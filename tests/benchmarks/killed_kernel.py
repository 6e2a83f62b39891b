"""Kill the kernel while it shows a run, again and again, and see what a new kernel knows.

    python tests/benchmarks/killed_kernel.py [TIMES]

JupyterLab in Chromium shows the first notebook; a run is started and its kernel is killed with
SIGKILL after a random time. Printed for each time: seconds until `ftlab.attach()` in the new
kernel holds every step (imports not counted), seconds until the page shows them all, and whether
a step is missing or doubled.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from ftlab.runs import Runs
from tests.browser.lab import CHROMIUM, Lab, NotebookPage

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "01_first_run.ipynb"
LONG = """
import time
wb.state.update({'n_epochs': 60})
run = wb.state.train()
while run.history.last_step < 3: time.sleep(0.05)
"""
ATTACH = """
import time, ftlab
from ftlab.runs import attach as _
began = time.perf_counter()
run = ftlab.attach()
steps = list(run.history.series["train_loss"])
seconds = time.perf_counter() - began
"""
WHOLE = "(seconds, len(steps), steps == list(range(1, len(steps) + 1)), run.is_alive)"


def once(page: NotebookPage, lab: Lab, draw: random.Random) -> tuple[float, float, int, bool]:
    """Seconds of attach and of the page, steps, and whether all was whole."""
    page.run_all()
    page.kernel(LONG, "None")
    time.sleep(draw.uniform(0, 3))
    (kernel,) = lab.kernel_processes()
    os.kill(kernel, signal.SIGKILL)
    while kernel in lab.kernel_processes() or not lab.kernel_processes():
        time.sleep(0.05)
    page.open()
    attach, n_steps, whole, alive = eval(page.kernel(ATTACH, WHOLE))
    began = time.perf_counter()
    page.run_all()
    while page.curve() < n_steps:
        time.sleep(0.05)
    shown = time.perf_counter() - began
    steps = page.curve_steps()
    whole = whole and alive and steps == list(range(1, len(steps) + 1))
    page.kernel("run.cancel(); run.wait(30)", "None")
    return attach, shown, n_steps, whole


def main() -> None:
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    draw = random.Random(2)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        os.environ["FTLAB_LEASES"] = str(Path(folder) / "leases")
        program = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=program, args=list(CHROMIUM))
        lab = Lab(Path(folder) / "lab")
        try:
            page = NotebookPage(lab, browser, NOTEBOOK)
            found = []
            for number in range(times):
                found.append(once(page, lab, draw))
                attach, shown, n_steps, whole = found[-1]
                print(
                    f"{number + 1}: attach {attach * 1000:.0f} ms, page {shown:.1f} s, "
                    f"{n_steps} steps, {'whole' if whole else 'NOT WHOLE'}",
                    flush=True,
                )
        finally:
            for run in Runs(lab.root / "ftlab-runs"):
                if not run.state.ended:
                    run.cancel()
            lab.close()
            browser.close()
    print(
        f"worst of {times}: attach {max(f[0] for f in found) * 1000:.0f} ms, "
        f"page {max(f[1] for f in found):.1f} s, not whole: {sum(not f[3] for f in found)}"
    )


if __name__ == "__main__":
    main()
