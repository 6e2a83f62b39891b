"""The device that a job trains on, and what to say when its memory does not suffice."""

from __future__ import annotations

from typing import Any

from ftlab.devices import detect
from ftlab.job import LocalOptions

OUT_OF_MEMORY = (
    "The memory did not suffice; a step takes the weights and the activations of one piece. "
    "Set micro_batch_size to 1, lower max_seq_length, or turn gradient_checkpointing on."
)

TOO_MUCH = ("out of memory", "not enough memory", "can't allocate memory")
"""How torch says so, of a GPU and of the machine."""


def chosen_device(options: LocalOptions) -> str:
    """The device that was asked for, or the best there is."""
    return detect()[0].name if options.device == "auto" else options.device


def usable(device: str) -> tuple[str, str]:
    """The device if torch can use it, otherwise the CPU and why."""
    import torch

    if device.startswith("cuda") and not torch.cuda.is_available():
        return "cpu", (
            f"{device} is there, but the installed torch {torch.__version__} can't use it; it was "
            "built for the CPU or for another driver. Training on the CPU; install a torch build "
            "for CUDA to use the GPU."
        )
    return device, ""


def is_out_of_memory(problem: BaseException) -> bool:
    """Whether an error says that memory did not suffice, of the machine or of the GPU."""
    words = str(problem).lower()
    return isinstance(problem, MemoryError) or any(sign in words for sign in TOO_MUCH)


def random_state(device: str) -> list[Any]:
    """Of torch's generators that a step on the device draws from."""
    import torch

    states = [torch.get_rng_state()]
    return [*states, torch.cuda.get_rng_state(device)] if device.startswith("cuda") else states


def set_random_state(states: list[Any], device: str) -> None:
    """Draw again what was drawn since."""
    import torch

    torch.set_rng_state(states[0])
    if device.startswith("cuda"):
        torch.cuda.set_rng_state(states[1], device)
