"""The NVIDIA GPUs that CUDA shows to a process of this machine, in the order of its numbers.

CUDA_VISIBLE_DEVICES says which, by number, by the beginning of an id, or as a part of a GPU that is
divided (MIG). CUDA's numbers are those of the driver once CUDA_DEVICE_ORDER is PCI_BUS_ID, which
all processes of ftlab are started with (`processes.py`).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

VISIBLE = "CUDA_VISIBLE_DEVICES"
AMPERE = 8


class Gpu(NamedTuple):
    """One of them, or the part of one that is shown."""

    title: str
    memory_bytes: int | None
    """None where it works in the machine's own memory."""
    free_bytes: int | None
    has_bfloat16: bool


def visible() -> list[Gpu]:
    """What torch will call cuda:0, cuda:1 and so on; empty without a driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:  # a machine without an NVIDIA GPU
        return []
    try:
        return [_gpu(pynvml, handle) for handle in _shown(pynvml)]
    finally:
        pynvml.nvmlShutdown()


def place_of(device: str) -> str:
    """What a device is called by all processes, whatever CUDA shows to them: the name of its lock.
    "cuda:0" is "cuda:3" where CUDA_VISIBLE_DEVICES is 3."""
    kind, _, number = device.partition(":")
    names = _names()
    if kind != "cuda" or names is None or int(number or 0) >= len(names):
        return device
    name = names[int(number or 0)]
    return f"cuda:{name}" if name.isdecimal() else f"cuda:{name.replace('/', '-')}"


def _names() -> list[str] | None:
    """What CUDA_VISIBLE_DEVICES names; None where it shows all."""
    text = os.environ.get(VISIBLE)
    return None if text is None else [name.strip() for name in text.split(",")]


def _shown(nvml: Any) -> Iterator[Any]:
    """Handles in CUDA's order, which ends before the first name that is none."""
    whole = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
    names = _names()
    if names is None:
        yield from (_part(nvml, handle) for handle in whole)
        return
    for name in names:
        handle = _named(nvml, name, whole)
        if handle is None:
            return
        yield _part(nvml, handle)


def _named(nvml: Any, name: str, whole: list[Any]) -> Any:
    """The handle of a name, by its number or by the beginning of its id; None where it is none."""
    if name.isdecimal():
        return whole[int(name)] if int(name) < len(whole) else None
    if name.startswith("MIG-"):
        with contextlib.suppress(nvml.NVMLError):
            return nvml.nvmlDeviceGetHandleByUUID(name)
    ids = {nvml.nvmlDeviceGetUUID(handle): handle for handle in whole}
    alike = [handle for known, handle in ids.items() if name and known.startswith(name)]
    return alike[0] if len(alike) == 1 else None


def _part(nvml: Any, handle: Any) -> Any:
    """The first part of a GPU that is divided, which is what CUDA takes; else the GPU itself."""
    with contextlib.suppress(nvml.NVMLError):  # most can't be divided
        if nvml.nvmlDeviceGetMigMode(handle)[0] == nvml.NVML_DEVICE_MIG_ENABLE:
            return nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, 0)
    return handle


def _gpu(nvml: Any, handle: Any) -> Gpu:
    memory, has_bfloat16 = None, True
    with contextlib.suppress(nvml.NVMLError):  # one that has no memory of its own says nothing
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    with contextlib.suppress(nvml.NVMLError):  # a part of one says nothing, and all those have it
        has_bfloat16 = nvml.nvmlDeviceGetCudaComputeCapability(handle)[0] >= AMPERE
    sizes = (None, None) if memory is None else (int(memory.total), int(memory.free))
    return Gpu(str(nvml.nvmlDeviceGetName(handle)), *sizes, has_bfloat16)
