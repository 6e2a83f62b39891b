"""The scan of a chat file against its peers, on the same file in one run.

    python tests/benchmarks/scan.py FOLDER [MEGABYTES]      times, as ratios
    python tests/benchmarks/scan.py FOLDER --memory         peaks at 200 MB and 1 GB

FOLDER keeps the files and the tokenizer that are made. The peers are `check_file` of Together's
SDK 3.1.1 (which parses and does no more; `tests/run.sh` installs it), a bare orjson loop, a loop of
json.loads and tiktoken with the same vocabulary, and `tokenizers` alone on the same texts.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ftlab.data import counts
from ftlab.data.report import scan
from tests.benchmarks.chats import chat_file, tokenizer_folder

ORACLES = Path(__file__).parents[2] / ".venv-oracles"
ROUNDS = 3
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def timed(work: Callable[[], Any]) -> float:
    """Seconds."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def orjson_loop(file: Path) -> None:
    import orjson

    with file.open("rb", buffering=1 << 20) as stream:
        for line in stream:
            orjson.loads(line)


def check_file(file: Path) -> None:
    sys.path.insert(0, str(ORACLES / "together-3.1.1"))
    from together.lib.utils.files import check_file as official

    assert official(file)["is_check_passed"]


def tiktoken_loop(file: Path, model: Path) -> int:
    """What the well-known notebook does: every message through tiktoken."""
    encoding, total = _tiktoken(model), 0
    with file.open(encoding="utf-8") as stream:
        for line in stream:
            for message in json.loads(line)["messages"]:
                total += len(encoding.encode_ordinary(message["content"]))
    return total


def _tiktoken(model: Path) -> Any:
    import tiktoken
    from tokenizers.pre_tokenizers import ByteLevel

    letters = sorted(ByteLevel.alphabet())
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    shown = {chr(code): code for code in plain}
    rest = iter(code for code in range(256) if code not in plain)
    shown |= {letter: next(rest) for letter in sorted(letters, key=ord) if ord(letter) > 255}
    vocabulary = json.loads((model / "tokenizer.json").read_text())["model"]["vocab"]
    ranks = {
        bytes(shown[letter] for letter in text): rank
        for text, rank in vocabulary.items()
        if all(letter in shown for letter in text)
    }
    return tiktoken.Encoding("same", pat_str=SPLIT, mergeable_ranks=ranks, special_tokens={})


def tokenizers_alone(file: Path, model: Path) -> None:
    """The same texts through the standard library, in batches, and nothing else."""
    from tokenizers import Tokenizer

    backend = Tokenizer.from_file(str(model / "tokenizer.json"))
    for texts in _rendered(file):
        backend.encode_batch_fast(texts, add_special_tokens=False)


def _rendered(file: Path) -> list[list[str]]:
    held, batches = [], []
    with file.open("rb") as stream:
        for line in stream:
            messages = json.loads(line)["messages"]
            held.append(
                "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in messages)
            )
            if len(held) == 400:
                batches.append(held)
                held = []
    return [*batches, held]


def best(*works: Callable[[], Any]) -> list[float]:
    """The best of some rounds of each, the works taking turns."""
    rounds = [[timed(work) for work in works] for _ in range(ROUNDS)]
    return [min(column) for column in zip(*rounds, strict=True)]


def times(folder: Path, megabytes: int) -> None:
    file, small = chat_file(folder, megabytes << 20), chat_file(folder, 20 << 20)
    model = tokenizer_folder(folder)
    ours, official, bare = best(
        lambda: scan(file, cached=False), lambda: check_file(file), lambda: orjson_loop(file)
    )
    print(f"{megabytes} MB: validation, all cheap checks, exact duplicates  {ours:.2f} s")
    print(f"  against check_file 3.1.1 ({official:.2f} s)     {ours / official:.2f}  (at most 1.0)")
    print(f"  against a bare orjson loop ({bare:.2f} s)   {ours / bare:.2f}  (at most 3.5)")
    exact = timed(lambda: scan(file, str(model), cached=False))
    loop = timed(lambda: tiktoken_loop(file, model))
    print(f"  templates rendered, labels made, exact tokens  {exact:.2f} s")
    print(f"  tiktoken loop ({loop:.1f} s) against it        {loop / exact:.1f}  (at least 5)")
    fast, counts._fast_tokenizer = counts._fast_tokenizer, lambda _: None
    standard = timed(lambda: scan(small, str(model), cached=False))
    counts._fast_tokenizer = fast
    alone = timed(lambda: tokenizers_alone(small, model))
    print(f"20 MB, standard engine {standard:.2f} s, tokenizers alone {alone:.2f} s")
    print(f"  ratio                                     {standard / alone:.2f}  (at most 1.15)")


WORK = """
import resource, sys, time
start = time.perf_counter()
from pathlib import Path
from ftlab.data.preview import preview
from ftlab.data.report import scan
from ftlab.data.tokens import load_tokenizer
import ahocorasick_rs, gigatoken
file, model = Path(sys.argv[1]), sys.argv[2]
found = preview(file, load_tokenizer(Path(model)))
first = time.perf_counter() - start
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
report = scan(file, model, cached=False)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
low, high = found.n_rows
print(first, (after - before) / 1024, low <= report.n_rows <= high, report.tokens.total)
"""


def memory(folder: Path) -> None:
    model, peaks = tokenizer_folder(folder), []
    for megabytes in (200, 1_000):
        file = chat_file(folder, megabytes << 20)
        ran = subprocess.run(
            [sys.executable, "-c", WORK, str(file), str(model)],
            capture_output=True,
            text=True,
            check=True,
        )
        first, peak, holds, tokens = ran.stdout.split()
        peaks.append(float(peak))
        print(
            f"{megabytes} MB: first figures after {float(first):.2f} s with all imports (interval "
            f"holds: {holds}), peak above imports {float(peak):.0f} MB, {int(tokens):,} tokens"
        )
    print(f"1 GB takes {peaks[1] - peaks[0]:.0f} MB more (at most 60)")


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    if "--memory" in sys.argv:
        memory(folder)
    else:
        times(folder, int(sys.argv[2]) if len(sys.argv) > 2 else 200)
    print(f"peak of this process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MB")


if __name__ == "__main__":
    main()
