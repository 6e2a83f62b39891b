"""What was tuned, on disk: written whole or not at all, with a manifest of hashes."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from ftlab.files import sha256_of

MANIFEST = "manifest.json"
TOKENIZER_FILES = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"),
    "chat_template.jinja",
)


def save_tuned(model: Any, folder: Path, base: Path) -> None:
    """Save an adapter in peft's format, or a whole model in transformers', with the tokenizer of
    the `base` folder and how to load both.

    The folder appears when everything in it is on disk for good.
    """
    staged = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(staged, ignore_errors=True)
    model.save_pretrained(staged, safe_serialization=True)
    for name in TOKENIZER_FILES:
        if (base / name).is_file():
            shutil.copyfile(base / name, staged / name)
    card = _ADAPTER_CARD if (staged / "adapter_config.json").exists() else _MODEL_CARD
    (staged / "README.md").write_text(card.format(base=base), encoding="utf-8")
    manifest = {file.name: _described(file) for file in sorted(staged.iterdir())}
    (staged / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    for file in staged.iterdir():
        _sync(file)
    _sync(staged)
    if folder.exists():
        shutil.rmtree(folder)
    staged.rename(folder)
    _sync(folder.parent)


_ADAPTER_CARD = """\
---
base_model: {base}
library_name: peft
---

A LoRA adapter for `{base}`, trained with ftlab. To load it:

```python
from peft import AutoPeftModelForCausalLM
from transformers import AutoTokenizer

folder = "."  # this one
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoPeftModelForCausalLM.from_pretrained(folder)
```
"""


_MODEL_CARD = """\
---
base_model: {base}
library_name: transformers
---

All weights of `{base}`, trained with ftlab. To load it:

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

folder = "."  # this one
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder)
```
"""


def _described(file: Path) -> dict[str, Any]:
    return {"bytes": file.stat().st_size, "sha256": sha256_of(file)}


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
