"""How an export is used: a program for transformers, commands for vLLM and the hosted service.

vLLM's limits: its ranks and what it refuses of an adapter are those of vllm/config/lora.py and
vllm/lora/peft_helper.py, 0.27 (2026-08).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ftlab.adapter_files import CONFIG
from ftlab.errors import RunError
from ftlab.exports.kept import Exported
from ftlab.exports.proof import Kind
from ftlab.providers.together.serving import IDLE_MINUTES

VLLM_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""What --max-lora-rank takes."""
QUESTION = "Where is my order 4417?"

_TRANSFORMERS = """\
{imports}

folder = {folder}
tokenizer = AutoTokenizer.from_pretrained(folder)
model = {loader}.from_pretrained(folder)
messages = {messages}
if tokenizer.chat_template:
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    inputs = tokenizer(text, return_tensors="pt", add_special_tokens=False)
else:
    inputs = tokenizer(messages[-1]["content"], return_tensors="pt")
ids = inputs["input_ids"]
answer = model.generate(
    input_ids=ids, attention_mask=inputs["attention_mask"], max_new_tokens=64, do_sample=False
)
print(tokenizer.decode(answer[0, ids.shape[1] :], skip_special_tokens=True))
"""
_LOADERS: dict[Kind, tuple[str, str]] = {
    "adapter": (
        "from peft import AutoPeftModelForCausalLM\nfrom transformers import AutoTokenizer",
        "AutoPeftModelForCausalLM",
    ),
    "merged": (
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        "AutoModelForCausalLM",
    ),
}


def snippet(exported: Exported, name: str) -> str:
    """The text of one; `name` is transformers, vllm or together. Raises RunError where that can't
    be."""
    if name not in SNIPPETS:
        raise RunError(
            f"There is no snippet for {name!r}; there are {', '.join(SNIPPETS)}. Choose one of "
            "them."
        )
    if exported.place is None:
        raise RunError(
            "This export was not kept, because it is not the model that was trained; a snippet is "
            "for what is there. Export again."
        )
    return SNIPPETS[name](exported.place, exported.proof.kind, exported.system)


def transformers_snippet(folder: str | Path, kind: Kind, system: str = "") -> str:
    """A program that loads it and asks something, after the system prompt if there is one."""
    if kind == "gguf":
        raise _no("transformers", "is made for llama.cpp; merged is for transformers")
    imports, loader = _LOADERS[kind]
    messages = json.dumps(_messages(system), ensure_ascii=False)
    return _TRANSFORMERS.format(
        imports=imports, loader=loader, folder=json.dumps(str(folder)), messages=messages
    )


def _messages(system: str) -> list[dict[str, str]]:
    asked = {"role": "user", "content": QUESTION}
    return [{"role": "system", "content": system}, asked] if system else [asked]


def vllm_snippet(folder: str | Path, kind: Kind, system: str = "") -> str:
    """What serves it, OpenAI-style, on port 8000, and asks something. Raises RunError for what
    vLLM does not take."""
    if kind == "gguf":
        raise _no("vLLM", "is made for llama.cpp; merged is for vLLM")
    place = Path(folder)
    if kind == "merged":
        name = "tuned"
        served = f"vllm serve {shlex.quote(str(place))} --served-model-name {name}\n"
    else:
        config = json.loads((place / CONFIG).read_text(encoding="utf-8"))
        if problem := why_not_vllm(config):
            raise _no("vLLM", f"{problem}, which vLLM does not take; merged it does")
        served, name = _with_lora(place, config), "tuned"
    return served + _asked("http://localhost:8000/v1/chat/completions", name, system)


def why_not_vllm(config: Mapping[str, Any]) -> str:
    """What of an adapter vLLM does not take; empty where it takes all."""
    if config.get("use_dora"):
        return "has use_dora"
    if config.get("modules_to_save"):
        return "has modules_to_save"
    if config.get("bias", "none") != "none":
        return "trains biases"
    if config.get("target_parameters"):
        return "changes the weights of experts directly"
    targets = config.get("target_modules") or ()
    ends = ("embed_tokens", "lm_head", "wte")
    if any(
        str(name).rpartition(".")[2] in ends for name in targets if not isinstance(targets, str)
    ):
        return "changes embeddings or the output head"
    if _rank(config) > VLLM_RANKS[-1]:
        return f"has rank {_rank(config)}, above {VLLM_RANKS[-1]}"
    return ""


def _rank(config: Mapping[str, Any]) -> int:
    return max((int(config.get("r") or 1), *(config.get("rank_pattern") or {}).values()))


def _with_lora(folder: Path, config: Mapping[str, Any]) -> str:
    rank = next(r for r in VLLM_RANKS if r >= _rank(config))
    revision = config.get("revision")
    at = f" --revision {shlex.quote(revision)}" if revision else ""
    return (
        f"vllm serve {shlex.quote(str(config['base_model_name_or_path']))}{at} --enable-lora "
        f"--max-lora-rank {rank} --lora-modules {shlex.quote(f'tuned={folder}')}\n"
    )


def _asked(address: str, model: str, system: str) -> str:
    asked = {"model": model, "messages": _messages(system)}
    return (
        f"curl {address} -H 'Content-Type: application/json' -d {shlex.quote(json.dumps(asked))}\n"
    )


def together_snippet(folder: str | Path, kind: Kind, _system: str = "") -> str:
    """What registers it at Together, sends it there and serves it; an endpoint is billed by the
    hour until it is removed."""
    if kind == "gguf":
        raise _no("Together", "is made for llama.cpp; adapter and merged are for Together")
    is_adapter = kind == "adapter"
    kept = shlex.quote(str(folder))
    return (
        "pip install 'together>=3.1'\n"
        "export TOGETHER_PROJECT_ID=…  # of your project there\n"
        "together models public  # the ids of base models that can be served\n"
        f"together models create ftlab-tuned --base-model ML_ID --type "
        f"{'adapter' if is_adapter else 'model'}\n"
        f"together models upload MODEL_ID {kept}\n"
        "together endpoints deploy --model MODEL_ID --endpoint ftlab-tuned --traffic-weight 1 "
        f"--inactive-timeout {IDLE_MINUTES}\n"
        "# It is billed until it is removed, or was idle for so many minutes.\n"
        "together endpoints rm ENDPOINT_ID --force\n"
    )


def _no(where: str, why: str) -> RunError:
    return RunError(f"This export can't be served by {where}: it {why}. Export it so.")


SNIPPETS = {
    "transformers": transformers_snippet,
    "vllm": vllm_snippet,
    "together": together_snippet,
}
