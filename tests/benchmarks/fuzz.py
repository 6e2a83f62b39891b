"""Mutated files through the scan: none may raise, hang, or come back without a word.

    python tests/benchmarks/fuzz.py [FILES] [SEED]

Each file is a few rows of one of the formats, or a hostile line, with some of its bytes changed.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from pathlib import Path

from ftlab import demo
from ftlab.data.report import scan
from tests.data.hostile import GOOD, HOSTILE

PIECES = (
    *(b"\x00", b"\xff", b"\xed\xa0\xbd", b"\xef\xbb\xbf", b"\\ud83d", b"\\u0000", b"\r", b"\n"),
    *(b"NaN", b"1e999", b"-", b"null", b"true", b"{}", b"[]", b'""', b'"', b"{", b"}", b"[", b"]"),
    *(b",", b":", b'"role"', b'"content"', b'"messages"', b'"weight": 2', b'"assistant"', b"\\"),
    *(b"<|im_end|>", b"sk-abcdef", b"4111 1111 1111 1111", b"\xc3\x83\xc2\xa9", b"9" * 5_000),
)
ROWS = (
    GOOD,
    b'{"prompt": "2 + 2 =", "completion": " 4"}',
    b'{"text": "A plain text of some words."}',
    b'{"input": {"messages": [{"role": "user", "content": "hi"}]}, "preferred_output": '
    b'[{"role": "assistant", "content": "good day"}], "non_preferred_output": '
    b'[{"role": "assistant", "content": "what"}]}',
    b'{"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}, {"role": '
    b'"assistant", "content": null, "tool_calls": [{"id": "1", "type": "function", "function": '
    b'{"name": "f", "arguments": "{}"}}]}, {"role": "tool", "tool_call_id": "1", "content": "x"}]}',
    b'{"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}',
    b'{"instruction": "a", "input": "", "output": "b"}',
)
SUFFIXES = (".jsonl",) * 8 + (".json", ".csv", ".jsonl.gz", ".parquet")


def mutated(draw: random.Random) -> bytes:
    """The bytes of a file."""
    short = [line for line in HOSTILE.values() if len(line) < 10_000]
    rows = [draw.choice((*ROWS, *ROWS, draw.choice(short))) for _ in range(draw.randint(1, 5))]
    data = bytearray(b"\n".join(rows))
    for _ in range(draw.randint(0, 6)):
        at = draw.randrange(len(data) + 1)
        match draw.randrange(4):
            case 0:
                data[at:at] = draw.choice(PIECES)
            case 1:
                del data[at : at + draw.randint(1, 20)]
            case 2 if at < len(data):
                data[at] = draw.randrange(256)
            case _:
                data[at:at] = data[at : at + draw.randint(1, 200)]
    return bytes(data)


def main() -> None:
    n_files = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    draw = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    slowest, silent, codes = 0.0, 0, set()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(n_files):
            file = Path(folder) / f"f{draw.choice(SUFFIXES)}"
            file.write_bytes(mutated(draw))
            start = time.monotonic()
            report = scan(file, demo.MODEL if number % 2 else None)
            slowest = max(slowest, time.monotonic() - start)
            json.loads(report.model_dump_json())
            report._repr_html_()
            silent += not report.issues
            codes |= {issue.code for issue in report.issues}
            file.unlink()
    print(f"{n_files:,} files, none raised; slowest {slowest:.2f} s; {len(codes)} kinds of issues")
    print(f"{silent:,} had nothing to report")


if __name__ == "__main__":
    main()
