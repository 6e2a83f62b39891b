"""Files cut into blocks: every byte and every line number survives the cutting."""

from __future__ import annotations

import gzip
import random
from io import BytesIO

import pytest

from ftlab.data import blocks
from ftlab.data.blocks import TOO_LONG, file_blocks, line_blocks
from ftlab.data.report import scan
from ftlab.files import sha256_of

BEHIND = {
    "nothing": b"",
    "a newline": b"\n",
    "lines": b"\nbb\n\ncc\n",
    "a line without its newline": b"\nbb\n\ncc",
    "many lines": b"\nb\n" * 30,
}
ENDS = (b"\n", b"\n", b"\r\n")


def content(draw, *, ends_with_newline):
    """Short, empty and long lines; one without its newline at the end where asked."""
    sizes = [draw.choice((0, 1, 7, 40, 300)) for _ in range(draw.randint(0, 40))]
    lines = [draw.randbytes(n).replace(b"\n", b"x") + draw.choice(ENDS) for n in sizes]
    return b"".join(lines) + (b"" if ends_with_newline else b"last")


def numbered(found):
    """(number, line) of all lines of the blocks, by what the blocks say."""
    return [pair for block in found for pair in enumerate(block.lines, start=block.first)]


def lines_of(data):
    return list(enumerate(BytesIO(data).readlines(), start=1))


@pytest.mark.parametrize("ends_with_newline", [True, False])
@pytest.mark.parametrize("size", [1, 16, 64, 100_000])
def test_blocks_of_a_file_are_the_file(size, ends_with_newline, tmp_path):
    file = tmp_path / "rows.jsonl"
    for seed in range(20):
        data = content(random.Random(seed), ends_with_newline=ends_with_newline)
        file.write_bytes(data)
        found = list(file_blocks(file, size))
        assert b"".join(block.data for block in found) == data
        assert numbered(found) == lines_of(data)
        for block in found:
            assert block.lines
            assert b"".join(block.lines) == block.data
        read = 0
        for block in found:
            read += len(block.data)
            assert block.end == read


def test_an_empty_file_has_no_blocks(tmp_path):
    file = tmp_path / "none.jsonl"
    file.write_bytes(b"")
    assert list(file_blocks(file)) == []


@pytest.mark.parametrize("size", [8, 16, 50, 100, 1_000])
@pytest.mark.parametrize("behind", BEHIND.values(), ids=BEHIND)
def test_a_line_that_is_too_long_is_one_line_and_the_next_keep_their_numbers(
    size, behind, tmp_path, monkeypatch
):
    monkeypatch.setattr(blocks, "LONGEST_LINE", 200)
    file = tmp_path / "long.jsonl"
    file.write_bytes(b"a\n" + b"x" * 5_000 + behind)
    expected = lines_of(file.read_bytes())
    expected[1] = (2, TOO_LONG)
    found = list(file_blocks(file, size))
    assert numbered(found) == expected
    assert found[-1].end == file.stat().st_size
    assert [block.end for block in found] == sorted(block.end for block in found)
    for block in found:
        assert block.data == b"".join(block.lines) or block.lines == [TOO_LONG]


def test_two_lines_that_are_too_long_stand_behind_each_other(tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "LONGEST_LINE", 200)
    file = tmp_path / "long.jsonl"
    file.write_bytes(b"x" * 900 + b"\na\nb\n" + b"y" * 900 + b"\nshort\n")
    expected = [TOO_LONG, b"a\n", b"b\n", TOO_LONG, b"short\n"]
    for size in range(1, 64):
        assert numbered(file_blocks(file, size)) == list(enumerate(expected, start=1))


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_the_digest_of_a_scan_is_that_of_the_file(name, tmp_path, monkeypatch):
    """Also where a line was passed over, or the scan would hold for no file."""
    monkeypatch.setattr(blocks, "LONGEST_LINE", 1_000)
    data = b'{"text": "a"}\n' + b"x" * (2 << 20) + b'\n{"text": "b"}\n'
    file = tmp_path / name
    file.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    report = scan(file)
    assert report.n_rows == 3
    assert report.sha256 == sha256_of(file)


@pytest.mark.parametrize("size", [1, 10, 1_000])
def test_lines_from_elsewhere_keep_their_numbers(size):
    lines = [(n, b"line %d" % n) for n in (1, 2, 3, 7, 8, 20, 21, 22)]
    found = list(line_blocks(iter(lines), size))
    assert numbered(found) == [(n, line + b"\n") for n, line in lines]
    assert b"".join(block.data for block in found) == b"".join(b"%s\n" % line for _, line in lines)
    for block in found:
        assert b"".join(block.lines) == block.data


def test_a_line_that_was_passed_over_elsewhere_is_still_known_as_one():
    lines = [(1, b"a"), (2, TOO_LONG), (3, b"b")]
    found = list(line_blocks(iter(lines)))
    assert numbered(found) == [(1, b"a\n"), (2, TOO_LONG), (3, b"b\n")]
    for block in found:  # a place in the data must be the same place in the lines
        assert b"".join(block.lines) == block.data
