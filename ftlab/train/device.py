"""The device that a job trains on, and what to say when its memory does not suffice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ftlab.devices import detect, missing_gpus, number_of, side_by_side
from ftlab.errors import FtlabError
from ftlab.job import LocalOptions

if TYPE_CHECKING:
    import torch

OUT_OF_MEMORY = (
    "The memory did not suffice; a step takes the weights and the activations of one piece. "
    "Set micro_batch_size to 1, lower max_seq_length, or turn gradient_checkpointing on."
)

TOO_MUCH = ("out of memory", "not enough memory", "can't allocate memory", "alloc_failed")
"""How torch says so, of a GPU, of the machine, and of what cuBLAS and cuDNN need besides."""


def chosen_device(options: LocalOptions) -> str:
    """The device that was asked for, or the best there is."""
    return detect()[0].name if options.device == "auto" else options.device


def chosen_devices(options: LocalOptions, n_processes: int = 1) -> list[str]:
    """Those that share the steps, one for each process: as many as the options say, unless so many
    were started already. Raises FtlabError where they are not there."""
    n = n_processes if n_processes > 1 else options.n_gpus
    if missing := missing_gpus(options.device, n):
        raise FtlabError(missing)
    return side_by_side(chosen_device(options), n)


def usable(devices: Sequence[str]) -> tuple[str, str]:
    """The first device if torch can use them, otherwise the CPU and why. Raises FtlabError where
    several can't be used: the CPU is no place for their work."""
    import torch

    device = devices[0]
    if device == "mps" and not torch.backends.mps.is_available():
        return "cpu", (
            f"{device} is there, but the installed torch {torch.__version__} can't use it; it "
            "takes macOS 12.3 or newer. Training on the CPU; install a newer torch to use the GPU."
        )
    if not device.startswith("cuda"):
        return device, ""
    last = devices[-1]
    if torch.cuda.is_available() and number_of(last) < torch.cuda.device_count():
        return device, ""
    if torch.cuda.is_available():
        raise FtlabError(
            f"{last} is there, but torch sees {torch.cuda.device_count()} GPUs, from cuda:0 on. "
            "Set device and n_gpus to those, or CUDA_VISIBLE_DEVICES to all."
        )
    found = (
        f"{device} is there, but the installed torch {torch.__version__} can't use it; it was "
        "built for the CPU or for another driver."
    )
    if len(devices) > 1:
        raise FtlabError(f"{found} Install a torch build for CUDA, or set n_gpus to 1.")
    return "cpu", f"{found} Training on the CPU; install a torch build for CUDA to use the GPU."


def is_out_of_memory(problem: BaseException) -> bool:
    """Whether an error says that memory did not suffice, of the machine or of the GPU."""
    words = str(problem).lower()
    return isinstance(problem, MemoryError) or any(sign in words for sign in TOO_MUCH)


def sent(values: torch.Tensor, device: Any) -> torch.Tensor:
    """On a device. What goes to an NVIDIA GPU comes there in its turn, and nobody waits for it."""
    import torch

    if torch.device(device).type != "cuda":
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)


def brought(values: torch.Tensor) -> Callable[[], list[float]]:
    """Their way from a GPU begins at once; who calls what is returned waits for them, and for
    nothing that the GPU was asked for later."""
    if values.device.type != "cuda":
        return values.tolist
    import torch

    here = values.to("cpu", non_blocking=True)
    arrived = torch.cuda.Event()
    arrived.record(torch.cuda.current_stream(values.device))

    def numbers() -> list[float]:
        arrived.synchronize()
        return here.tolist()

    return numbers


def random_state(device: str) -> list[Any]:
    """Of torch's generators that a step on the device draws from."""
    import torch

    return [torch.get_rng_state(), *own_random_state(device)]


def set_random_state(states: Sequence[Any], device: str) -> None:
    """Draw again what was drawn since."""
    import torch

    torch.set_rng_state(states[0])
    set_own_random_state(states[1:], device)


def own_random_state(device: str) -> list[Any]:
    """Of the device's own generator, if it has one besides the CPU's."""
    own = _generator_of(device)
    return [own.get_rng_state(*_which(device))] if own else []


def set_own_random_state(states: Sequence[Any], device: str) -> None:
    """Back to what was found there; nothing for a device without one, or a state of none."""
    if states and (own := _generator_of(device)):
        own.set_rng_state(states[0], *_which(device))


def _generator_of(device: str) -> Any:
    """torch's module with the random generator of a device besides the CPU; None for that."""
    import torch

    return None if device == "cpu" else getattr(torch, device.partition(":")[0])


def _which(device: str) -> tuple[str, ...]:
    """Of a kind of which there may be several; older versions of torch refuse it for others."""
    return (device,) if device.startswith("cuda") else ()
