"""`python -m ftlab.infer.prove`: exports loaded as anybody would load them, by transformers and
peft alone, and what they say of the prompts of a reference.

The request comes as JSON on the standard input: {"exports": [{"folder", "kind", "reference"}],
"device"}. Lines of JSON go out: {"progress": share, "what": text}, and at the end {"made": figures
of each} or {"failed": text}.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ftlab.devices import lease
from ftlab.digests import weight_digests
from ftlab.errands import answering
from ftlab.processes import loading

HOLDER = "a proof"
Message = dict[str, Any]


def main() -> int:
    return answering(_prove)


def _prove(request: Message, say: Any) -> Iterator[Message]:
    device, exports = request["device"], request["exports"]

    def waiting(holder: str) -> None:
        say({"progress": 0.0, "what": f"waiting for {device}, used by {holder}"})

    with lease(device, HOLDER, waiting):
        yield {"progress": 0.0, "what": "starting afresh"}
        with loading():
            import peft  # noqa: F401
            import transformers  # noqa: F401
        found = list[Message]()
        for i, export in enumerate(exports):
            yield {"progress": (i + 0.2) / len(exports), "what": "loading what was exported"}
            found.append({**_compared(export, device), "versions": _versions()})
        yield {"made": found}


def _compared(export: Message, device: str) -> Message:
    """The figures of one export."""
    import torch
    from safetensors.torch import load_file

    reference = load_file(export["reference"])
    try:
        model = _loaded(export).to(device).eval()
    except Exception as exc:  # whatever a library makes of files that are wrong
        return {"unloadable": f"{type(exc).__name__}: {exc}".partition("\n")[0]}
    ids = reference["ids"].split(reference["lengths"].tolist())
    figures = {"difference": 0.0, "changed": 0.0, "n_places": 0, "n_greedy": 0, "n_agreed": 0}
    for i, (row, start) in enumerate(zip(ids, reference["starts"].tolist(), strict=True)):
        as_trained, expected = reference[f"logits.{i}"], reference[f"rounded.{i}"]
        with torch.no_grad():
            said = model(input_ids=row[None].to(device)).logits[0].float().cpu()
        said = said[-len(expected) :]
        n = len(row) - start
        same = (said.argmax(-1) == as_trained.argmax(-1))[-n - 1 : -1]
        figures["difference"] = _larger(figures["difference"], said - expected)
        figures["changed"] = _larger(figures["changed"], said - as_trained)
        figures["n_places"] += len(said)
        figures["n_greedy"] += n
        figures["n_agreed"] += int(same.sum())
    if export["kind"] == "gguf":  # its tensors have other names, and another order of their rows
        return {**figures, "tokens": None, "weights": None, **_by_llama(export, reference, ids)}
    return {**figures, "tokens": _tokens(export), "weights": weight_digests(model)}


def _loaded(export: Message) -> Any:
    """In float32, whatever format the file has."""
    import torch
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoConfig, AutoModelForCausalLM

    folder, kind = export["folder"], export["kind"]
    if kind == "adapter":
        return AutoPeftModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    if kind == "gguf":
        # Of a file's settings transformers reads only some: it knows no scaling of positions, and
        # takes the usual size of a head.
        config = AutoConfig.from_pretrained(export["config"])
        return AutoModelForCausalLM.from_pretrained(
            folder, gguf_file=_gguf(export).name, config=config, dtype=torch.float32
        )
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def _gguf(export: Message) -> Path:
    return next(Path(export["folder"]).glob("*.gguf"))


def _by_llama(export: Message, reference: Any, rows: Any) -> Message:
    """The tokens that llama.cpp makes of the texts, and what it says of the sequences; nothing
    where it is not installed."""
    if importlib.util.find_spec("llama_cpp") is None:
        return {}
    from ftlab.infer.llama import Llama

    llama, n_agreed, difference = Llama(_gguf(export), max(map(len, rows))), 0, 0.0
    for i, (row, start) in enumerate(zip(rows, reference["starts"].tolist(), strict=True)):
        expected = reference[f"rounded.{i}"]
        said = llama.said(row.tolist())[-len(expected) :]
        same = said.argmax(-1) == expected.argmax(-1)
        n_agreed += int(same[start - len(row) - 1 : -1].sum())
        difference = _larger(difference, said - expected)
    return {
        "llama": llama.version,
        "llama_tokens": [llama.tokens(text) for text in export["texts"]],
        "llama_agreed": n_agreed,
        "llama_difference": difference,
    }


def _tokens(export: Message) -> list[list[int]]:
    """What its tokenizer makes of the texts."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(export["folder"])
    return [tokenizer.encode(text, add_special_tokens=False) for text in export["texts"]]


def _larger(before: float, difference: Any) -> float:
    """A difference that is no number is larger than any."""
    found = difference.abs().max().item()
    return max(before, found if found == found else float("inf"))


def _versions() -> dict[str, str]:
    import peft
    import torch
    import transformers

    return {name.__name__: name.__version__ for name in (torch, transformers, peft)}


if __name__ == "__main__":
    sys.exit(main())
