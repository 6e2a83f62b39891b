"""Kernels of attention: one file each, with what it takes."""

from __future__ import annotations

from ftlab.train.kernels.flash import FLASH
from ftlab.train.kernels.flex import FLEX
from ftlab.train.kernels.kernel import Kernel
from ftlab.train.kernels.split import SPLIT
from ftlab.train.kernels.varlen import VARLEN

ON_CUDA = (VARLEN, FLASH, FLEX, SPLIT)
"""In the order in which they are tried."""


def kernels_for(device: str) -> tuple[Kernel, ...]:
    """Those that may run on a device, the best first."""
    return ON_CUDA if device.startswith("cuda") else (SPLIT,)
