"""The tokenizer of a model folder, without transformers.

One `tokenizers.Tokenizer` serves the data panel and the trainer, so both see the same ids.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ftlab.errors import UnreadableData

TOKEN_NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token")


@dataclass(frozen=True, eq=False)  # hashed by identity: one object per folder
class Tokenizer:
    """Ids, special tokens and chat templates of one model folder."""

    folder: Path
    backend: Any
    """A `tokenizers.Tokenizer` that neither truncates nor pads."""
    special: dict[str, str]
    """Text of bos_token, eos_token, …; only those that the model sets."""
    templates: dict[str, str]
    """Chat templates by name; "default" is the usual one, "tool_use" wins where tools are given."""
    prefix: tuple[int, ...]
    """Ids that the tokenizer itself puts before a text (most often BOS, or nothing)."""
    special_tokens: tuple[str, ...]
    """Text of every control token; text that holds one is not read as plain text."""

    @property
    def eos_id(self) -> int | None:
        """Id of the end-of-sequence token."""
        eos = self.special.get("eos_token")
        return None if eos is None else self.backend.token_to_id(eos)

    @property
    def pad_id(self) -> int:
        """Id to fill short rows with; any will do where the model names none, labels hide it."""
        pad = self.special.get("pad_token")
        found = None if pad is None else self.backend.token_to_id(pad)
        return found if found is not None else (self.eos_id or 0)

    def encode(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Ids of a text and each token's (start, end) in characters; nothing is added."""
        encoding = self.backend.encode(text, add_special_tokens=False)
        return encoding.ids, encoding.offsets

    def decode(self, ids: list[int]) -> str:
        """The text of ids, special tokens included."""
        return self.backend.decode(ids, skip_special_tokens=False)

    def template_for(self, *, tools: bool) -> str | None:
        """The chat template for rows with or without tools, None when the model has none."""
        if tools and "tool_use" in self.templates:
            return self.templates["tool_use"]
        return self.templates.get("default")


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a model folder, read again when one of its files has changed.

    Raises UnreadableData when there is none to read.
    """
    files = [*folder.glob("*.json"), *folder.glob("*.jinja"), *folder.glob("*_templates/*.jinja")]
    return _load(folder, tuple((file, file.stat().st_mtime_ns) for file in sorted(files)))


@lru_cache(maxsize=4)
def _load(folder: Path, _stamps: tuple[tuple[Path, int], ...]) -> Tokenizer:
    from tokenizers import Tokenizer as Backend

    file = folder / "tokenizer.json"
    if not file.is_file():
        raise UnreadableData(
            f"{folder} has no tokenizer.json; ftlab counts tokens with that file. "
            "Save the model with a fast tokenizer (`tokenizer.save_pretrained`) and try again."
        )
    try:
        backend = Backend.from_file(str(file))
    except Exception as exc:  # the Rust side raises a bare Exception
        raise UnreadableData(
            f"{file} can't be read ({exc}); it must be a tokenizer of the tokenizers library. "
            "Download or save it again."
        ) from exc
    # A stored truncation or padding would silently change every count.
    backend.no_truncation()
    backend.no_padding()
    _keep_white_space(backend.post_processor)
    config = _read_json(folder / "tokenizer_config.json")
    added = backend.get_added_tokens_decoder()
    return Tokenizer(
        folder=folder,
        backend=backend,
        special=_special_tokens(config, _read_json(folder / "special_tokens_map.json")),
        templates=_templates(folder, config),
        prefix=_prefix(backend),
        special_tokens=tuple(token.content for token in added.values() if token.special),
    )


def _keep_white_space(processor: Any) -> None:
    """Let a token's place hold the white space that it stands for (Llama 3's file takes it out),
    so that the places of a text's tokens leave no gaps."""
    if hasattr(processor, "__getitem__"):
        for one in processor:
            _keep_white_space(one)
    elif hasattr(processor, "trim_offsets"):
        processor.trim_offsets = False


def _special_tokens(*configs: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for config in configs:
        for name in TOKEN_NAMES:
            value = config.get(name)
            text = value.get("content") if isinstance(value, dict) else value
            if isinstance(text, str) and name not in found:
                found[name] = text
    return found


def _templates(folder: Path, config: dict[str, Any]) -> dict[str, str]:
    """Templates from tokenizer_config.json, overridden by the newer files of their own."""
    stored = config.get("chat_template")
    found: dict[str, str] = {}
    if isinstance(stored, str):
        found["default"] = stored
    elif isinstance(stored, list):
        named = [entry for entry in stored if isinstance(entry, dict)]
        pairs = [(entry.get("name"), entry.get("template")) for entry in named]
        found = {n: t for n, t in pairs if isinstance(n, str) and isinstance(t, str)}
    file = folder / "chat_template.jinja"
    if file.is_file():
        found["default"] = _read_text(file)
    for extra in sorted((folder / "additional_chat_templates").glob("*.jinja")):
        found[extra.stem] = _read_text(extra)
    return found


def _read_text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise UnreadableData(
            f"{file} can't be read as UTF-8 ({exc}); it holds the model's chat template. "
            "Download or save it again."
        ) from exc


def _prefix(backend: Any) -> tuple[int, ...]:
    """What the tokenizer's own post-processor puts before a text."""
    bare = backend.encode("a", add_special_tokens=False).ids
    full = backend.encode("a", add_special_tokens=True).ids
    for start in range(len(full) - len(bare) + 1):
        if full[start : start + len(bare)] == bare:
            return tuple(full[:start])
    return ()


def _read_json(file: Path) -> dict[str, Any]:
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as exc:
        raise UnreadableData(
            f"{file} is not JSON ({exc}); the tokenizer's settings are read from it. "
            "Download or save it again."
        ) from exc
    return data if isinstance(data, dict) else {}
