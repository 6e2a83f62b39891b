"""Folders of weights on disk: written whole or not at all, with a manifest of hashes.

A run's checkpoints lie beside each other, one folder for each step, and each can be loaded by peft
or transformers as it is.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

from ftlab.manifest import GONE, MANIFEST, STAGED, damage, remove, written_whole
from ftlab.run import CHECKPOINT, checkpoint_steps
from ftlab.run_folder import RECORDED
from ftlab.train.position import Position

POSITION = "training.json"
OPTIMIZER, OPTIMIZER_REST = "optimizer.safetensors", "optimizer.json"
GENERATORS = "generators.json"
REFERENCES = "references.safetensors"
OF_TRAINING = (POSITION, OPTIMIZER, OPTIMIZER_REST, GENERATORS, REFERENCES, RECORDED)
"""Files of a checkpoint that are no part of what was tuned."""
Weights = dict[str, Any]
"""Tensors by name."""
TOKENIZER_FILES = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"),
    "chat_template.jinja",
)


# --- one folder ------------------------------------------------------------------------------


def save_tuned(model: Any, folder: Path, base: Path, weights: Weights | None = None) -> None:
    """Save an adapter in peft's format, or a whole model in transformers', with the tokenizer of
    the `base` folder and how to load both. `weights` are those of a model that has but a share."""
    with written_whole(folder) as staged:
        write_tuned(model, staged, base, weights)


def write_tuned(model: Any, folder: Path, base: Path, weights: Weights | None = None) -> None:
    """Write what `save_tuned` saves into a folder that is there."""
    is_adapter = hasattr(model, "peft_config")
    alone: dict[str, Any] = {"save_embedding_layers": False} if is_adapter else {}
    if weights is not None:
        alone["state_dict"] = weights
    model.save_pretrained(folder, safe_serialization=True, **alone)
    for name in TOKENIZER_FILES:
        if (base / name).is_file():
            shutil.copyfile(base / name, folder / name)
    card = _ADAPTER_CARD if (folder / "adapter_config.json").exists() else _MODEL_CARD
    (folder / "README.md").write_text(card.format(base=base), encoding="utf-8")


def copy_tuned(checkpoint: Path, folder: Path) -> None:
    """Save what was tuned as a checkpoint has it."""
    with written_whole(folder) as staged:
        for file in checkpoint.iterdir():
            if file.name not in (MANIFEST, *OF_TRAINING):
                shutil.copyfile(file, staged / file.name)


# --- the checkpoints of a run ----------------------------------------------------------------


class Newest(NamedTuple):
    """From where a run goes on."""

    position: Position
    folder: Path | None
    """None: nothing whole is there, and training begins anew."""
    problems: list[str]
    """What is to be said about newer checkpoints that are damaged."""


def newest_whole(folder: Path) -> Newest:
    """The newest checkpoint that is as it was written. Takes away what a killed process left half
    written or half removed."""
    for pattern in (STAGED, GONE):
        for left in folder.glob(f"{pattern}*"):
            shutil.rmtree(left, ignore_errors=True)
    problems = list[str]()
    for step in reversed(checkpoint_steps(folder)):
        found = folder / CHECKPOINT.format(step)
        problem = damage(found)
        if not problem:
            position = _position(found)
            if position is not None and position.step == step:
                return Newest(position, found, problems)
            problem = f"its {POSITION} is none of this step, or of another ftlab"
        problems.append(
            f"Checkpoint {found.name} is damaged ({problem}); a run goes on from whole ones alone. "
            "It is passed over."
        )
    return Newest(Position(), None, problems)


def keep_only(folder: Path, steps: Collection[int]) -> None:
    """Remove the checkpoints of all other steps."""
    for step in checkpoint_steps(folder):
        if step not in steps:
            remove(folder / CHECKPOINT.format(step))


def _position(checkpoint: Path) -> Position | None:
    try:
        return Position.model_validate_json((checkpoint / POSITION).read_bytes())
    except (OSError, ValueError):
        return None


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
