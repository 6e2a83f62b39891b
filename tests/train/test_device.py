"""What of a device can be known without one: its choice, its generator, and how it fails."""

from __future__ import annotations

import pytest
import torch

from ftlab.errors import FtlabError
from ftlab.train.device import (
    brought,
    is_out_of_memory,
    random_state,
    sent,
    set_random_state,
    usable,
)


def gpus(monkeypatch, n):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: n > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: n)


def test_a_gpu_that_torch_sees_is_used(monkeypatch):
    gpus(monkeypatch, 2)
    assert usable(["cuda:0", "cuda:1"]) == ("cuda:0", "")
    assert usable(["cpu"]) == ("cpu", "")


def test_a_gpu_that_torch_does_not_see_is_told(monkeypatch):
    gpus(monkeypatch, 1)
    with pytest.raises(FtlabError, match="cuda:1 is there, but torch sees 1 GPUs"):
        usable(["cuda:0", "cuda:1"])


def test_without_a_build_for_cuda_one_gpu_gives_way_to_the_cpu_and_several_do_not(monkeypatch):
    gpus(monkeypatch, 0)
    device, why = usable(["cuda:0"])
    assert device == "cpu"
    assert "built for the CPU or for another driver" in why
    with pytest.raises(FtlabError, match="or set n_gpus to 1"):
        usable(["cuda:0", "cuda:1"])


@pytest.mark.parametrize(
    "text",
    [
        "CUDA out of memory. Tried to allocate 2.00 GiB",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes",
        "MPS backend out of memory (MPS allocated: 8 GB)",
    ],
)
def test_too_little_memory_is_known_by_what_is_said(text):
    assert is_out_of_memory(RuntimeError(text))


def test_another_error_is_no_lack_of_memory():
    assert not is_out_of_memory(
        RuntimeError("CUDA error: an illegal memory access was encountered")
    )


def test_a_generator_of_which_there_is_one_is_asked_without_a_name(monkeypatch):
    """torch 2.12 and older take no device for Apple's."""
    state = [torch.tensor([7], dtype=torch.uint8)]
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda: state[0])
    monkeypatch.setattr(torch.mps, "set_rng_state", lambda new: state.__setitem__(0, new))
    before = random_state("mps")
    state[0] = torch.tensor([8], dtype=torch.uint8)
    set_random_state(before, "mps")
    assert state[0].item() == 7


def test_numbers_go_to_a_device_and_come_back():
    assert brought(sent(torch.tensor([1.5, 2.0]), "cpu"))() == [1.5, 2.0]
