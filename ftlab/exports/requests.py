"""What the processes of an export are asked, and the proof that their figures add up to."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from ftlab.data.tokens import Tokenizer, load_tokenizer
from ftlab.exports.asked import Asked
from ftlab.exports.proof import DTYPES, Proof, judged
from ftlab.files import sha256_of

PROMPTS = ("Where is my order?", "Write a short greeting.", "2 + 2 =", "The capital of France is")
"""Asked where nothing was recorded while it trained."""
MERGED, CONFIG = "merged", "config.json"
"""The kind that is written where a GGUF file is made of it, and its settings."""


def writing_request(asked: Asked, folder: Path, reference: Path) -> dict[str, Any]:
    """To write it into a folder that is there, and what the model as trained says into a file."""
    return {
        "spec": asked.spec.model_dump(mode="json"),
        "kind": "adapter" if asked.kind == "adapter" else MERGED,
        "dtype": None if _as_it_is(asked) else DTYPES[asked.dtype],
        "device": asked.device,
        "bits_on": asked.bits_on,
        "tuned": str(asked.tuned),
        "base": str(asked.base or asked.tuned),
        "staged": str(folder),
        "reference": str(reference),
        "recorded": str(asked.run.recorded(asked.step)),
        "prompts": [] if asked.unproved else _prompts(_tokenizer(asked)),
        "names": asked.names,
        "is_exact": not asked.unproved,
    }


def proving_request(asked: Asked, folder: Path, reference: Path, made: Any) -> dict[str, Any]:
    """To load it afresh and ask it the same."""
    return {
        **{"folder": str(folder), "kind": asked.kind, "reference": str(reference)},
        "texts": _texts(asked, made),
        "config": str(reference.with_name(CONFIG)),
    }


def proof_of(asked: Asked, folder: Path, made: Any, found: Any) -> Proof:
    """What the figures of both processes add up to."""
    tokenizer = _tokenizer(asked)
    as_tokens = [tokenizer.encode(text)[0] for text in _texts(asked, made)]
    digest = hashlib.sha256(json.dumps(made["prompts"]).encode()).hexdigest()
    return judged(made, found, as_tokens, prompts_sha256=digest, **about(asked, folder))


def about(asked: Asked, folder: Path) -> dict[str, Any]:
    """What a proof is about."""
    return {
        **{"kind": asked.kind, "dtype": asked.dtype, "step": asked.step},
        "base": asked.model if asked.is_on_hub else Path(asked.model).name,
        "base_commit": asked.commit if asked.is_on_hub else None,
        "files": _digests(folder),
    }


def _texts(asked: Asked, made: Any) -> list[str]:
    tokenizer = _tokenizer(asked)
    return [tokenizer.decode(ids) for ids in made["prompts"]]


def _as_it_is(asked: Asked) -> bool:
    return asked.kind == "adapter" and asked.dtype == asked.stored


def _tokenizer(asked: Asked) -> Tokenizer:
    return load_tokenizer(asked.base or asked.tuned)


def _prompts(tokenizer: Tokenizer) -> list[list[int]]:
    return [[*tokenizer.prefix, *tokenizer.encode(text)[0]] for text in PROMPTS]


def _digests(folder: Path) -> dict[str, str]:
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    return {file.relative_to(folder).as_posix(): sha256_of(file) for file in files}
