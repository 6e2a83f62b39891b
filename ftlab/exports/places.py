"""Where an export goes, and whether it may go there and finds room."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ftlab.adapter_files import WEIGHTS
from ftlab.errors import RunError
from ftlab.exports.proof import Dtype, Kind, read_proof
from ftlab.run import Run
from ftlab.run_folder import RunFolder
from ftlab.units import in_bytes

WIDTHS: dict[Dtype, int] = {"fp32": 4, "bf16": 2, "fp16": 2}


def place_of(run: Run, form: Kind, dtype: Dtype, step: int | None, path: str | Path | None) -> Path:
    """The folder that is named, or a new one among the run's exports."""
    if path is not None:
        return Path(path).expanduser().absolute()
    at = "" if step is None else f"-step-{step}"
    return (run.exports / f"{form}-{dtype}{at}").absolute()


def check_place(target: Path, run: Run, *, replace: bool) -> None:
    """Raises RunError where something is there that may not go, and within a run's folder."""
    if os.path.lexists(target):
        _check_replaced(target, replace=replace)
    for above in target.resolve().parents:
        if RunFolder(above).exists and run.exports.resolve() not in target.resolve().parents:
            raise RunError(
                f"{target} is in the folder of the run {above.name}, whose files are its own; "
                f"exports go into {run.exports}, or anywhere else. Name another place, or none."
            )


def _check_replaced(target: Path, *, replace: bool) -> None:
    is_folder = target.is_dir() and not target.is_symlink()
    if not (replace and is_folder):
        raise RunError(
            f"{target} is there already; an export never writes over anything unasked. Name "
            "another place, or replace it (replace=True, --replace), if it is a folder."
        )
    if any(target.iterdir()) and read_proof(target) is None:
        raise RunError(
            f"{target} is to be replaced, which is no export; only an export with its proof, or "
            "an empty folder, is taken away. Name another place, or take it away yourself."
        )


def bytes_of(tuned: Path, need: int | None, form: Kind, dtype: Dtype) -> int:
    """What an export takes on the disk; `need` is that of the model in float32."""
    if form == "adapter" or need is None:
        return (tuned / WEIGHTS).stat().st_size if (tuned / WEIGHTS).is_file() else 0
    return need // 4 * WIDTHS[dtype] * (2 if form == "gguf" else 1)


def check_room(target: Path, n_bytes: int) -> None:
    there = next(path for path in target.parents if path.exists())
    free = shutil.disk_usage(there).free
    if n_bytes > free:
        raise RunError(
            f"The export takes {in_bytes(n_bytes)}, and {in_bytes(free)} are free on the disk of "
            f"{there}; all of it must fit. Make room, or name a place on a larger disk."
        )
