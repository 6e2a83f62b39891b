"""Small tokenizers and models that the tests make themselves: real parts, tiny sizes."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

TEMPLATES = Path(__file__).parent / "data" / "templates"
SPECIAL = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "pad_token": "<pad>",
}
SPECIAL_IDS = ("bos_token_id", "eos_token_id", "pad_token_id")
ADDED = [
    *SPECIAL.values(),
    "<|im_start|>",
    "<|im_end|>",
    "<|head|>",
    "<|/head|>",
    "<|eot|>",
    "<start_of_turn>",
    "<end_of_turn>",
    "<|user|>",
    "<|assistant|>",
    "<|end|>",
]
TEXT = [
    "The quick brown fox jumps over the lazy dog and asks where the parcel is.",
    "Where is my order 4417? It left our house on Monday, it should be with you on Thursday.",
    "user assistant system tool messages answer question hello good day thank you please",
    '{"name": "find", "arguments": {"city": "Bergen"}}',
]


@lru_cache
def byte_level() -> Tokenizer:
    """A byte-level BPE, as most chat models have; adds nothing around a text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[AddedToken(t, special=True, normalized=False) for t in ADDED],
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    return tokenizer


@lru_cache
def with_bos() -> Tokenizer:
    """The same, but it puts <s> before every text by itself."""
    tokenizer = Tokenizer.from_str(byte_level().to_str())
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
    )
    return tokenizer


def save_tokenizer(
    folder: Path,
    template: str | None = None,
    backend: Tokenizer | None = None,
    special: dict[str, str] | None = None,
) -> Path:
    """A model folder with a tokenizer and, if asked, one of our chat templates."""
    folder.mkdir(parents=True, exist_ok=True)
    (backend or byte_level()).save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 2048}
    config |= SPECIAL if special is None else special
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
    if template is not None:
        (folder / "chat_template.jinja").write_text((TEMPLATES / f"{template}.jinja").read_text())
    return folder


def save_model(folder: Path, template: str | None = "generation_tags", **config) -> Path:
    """A random Llama of about 60,000 parameters with the small tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    save_tokenizer(folder, template)
    torch.manual_seed(0)
    shape = {
        "vocab_size": byte_level().get_vocab_size(),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
    }
    model = LlamaForCausalLM(LlamaConfig(**{**shape, **config}))
    model.save_pretrained(folder)
    return folder


LAYERS = {"num_hidden_layers": 2, "max_position_embeddings": 512}
NARROW = {"hidden_size": 32, "intermediate_size": 64, **LAYERS}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
ARCHITECTURES: dict[str, dict] = {
    "llama": {**NARROW, **HEADS},
    "qwen3": {**NARROW, **HEADS, "head_dim": 8},
    "mistral": {**NARROW, **HEADS, "head_dim": 8, "sliding_window": 16},
    "gemma3_text": {**NARROW, **HEADS, "head_dim": 8, "sliding_window": 16},
    "phi3": {**NARROW, **HEADS},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 512},
    "qwen3_moe": {**NARROW, **HEADS, "head_dim": 8, **EXPERTS},
    "mixtral": {**NARROW, **HEADS, "num_local_experts": 4, "num_experts_per_tok": 2},
}
"""model_type → the shape of a tiny model of it."""


def save_architecture(folder: Path, family: str, template: str | None = "generation_tags") -> Path:
    """A random tiny model of a family with the small tokenizer."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    save_tokenizer(folder, template)
    tokenizer = byte_level()
    ids = {name: tokenizer.token_to_id(SPECIAL[f"{name[:3]}_token"]) for name in SPECIAL_IDS}
    shape = {"vocab_size": tokenizer.get_vocab_size(), **ids, **ARCHITECTURES[family]}
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **shape))
    model.save_pretrained(folder)
    return folder


def write_rows(file: Path, rows) -> Path:
    """A JSONL file."""
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return file


def chat_rows(n: int, start: int = 0) -> list[dict]:
    """Different short chats."""
    return [
        {
            "messages": [
                {"role": "user", "content": f"Where is order {i}?"},
                {"role": "assistant", "content": f"Order {i} left our house on Monday."},
            ]
        }
        for i in range(start, start + n)
    ]


def preference_rows(n: int, start: int = 0) -> list[dict]:
    """Different questions with a better and a worse answer of unequal length."""
    return [
        {
            "input": {"messages": [{"role": "user", "content": f"Where is order {i}?"}]},
            "preferred_output": [
                {
                    "role": "assistant",
                    "content": f"Order {i} left us on Monday." * (1 + i % 2),
                }
            ],
            "non_preferred_output": [
                {"role": "assistant", "content": "I don't know" + ", sorry" * (i % 3) + "."}
            ],
        }
        for i in range(start, start + n)
    ]
