"""A file that was scanned before: its report comes back, unless anything about it has changed."""

from __future__ import annotations

import json
import os
import sys

import pytest

from ftlab.data import cache
from ftlab.data.report import scan
from ftlab.data.scans import Scan
from tests.small import chat_rows, save_tokenizer, with_bos, write_rows


class ScannedAnew(Exception):
    """The file was read."""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("FTLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "SMALLEST", 0)
    return tmp_path / "cache"


@pytest.fixture
def model(tmp_path):
    return save_tokenizer(tmp_path / "model", "chatml")


@pytest.fixture
def file(tmp_path):
    return write_rows(tmp_path / "rows.jsonl", [*chat_rows(30), {"messages": []}])


@pytest.fixture
def reads(monkeypatch):
    """Call it: from then on a scan that reads a file raises."""

    def refuse(*_, **__):
        raise ScannedAnew

    return lambda: monkeypatch.setattr(Scan, "run", refuse)


def test_an_unchanged_file_is_not_read_again(file, model, reads):
    first = scan(file, model, max_seq_length=64)
    reads()
    assert scan(file, model, max_seq_length=64) == first
    assert first.n_bad_rows == 1
    assert first.tokens.total > 0


def test_an_equal_file_in_another_place_says_where_it_is(file, model, reads, tmp_path):
    scan(file, model)
    other = tmp_path / "elsewhere" / file.name
    other.parent.mkdir()
    other.write_bytes(file.read_bytes())
    reads()
    assert scan(other, model).path == str(other)


def test_messages_name_the_file_that_was_asked_for(file, tmp_path):
    scan(file)
    other = tmp_path / "other.jsonl"
    other.write_bytes(file.read_bytes())
    report = scan(other)
    assert [i for i in report.issues if "other.jsonl" in i.message]
    assert not [i for i in report.issues if "rows.jsonl" in i.message]


def test_a_file_is_read_where_the_cache_is_not_wanted(file, reads):
    scan(file)
    reads()
    with pytest.raises(ScannedAnew):
        scan(file, cached=False)


def change_content(file, model):
    file.write_bytes(file.read_bytes().replace(b"Monday", b"Friday"))
    return {}


def change_content_and_hide_it(file, model):
    before = file.stat()
    change_content(file, model)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    return {}


def change_tokenizer(file, model):
    save_tokenizer(model, "chatml", backend=with_bos())
    return {}


def change_template(file, model):
    save_tokenizer(model, "inst_spaced")
    return {}


def change_special_tokens(file, model):
    save_tokenizer(model, "chatml", special={"eos_token": "<|im_end|>"})
    return {}


def change_context(file, model):
    (model / "config.json").write_text(
        json.dumps({"model_type": "llama", "max_position_embeddings": 9})
    )
    return {}


def change_training_file(file, model):
    write_rows(file.parent / "train.jsonl", chat_rows(5))
    return {}


CHANGES = {
    "content": change_content,
    "content, with the old time": change_content_and_hide_it,
    "tokenizer": change_tokenizer,
    "template": change_template,
    "special tokens": change_special_tokens,
    "context of the model": change_context,
    "training file": change_training_file,
    "length": lambda file, model: {"max_seq_length": 65},
    "what trains": lambda file, model: {"train_on_inputs": True},
    "no training file": lambda file, model: {"against": None},
    "no model": lambda file, model: {"model": None},
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_changes_a_report_makes_a_new_one(what, file, model, reads):
    train = write_rows(file.parent / "train.jsonl", chat_rows(4))
    asked = {"model": model, "against": train}
    scan(file, **asked)
    now = {**asked, **CHANGES[what](file, model)}
    expected = scan(file, **now, cached=False)
    assert scan(file, **now) == expected
    reads()
    assert scan(file, **now) == expected


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_not_served_from_before(what, file, model, reads):
    train = write_rows(file.parent / "train.jsonl", chat_rows(4))
    asked = {"model": model, "against": train}
    scan(file, **asked)
    now = {**asked, **CHANGES[what](file, model)}
    reads()
    with pytest.raises(ScannedAnew):
        scan(file, **now)


def test_a_package_that_came_since_is_used(file, monkeypatch):
    with monkeypatch.context() as before:
        before.setitem(sys.modules, "rensa", None)
        assert "no_rensa" in {issue.code for issue in scan(file).issues}
    assert "no_rensa" not in {issue.code for issue in scan(file).issues}


@pytest.mark.parametrize("damage", [b"", b"{", b"null", b"\xff\xfe", b'{"path": 3}', b"[" * 10_000])
def test_a_damaged_report_is_made_again(damage, file, folder, model, reads):
    expected = scan(file, model)
    (kept,) = folder.glob("*.json")
    kept.write_bytes(damage)
    assert scan(file, model) == expected
    reads()
    assert scan(file, model) == expected


def test_a_cache_that_cannot_be_written_is_no_trouble(file, folder):
    folder.write_text("a file where the folder should be")
    assert scan(file).n_rows == 31
    assert scan(file).n_rows == 31


def test_a_small_file_is_not_kept(file, folder, monkeypatch):
    monkeypatch.setattr(cache, "SMALLEST", 1 << 20)
    scan(file)
    assert not list(folder.glob("*"))


def test_only_the_newest_reports_are_kept(folder, monkeypatch):
    monkeypatch.setattr(cache, "KEPT", 3)
    for i in range(5):
        cache.store(f"report{i}", "{}")
        os.utime(folder / f"report{i}.json", (i, i))
    cache.store("last", "{}")
    assert {path.name for path in folder.iterdir()} == {"last.json", "report3.json", "report4.json"}


def test_nobody_else_may_look_into_the_cache(file, folder):
    scan(file)
    assert folder.stat().st_mode & 0o077 == 0
