"""A base that is held in 4 or 8 bits (QLoRA; Dettmers et al., 2023, arXiv 2305.14314)."""

from __future__ import annotations

import importlib
import importlib.util
import logging
from collections.abc import Iterator
from typing import Any

import torch

from ftlab.errors import FtlabError, MissingExtra
from ftlab.spec import JobSpec
from ftlab.train.targets import transposed

TALKATIVE = "bitsandbytes.autograd._functions"


def bitsandbytes(field: str, value: str, device: torch.device) -> Any:
    """The package. Raises FtlabError where it can't do what a field asks of it."""
    if device.type != "cuda":
        raise FtlabError(
            f"{field} is {value!r} and the device is {device}; numbers of 8 and 4 bits take an "
            f"NVIDIA GPU. Leave {field} out, or train on a machine with one."
        )
    if importlib.util.find_spec("bitsandbytes") is None:
        raise MissingExtra("bitsandbytes", "qlora")
    return importlib.import_module("bitsandbytes")


def quantization_config(spec: JobSpec, dtype: torch.dtype, device: str) -> Any:
    """How transformers is to load the base; None as it is.

    `dtype` is what is computed in. The head, the embeddings and the norms keep that format too:
    unlike with peft's prepare_model_for_kbit_training nothing is cast to float32, which would cost
    a large vocabulary more memory than four bits save. Raises FtlabError where it is impossible.
    """
    if spec.quantization == "none":
        return None
    if spec.lora is False:
        raise FtlabError(
            f"quantization is {spec.quantization!r} and lora is False; weights of so few bits stay "
            "as they are, and only an adapter trains. Set lora to True, or quantization to none."
        )
    bitsandbytes("quantization", spec.quantization, torch.device(device))
    return in_bits(spec.quantization, dtype)


def in_bits(quantization: str, dtype: torch.dtype) -> Any:
    """transformers' settings for nf4, with its scales quantised too, or int8."""
    from transformers import BitsAndBytesConfig

    if quantization == "int8":
        # At every layer of every step it says that float16 is on the way.
        logging.getLogger(TALKATIVE).setLevel(logging.ERROR)
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def how_bits_are_read(model: Any) -> Iterator[Any]:
    """What layers in few bits know of them besides their weights. bitsandbytes takes the scales of
    int8 from a weight at its first row, so that who shares the weight needs this too."""
    for layer in model.modules():
        if hasattr(layer, "source_cls"):  # transformers has it on layers that it quantised
            known = (getattr(layer, name, None) for name in ("state", "quant_state"))
            yield from (one for one in known if one is not None)


def take_what_bits_stand_for(model: Any, few: Any) -> None:
    """Give the layers of a plain model the weights that those of one in few bits stand for, one
    after the other, in the model's own format and layout, and where it lies."""
    from peft.utils.integrations import dequantize_module_weight

    for name, layer in few.named_modules():
        if not hasattr(layer, "source_cls"):
            continue
        own, weight = model.get_submodule(name), dequantize_module_weight(layer)
        own.weight.data.copy_(weight.T if isinstance(own, transposed()) else weight)
