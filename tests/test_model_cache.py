"""What is listed of the hub's cache."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime

import pytest

import ftlab
from ftlab.cli import main
from ftlab.errors import UnreadableData
from ftlab.model_cache import free_bytes
from ftlab.model_files import tensor_shapes
from tests.fake_hub import COMMIT, own_cache
from tests.small import save_tokenizer


@pytest.fixture
def cache(tmp_path, monkeypatch):
    return own_cache(tmp_path / "cache", monkeypatch)


def put(cache, name, *, weights=True, half=0):
    """A model as the hub's client keeps it: files among the blobs, links in a snapshot."""
    repo = cache / name
    snapshot = save_tokenizer(repo / "snapshots" / COMMIT)
    if weights:
        (snapshot / "model.safetensors").write_bytes(b"\0" * 5000)
    (repo / "blobs").mkdir()
    for file in list(snapshot.iterdir()):
        blob = file.rename(repo / "blobs" / file.name)
        file.symlink_to(blob)
        os.utime(blob, (1.7e9, 1.6e9))
    if half:
        (repo / "blobs" / "b.1.incomplete").write_bytes(b"\0" * half)
    return sum(file.stat().st_size for file in (repo / "blobs").iterdir())


def test_models_here_have_their_size_and_are_whole_or_not(cache):
    size = put(cache, "models--org--whole")
    half = put(cache, "models--a--half--way", weights=False, half=700) - 700
    (cache / "models--org--empty" / "blobs").mkdir(parents=True)
    (cache / "datasets--org--rows" / "blobs").mkdir(parents=True)
    whole, part = ftlab.list_models()
    assert (whole.name, whole.n_bytes, whole.is_whole) == ("org/whole", size, True)
    assert whole.last_used == datetime.fromtimestamp(1.7e9, UTC)
    assert (part.name, part.n_bytes, part.is_whole) == ("a/half--way", half, False)


def test_a_part_of_the_weights_is_no_whole_model(cache):
    put(cache, "models--org--parts")
    index = {"weight_map": {"a": "model.safetensors", "b": "other.safetensors"}}
    snapshot = cache / "models--org--parts" / "snapshots" / COMMIT
    (snapshot / "model.safetensors.index.json").write_text(json.dumps(index))
    assert not ftlab.list_models()[0].is_whole


def snapshot_of(cache, name):
    return cache / name / "snapshots" / COMMIT


@pytest.mark.parametrize("name", ["model-00001-of-00004.safetensors", "adapter_model.safetensors"])
def test_a_file_of_weights_that_is_no_model_alone_is_no_whole_model(cache, name):
    put(cache, "models--org--part")
    weights = snapshot_of(cache, "models--org--part") / "model.safetensors"
    weights.rename(weights.with_name(name))
    assert not ftlab.list_models()[0].is_whole


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_link_to_what_is_gone_makes_no_whole_model(cache, name):
    put(cache, "models--org--gone")
    (snapshot_of(cache, "models--org--gone") / name).resolve().unlink()
    assert not ftlab.list_models()[0].is_whole


def test_an_index_of_nothing_makes_no_whole_model(cache):
    put(cache, "models--org--none", weights=False)
    index = snapshot_of(cache, "models--org--none") / "model.safetensors.index.json"
    index.write_text('{"weight_map": {}}')
    assert not ftlab.list_models()[0].is_whole


def test_a_link_to_weights_that_are_gone_is_told_where_the_model_is_read(cache):
    put(cache, "models--org--gone")
    folder = snapshot_of(cache, "models--org--gone")
    (folder / "model.safetensors").resolve().unlink()
    with pytest.raises(UnreadableData, match=r"model\.safetensors leads nowhere"):
        tensor_shapes(folder)


def test_the_size_is_that_of_one_revision_without_what_broke_off(cache):
    size = put(cache, "models--org--twice")
    repo = cache / "models--org--twice"
    shutil.copytree(repo / "snapshots" / COMMIT, repo / "snapshots" / ("0" * 40), symlinks=True)
    (repo / "blobs" / "c.2.incomplete").write_bytes(b"\0" * 9000)
    assert ftlab.list_models()[0].n_bytes == size


def test_without_a_cache_there_are_none_and_room_is_known(cache):
    assert ftlab.list_models() == ()
    assert free_bytes() > 0


def test_the_terminal_lists_them(cache, capsys):
    put(cache, "models--org--whole")
    put(cache, "models--org--half", weights=False)
    assert main(["models"]) == 0
    said = capsys.readouterr().out
    assert "org/whole" in said
    assert "2023-11-1" in said
    assert "a run fetches the rest" in said
    assert "are free in" in said


def test_the_terminal_says_when_there_is_none(cache, capsys):
    assert main(["models"]) == 0
    assert "No model of the hub is on this machine" in capsys.readouterr().out
