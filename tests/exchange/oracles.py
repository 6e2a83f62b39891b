"""Other people's packages, each in a process of its own that sees only its own folder.

`tests/run.sh` installs them. A folder that is not there is a failure, not a skip.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / ".venv-oracles"
SDK, NEMO, AXOLOTL = "together-3.1.1", "nemo-automodel-0.7.0", "axolotl-0.19.0"
LM_EVAL = "lm-eval-0.4.13"


def environment(package: str, **more: str) -> dict[str, str]:
    """The environment of a process in which the package can be imported."""
    folder = FOLDER / package
    assert folder.is_dir(), f"{folder} is missing; run tests/run.sh once without --installed"
    alone = {"PYTHONPATH": str(folder), "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    return {**os.environ, **alone, "AXOLOTL_DO_NOT_TRACK": "1", **more}


def ask(package: str, code: str, question: Any, timeout: float = 120) -> Any:
    """What `code` prints last, as JSON, when `question` comes as JSON on its standard input."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        input=json.dumps(question),
        capture_output=True,
        text=True,
        env=environment(package),
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])
