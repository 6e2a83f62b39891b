"""The state of a training in full, saved and brought back: a run goes on from it bit by bit."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy
import torch
from safetensors.torch import load_file, save_file

from ftlab.adapter_files import WEIGHTS
from ftlab.base import load_base
from ftlab.manifest import written_whole
from ftlab.run_folder import RECORDED
from ftlab.train.checkpoints import (
    GENERATORS,
    OPTIMIZER,
    OPTIMIZER_REST,
    POSITION,
    REFERENCES,
    write_tuned,
)
from ftlab.train.device import own_random_state, set_own_random_state
from ftlab.train.position import Position
from ftlab.train.references import Reference
from ftlab.train.sharded import all_weights, is_sharded, load_whole, own_share, whole


def save_state(
    folder: Path,
    trainer: Any,
    base: Path,
    position: Position,
    references: Mapping[str, Mapping[int, Reference]],
    recorded: bytes = b"",
) -> None:
    """Save all that the steps to come depend on; `folder` appears when it is on disk for good.

    `references` are those of the training and the validation rows, by place; `recorded` is what
    the model said when it was saved.
    """
    folder.parent.mkdir(exist_ok=True)
    with written_whole(folder) as staged:
        write_tuned(trainer.model, staged, base, all_weights(trainer))
        if is_sharded(trainer.model):
            trainer.room.tell("optimizer")
        _save_optimizer(whole_states(trainer.optimizer), staged)
        (staged / GENERATORS).write_text(json.dumps(_all_generators(trainer)), encoding="utf-8")
        (staged / POSITION).write_text(position.model_dump_json(indent=1), encoding="utf-8")
        if recorded:
            (staged / RECORDED).write_bytes(recorded)
        if any(references.values()):
            save_file(_as_tensors(references), staged / REFERENCES)


def load_state(folder: Path, trainer: Any) -> None:
    """Bring weights, optimizer and random generators back to where `save_state` found them."""
    _load_weights(trainer.model, folder)
    _load_optimizer(trainer.optimizer, folder)
    first = json.loads((folder / GENERATORS).read_text(encoding="utf-8"))
    if first["scaler"]:  # the same in all; that of another number format has nothing to say
        trainer.scaler.load_state_dict(first["scaler"])
    own = [first, *first.get("others", ())]
    if trainer.room.rank < len(own):  # there may be more processes than there were
        _set_generators(own[trainer.room.rank], trainer.device)


def load_references(folder: Path, of: str) -> dict[int, Reference]:
    """The references of the "training" or the "validation" rows, by place."""
    if not (folder / REFERENCES).exists():
        return {}
    tensors = load_file(folder / REFERENCES)
    places, values = tensors[f"{of}.places"].tolist(), tensors[f"{of}.values"].tolist()
    return {place: (pair[0], pair[1]) for place, pair in zip(places, values, strict=True)}


def _as_tensors(references: Mapping[str, Mapping[int, Reference]]) -> dict[str, torch.Tensor]:
    tensors = dict[str, torch.Tensor]()
    for of, known in references.items():
        tensors[f"{of}.places"] = torch.tensor(list(known), dtype=torch.int64)
        values = torch.tensor(list(known.values()), dtype=torch.float64)
        tensors[f"{of}.values"] = values.reshape(-1, 2)
    return tensors


def _load_weights(model: Any, folder: Path) -> None:
    if (folder / WEIGHTS).exists():
        from peft import set_peft_model_state_dict

        set_peft_model_state_dict(model, load_file(folder / WEIGHTS))
        return
    dtype = next(model.parameters()).dtype
    load_whole(model, load_base(folder, dtype, "cpu").state_dict())


def whole_states(optimizer: torch.optim.Optimizer) -> dict[int, dict[str, Any]]:
    """What an optimizer has learned, by the place of the parameter; each process has to ask. As it
    has it: that in 8 bits packs it in its state_dict."""
    trained = [p for group in optimizer.param_groups for p in group["params"]]
    return {
        place: {name: whole(value) for name, value in optimizer.state[p].items()}
        for place, p in enumerate(trained)
        if p in optimizer.state
    }


def _save_optimizer(states: Mapping[int, dict[str, Any]], folder: Path) -> None:
    tensors, rest = dict[str, torch.Tensor](), dict[str, dict[str, Any]]()
    for place, values in states.items():
        for name, value in values.items():
            if isinstance(value, torch.Tensor):  # copied: two of them may share their memory
                tensors[f"{place}.{name}"] = value.detach().to("cpu", copy=True).contiguous()
            else:
                rest.setdefault(str(place), {})[name] = value
    save_file(tensors, folder / OPTIMIZER)
    (folder / OPTIMIZER_REST).write_text(json.dumps(rest), encoding="utf-8")


def _load_optimizer(optimizer: torch.optim.Optimizer, folder: Path) -> None:
    """Its groups and their settings are the spec's; only what it has learned is read."""
    rest = json.loads((folder / OPTIMIZER_REST).read_text(encoding="utf-8"))
    state: dict[int, dict[str, Any]] = {int(place): values for place, values in rest.items()}
    trained = [p for group in optimizer.param_groups for p in group["params"]]
    for key, tensor in load_file(folder / OPTIMIZER).items():
        place, _, name = key.partition(".")
        state.setdefault(int(place), {})[name] = own_share(tensor, trained[int(place)])
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _all_generators(trainer: Any) -> dict[str, Any]:
    """Those of all processes of the run, the first one's before the others."""
    trainer.room.tell("generators")
    return {**generators(trainer), "others": trainer.room.replies(dict[str, Any])}


def generators(trainer: Any) -> dict[str, Any]:
    """The random generators of this process and of its device, and the scale of gradients in
    float16, as plain data."""
    name, words, *rest = numpy.random.get_state()
    own = own_random_state(trainer.device)
    return {
        "torch": torch.get_rng_state().tolist(),
        "device": own[0].tolist() if own else None,
        "scaler": trainer.scaler.state_dict(),
        "python": random.getstate(),
        "numpy": [name, words.tolist(), *rest],  # pyright: ignore[reportAttributeAccessIssue]
    }


def _set_generators(found: Mapping[str, Any], device: str) -> None:
    torch.set_rng_state(_as_bytes(found["torch"]))
    if found["device"] is not None:
        set_own_random_state([_as_bytes(found["device"])], device)
    version, words, gauss = found["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, *rest = found["numpy"]
    numpy.random.set_state((name, numpy.array(keys, dtype=numpy.uint32), *rest))


def _as_bytes(state: list[int]) -> torch.Tensor:
    return torch.tensor(state, dtype=torch.uint8)
