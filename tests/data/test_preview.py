"""First figures from pieces of a file: the true ones lie in the interval as often as is said."""

from __future__ import annotations

import json
import random

import pytest

from ftlab.data import preview as module
from ftlab.data.preview import preview
from ftlab.data.tokens import load_tokenizer
from tests.small import save_tokenizer, write_rows

SEEDS = range(30)


def uneven_rows(seed):
    """About 4 MB of chats whose lengths differ a hundredfold, longer ones towards the end."""
    draw, size = random.Random(seed), 0
    words = ["order", "4417", "house", "naïve", "日本", "🦜", "thank you", "lazy dog"]
    while size < 4 << 20:
        n = int(draw.lognormvariate(3 + size / (4 << 20), 1.1)) + 1
        answer = " ".join(draw.choices(words, k=min(n, 2_000)))
        messages = [
            {"role": "user", "content": f"question {size}"},
            {"role": "assistant", "content": answer},
        ]
        row = {"messages": messages}
        size += len(json.dumps(row, ensure_ascii=False).encode()) + 1
        yield row


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return load_tokenizer(save_tokenizer(tmp_path_factory.mktemp("model"), "chatml"))


@pytest.fixture(scope="module")
def large(tmp_path_factory, tokenizer):
    """(file, rows, tokens of its texts)."""
    rows = list(uneven_rows(1))
    texts = [message["content"] for row in rows for message in row["messages"]]
    file = write_rows(tmp_path_factory.mktemp("data") / "large.jsonl", rows)
    found = tokenizer.backend.encode_batch_fast(texts, add_special_tokens=False)
    return file, len(rows), sum(len(one.ids) for one in found)


@pytest.fixture(autouse=True)
def any_size(monkeypatch):
    monkeypatch.setattr(module, "SMALLEST", 1 << 20)


def holds(interval, value):
    return interval[0] <= value <= interval[1]


def test_the_interval_holds_the_true_figures(large, tokenizer, monkeypatch):
    monkeypatch.setattr(
        module, "PIECE", 8 << 10
    )  # a fifth of the file, as little as of a large one
    monkeypatch.setattr(module, "BUDGET", 60)
    file, n_rows, n_tokens = large
    found = [preview(file, tokenizer, seed) for seed in SEEDS]
    assert sum(holds(one.n_rows, n_rows) for one in found) >= 27
    assert sum(holds(one.n_tokens, n_tokens) for one in found) >= 27
    # And it says something: an interval from nothing to everything would hold it too.
    assert all(high - low < 0.5 * n_rows for low, high in (one.n_rows for one in found))
    assert all(high - low < 0.5 * n_tokens for low, high in (one.n_tokens for one in found))
    assert all(one.format == "conversation" for one in found)
    assert all(0.1 < one.share < 0.3 for one in found)


def test_the_interval_holds_when_time_is_short(large, monkeypatch):
    """Eight pieces say less, so the interval is wider."""
    monkeypatch.setattr(module, "PIECE", 8 << 10)
    monkeypatch.setattr(module, "BUDGET", 0)
    file, n_rows, _ = large
    found = [preview(file, None, seed) for seed in range(300)]
    assert all(one.share < 0.02 for one in found)
    assert sum(holds(one.n_rows, n_rows) for one in found) >= 0.93 * 300


def test_middles_of_the_intervals_lie_on_no_side(large, monkeypatch):
    """Long lines must not count too often or too seldom."""
    monkeypatch.setattr(module, "PIECE", 8 << 10)
    monkeypatch.setattr(module, "BUDGET", 60)
    file, n_rows, _ = large
    middles = [sum(preview(file, None, seed).n_rows) / 2 for seed in range(40)]
    assert sum(middles) / len(middles) == pytest.approx(n_rows, rel=0.02)


def test_equal_lines_are_known_nearly_exactly(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PIECE", 8 << 10)
    rows = [{"text": f"{i:08} and as long as all others"} for i in range(40_000)]
    file = write_rows(tmp_path / "equal.jsonl", rows)
    low, high = preview(file).n_rows
    assert low <= 40_000 <= high
    assert high - low < 200


def test_a_small_file_needs_no_preview(tmp_path):
    assert preview(write_rows(tmp_path / "small.jsonl", [{"text": "a"}])) is None


def test_bad_lines_and_no_newline_are_no_trouble(tmp_path):
    file = tmp_path / "bad.jsonl"
    file.write_bytes(b"\xff nonsense\n\n[1]\n" * 100_000 + b"{" * (1 << 20))
    found = preview(file)
    assert found.format is None
    assert found.n_tokens is None
    assert found.n_rows[1] > 0


def test_in_words():
    found = module.Preview("general", (900, 1_100), (1_230_000, 2_000_000), 0.25)
    expected = "about 1,000 rows, 1.23 to 2 million tokens of text (from 25.0% of the file)"
    assert found.in_words() == expected
    assert found._replace(n_tokens=None).in_words() == "about 1,000 rows (from 25.0% of the file)"
