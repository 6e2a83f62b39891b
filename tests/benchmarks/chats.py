"""A chat file of any size and a 32k tokenizer for the scan's benchmark, both from a seed.

Words follow Zipf-Mandelbrot, message lengths are lognormal, 6 % of the messages are in other
languages; lists, code and emoji occur. Rows are about 2.4 kB.
"""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import numpy as np

LETTERS = {
    "en": "etaoinshrdlucmfwypvbgk",
    "de": "enisratdhulcgmobwfkzäöüß",
    "ru": "оеаинтсрвлкмдпуяыьгзб",
    "zh": "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得",
}
SHARES = (0.94, 0.02, 0.02, 0.02)
N_WORDS = 30_000
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' "
    "+ message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


class Writer:
    """Texts of one seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.numbers = np.random.default_rng(seed)
        # The words are the same for every seed, as they are in a language.
        words = random.Random(0)
        self.words = {name: _vocabulary(letters, words) for name, letters in LETTERS.items()}
        ranks = np.arange(1, N_WORDS + 1)
        shares = 1 / (ranks + 2.7) ** 1.15
        self.cumulative = np.cumsum(shares / shares.sum())

    def text(self) -> str:
        """One message."""
        language = self.random.choices(list(LETTERS), SHARES)[0]
        n_words = max(3, int(self.random.lognormvariate(4.25, 0.9)))
        words = self.words[language]
        drawn = np.searchsorted(self.cumulative, self.numbers.random(n_words))
        pieces = [words[min(i, N_WORDS - 1)] for i in drawn.tolist()]
        for place in range(0, n_words, 11):
            pieces[place] = pieces[place].capitalize()
            pieces[place - 1] += self.random.choice((".", ",", ".\n", "?", "!", ":\n- "))
        if self.random.random() < 0.03:
            pieces.append("```python\nfor i in range(10):\n    print(i)\n```")
        if self.random.random() < 0.03:
            pieces.append(self.random.choice("🙂🚀🎉"))
        return " ".join(pieces)

    def row(self) -> dict:
        """A conversation of one to four rounds, with a system prompt in three of ten."""
        messages = []
        if self.random.random() < 0.3:
            messages.append({"role": "system", "content": self.text()})
        for _ in range(self.random.choice((1, 1, 2, 2, 3, 4))):
            messages.append({"role": "user", "content": self.text()})
            messages.append({"role": "assistant", "content": self.text()})
        return {"messages": messages}


def _vocabulary(letters: str, draw: random.Random) -> list[str]:
    """Words, commonest first; the rarer, the longer."""
    longest = 3 if letters is LETTERS["zh"] else 14
    words = []
    for rank in range(1, N_WORDS + 1):
        size = round(2 + 1.4 * math.log10(rank) + draw.gauss(0, 1.2))
        words.append("".join(draw.choices(letters, k=min(max(size, 1), longest))))
    return words


def chat_file(folder: Path, n_bytes: int, seed: int = 1) -> Path:
    """A JSONL file of about that size, made once. Past 50 MB it repeats itself with other first
    words, so that a gigabyte takes seconds to write and no row is twice in it."""
    path = folder / f"chats-{n_bytes >> 20}-{seed}.jsonl"
    if path.exists():
        return path
    writer, done, base = Writer(seed), 0, []
    with path.with_suffix(".part").open("w", encoding="utf-8") as stream:
        while done < n_bytes:
            if done < 50 << 20:
                row = writer.row()
                base.append(row)
            else:
                row = base[writer.random.randrange(len(base))]
                row["messages"][0]["content"] = writer.text()
                row["messages"][-1]["content"] = writer.text()
            line = json.dumps(row, ensure_ascii=False) + "\n"
            done += len(line.encode())
            stream.write(line)
    path.with_suffix(".part").rename(path)
    return path


def tokenizer_folder(folder: Path, vocabulary: int = 32_000) -> Path:
    """A model folder with a byte-level BPE of its own and a ChatML template, made once."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    made = folder / f"bpe-{vocabulary}"
    if made.exists():
        return made
    writer = Writer(99)
    tokenizer = Tokenizer(models.BPE())
    split = Regex(
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(split, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((writer.text() for _ in range(30_000)), trainer)
    made.mkdir(parents=True)
    tokenizer.save(str(made / "tokenizer.json"))
    names = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "chat_template": TEMPLATE}
    (made / "tokenizer_config.json").write_text(json.dumps(names))
    shape = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": vocabulary,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 8192,
    }
    (made / "config.json").write_text(json.dumps(shape))
    return made
