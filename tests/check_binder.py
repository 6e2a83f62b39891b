"""Rebuild what binder/ describes, with pip in a fresh environment, and watch its memory.

    python tests/check_binder.py

A copy of what is committed, a new virtual environment, the torch of constraints.txt in place of
conda-forge's, then binder/postBuild and binder/start as repo2docker would run them: JupyterLab
must open the first notebook by itself, and both notebooks must run, all processes together
within 2 GB. Not tried here: repo2docker itself, conda, and the image's own limits.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

import psutil

REPOSITORY = Path(__file__).parents[1]
LIMIT = 2 * 10**9  # bytes, as on mybinder.org
NOTEBOOKS = ("01_first_run.ipynb", "02_in_code.ipynb")
RUN = """
import sys, nbformat
from nbclient import NotebookClient
book = nbformat.read(sys.argv[1], 4)
NotebookClient(book, timeout=300, store_widget_state=False).execute()
"""


class MemoryWatch(threading.Thread):
    """The highest sum of proportional memory of all processes that carry a mark."""

    def __init__(self, mark: str) -> None:
        super().__init__(daemon=True)
        self.mark, self.peak, self.done = mark, 0, threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.3):
            self.peak = max(self.peak, sum(map(self._size, psutil.process_iter())))

    def _size(self, process: psutil.Process) -> int:
        try:
            ours = process.environ().get("FTLAB_MARK") == self.mark
            return process.memory_full_info().pss if ours else 0
        except psutil.Error:
            return 0


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home, checkout = Path(folder) / "home", Path(folder) / "checkout"
        home.mkdir()
        checkout.mkdir()
        archive = subprocess.run(
            ["git", "archive", "HEAD"], cwd=REPOSITORY, check=True, capture_output=True
        ).stdout
        subprocess.run(["tar", "-x"], input=archive, cwd=checkout, check=True)
        environment = build(checkout, home)
        watch = MemoryWatch(environment["FTLAB_MARK"])
        watch.start()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        lab = start_lab(checkout, environment, port)
        try:
            check_that_it_opens(port)
            for name in NOTEBOOKS:
                run_notebook(checkout, environment, name)
        finally:
            lab.terminate()
            lab.wait()
        watch.done.set()
    print(f"Peak memory of all processes: {watch.peak / 1e9:.2f} GB of {LIMIT / 1e9:.0f} GB")
    sys.exit(watch.peak > LIMIT)


def build(checkout: Path, home: Path) -> dict[str, str]:
    """The environment in which repo2docker would leave us."""
    venv = home / "venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    environment = {
        **os.environ,
        "HOME": str(home),
        "PATH": f"{venv / 'bin'}:{os.environ['PATH']}",
        "FTLAB_MARK": str(home),
        "FTLAB_LEASES": str(home / "leases"),
    }
    environment.pop("PYTHONPATH", None)
    began = time.monotonic()
    torch = ["python", "-m", "pip", "install", "-q", "-c", "binder/constraints.txt", "torch"]
    subprocess.run(torch, cwd=checkout, env=environment, check=True)
    subprocess.run(["binder/postBuild"], cwd=checkout, env=environment, check=True)
    print(f"Built in {time.monotonic() - began:.0f} s")
    return environment


def start_lab(checkout: Path, environment: dict[str, str], port: int) -> subprocess.Popen[bytes]:
    """JupyterLab as Binder starts it."""
    command = ["binder/start", "jupyter", "lab", "--no-browser", "--ip=127.0.0.1"]
    command += [f"--port={port}", "--ServerApp.port_retries=0", "--IdentityProvider.token=x"]
    command += ["--allow-root"] if os.getuid() == 0 else []
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, cwd=checkout, env=environment, **quiet)


def check_that_it_opens(port: int) -> None:
    """JupyterLab must lead to the first notebook."""
    for _ in range(300):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/?token=x", timeout=5) as page:
                url = page.url.partition("?")[0]
        except OSError:
            time.sleep(0.2)
        else:
            assert url.endswith("lab/tree/notebooks/01_first_run.ipynb"), url
            print("JupyterLab opens", url.rpartition("/")[2])
            return
    raise SystemExit("JupyterLab did not start")


def run_notebook(checkout: Path, environment: dict[str, str], name: str) -> None:
    """Every cell, in the folder of the notebook."""
    json.loads((checkout / "notebooks" / name).read_text())
    began = time.monotonic()
    command = ["binder/start", "python", "-c", RUN, name]
    command[0] = str(checkout / command[0])
    subprocess.run(command, cwd=checkout / "notebooks", env=environment, check=True)
    print(f"{name} ran in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
