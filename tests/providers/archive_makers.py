"""Archives as the service sends them, and as nobody should."""

from __future__ import annotations

import gzip
import io
import json
import sys
import tarfile

import numpy as np
from safetensors.numpy import save

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PACKED = {"tar": lambda data: data, "gz": gzip.compress, "zst": zstd.compress}
LAYER = "base_model.model.layers.0.self_attn.q_proj"
CONFIG = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"]}
WEIGHTS = save(
    {
        f"{LAYER}.lora_A.weight": np.ones((4, 8), "f4"),
        f"{LAYER}.lora_B.weight": np.ones((8, 4), "f4"),
    }
)
ADAPTER = {
    "adapter_config.json": json.dumps(CONFIG).encode(),
    "adapter_model.safetensors": WEIGHTS,
    "tokenizer.json": b"{}",
}


def entry(name, kind=tarfile.REGTYPE, size=None, **more):
    """A member's header."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size or 0
    for field, value in more.items():
        setattr(info, field, value)
    return info


def tarred(members):
    """A tar of names, or headers, with what is in them."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for head, content in members:
            info = entry(head) if isinstance(head, str) else head
            info.size = info.size or len(content)
            stream.write(b"")
            tar.addfile(info, io.BytesIO(content) if content else None)
    return stream.getvalue()


def archive(members, packed="zst"):
    """Of {name: content}, or of (header, content)."""
    pairs = members.items() if isinstance(members, dict) else members
    return PACKED[packed](tarred(pairs))


def adapter_archive(folder="", packed="zst", **more):
    """An adapter somewhere in an archive, with other files beside it."""
    files = {f"{folder}{name}": content for name, content in {**ADAPTER, **more}.items()}
    return archive(files, packed)
