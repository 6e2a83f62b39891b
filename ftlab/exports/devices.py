"""Where an export is made: a device with room for the model in float32, and one that reads bits."""

from __future__ import annotations

from pathlib import Path

from ftlab.devices import Device, detect
from ftlab.errors import RunError
from ftlab.exports.proof import Kind
from ftlab.model_files import folder_info
from ftlab.run import Run

ROOM = 1.3
"""Times the weights in float32 that a model takes while it is asked."""


def need_of(tuned: Path, base: Path | None, *, is_whole: bool) -> int | None:
    """Bytes of the model in float32; None where nobody knows."""
    folder = tuned if is_whole else base
    n_params = None if folder is None else folder_info("", folder).n_params
    return None if n_params is None else n_params * 4


def device_of(run: Run, need: int | None) -> Device | None:
    """Where it is done: where the run trained, or on the CPU; None where neither has room."""
    own = _own(run)
    cpu = next(device for device in detect() if device.name == "cpu")
    fits = (d for d in (own, cpu) if d.free_bytes is None or (need or 0) * ROOM <= d.free_bytes)
    return next(fits, None)


def _own(run: Run) -> Device:
    """Where the run trained."""
    chosen, known = run.job.options.get("device", "auto"), detect()
    return next((device for device in known if device.name == chosen), known[0])


def bits_on_of(run: Run, form: Kind) -> str:
    """Where the bits of a base are read. Raises RunError where they can't be."""
    bits, own = run.job.spec.quantization, _own(run).name
    if bits == "none" or form == "adapter":
        return ""
    if not own.startswith("cuda"):
        raise RunError(
            f"Run {run.id} trained on a base in {bits}, which only an NVIDIA GPU can read; what "
            "is merged is what those bits stand for. Export it on a machine with such a GPU, or "
            "export the adapter."
        )
    return own
