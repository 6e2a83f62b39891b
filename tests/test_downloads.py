"""Models fetched from a hub on the loopback by the hub's own client, in a process of its own."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time

import psutil
import pytest

from ftlab.downloads import Progress, Stopped
from ftlab.errors import UnreadableData
from ftlab.model_hub import list_files, look_up, weight_files
from ftlab.models import fetch, locate, model_problem, place_of, read_info
from ftlab.refusals import refusal
from tests.fake_hub import COMMIT, GATED, go_online, leave, own_cache, refused, serving

NAME = "somebody/small"
PART = 300_000
FIRST, SECOND = (f"model-0000{i}-of-00002.safetensors" for i in (1, 2))
INDEX = {"weight_map": {"a": FIRST, "b": SECOND}}
LIGHT = {"config.json", "tokenizer.json", "chat_template.jinja", "model.safetensors.index.json"}


@pytest.fixture
def folder(tmp_path):
    """A model as many are on the hub: in two parts, and once more in other formats."""
    folder = tmp_path / "on-the-hub"
    (folder / "original").mkdir(parents=True)
    texts = {"config.json": '{"model_type": "llama"}', "tokenizer.json": "{}", "README.md": "#"}
    texts |= {"chat_template.jinja": "{{ messages }}", "original/params.json": "{}"}
    texts["model.safetensors.index.json"] = json.dumps(INDEX)
    for name, text in texts.items():
        (folder / name).write_text(text)
    heavy = (FIRST, SECOND, "consolidated.safetensors", "original/consolidated.00.safetensors")
    for name in (*heavy, "pytorch_model.bin", "model-q4.gguf"):
        (folder / name).write_bytes(weights(PART))
    return folder


def weights(n_bytes):
    """A safetensors file of one tensor, as large as it is asked to be."""
    n = n_bytes - 100
    header = json.dumps({"a": {"dtype": "U8", "shape": [n], "data_offsets": [0, n]}})
    return (92).to_bytes(8, "little") + header.ljust(92).encode() + os.urandom(n)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    return own_cache(tmp_path / "cache", monkeypatch)


@pytest.fixture
def hub(cache, folder, monkeypatch):
    with serving(monkeypatch) as hub:
        hub.add(NAME, folder)
        yield hub


def halves(cache):
    return list(cache.rglob("*.incomplete"))


@pytest.mark.slow
def test_only_the_files_that_are_needed_come_once(hub, cache):
    here = fetch(NAME)
    assert {file.name for file in here.iterdir()} == {*LIGHT, FIRST, SECOND}
    assert hub.sent == {FIRST: PART, SECOND: PART}
    assert here.name == COMMIT
    assert locate(NAME) == locate(NAME, "main") == locate(NAME, COMMIT) == here
    before = len(hub.asked)
    assert fetch(NAME) == fetch(NAME, weights=False) == fetch(NAME, COMMIT) == here
    assert len(hub.asked) == before


@pytest.mark.slow
def test_small_files_come_without_weights_and_weights_later(hub):
    here = fetch(NAME, weights=False)
    assert {file.name for file in here.iterdir()} == LIGHT
    assert hub.sent == {}
    assert model_problem(NAME).code == "model_not_here"
    assert fetch(NAME) == here
    assert model_problem(NAME) is None
    assert sum(path.endswith("tokenizer.json") for path in hub.asked) == 2  # its head and itself


@pytest.mark.slow
def test_a_download_tells_how_far_it_is(hub):
    told: list[Progress] = []
    fetch(NAME, told=told.append)
    whole = sum(len(data) for name, data in hub.repos[NAME].files.items() if name in LIGHT)
    assert {progress.n_bytes for progress in told} == {whole + 2 * PART}
    got = [progress.got for progress in told]
    assert got == sorted(got)
    assert 0 == got[0] < got[-1] <= whole + 2 * PART


def test_progress_in_words():
    known = Progress("Qwen/Qwen3-8B", 3_200_000_000, 16_400_000_000, 41_000_000)
    expected = "downloading Qwen/Qwen3-8B: 3.2 of 16.4 GB, 41 MB/s, about 5 min left"
    assert str(known) == expected
    assert str(known._replace(rate=0)) == "downloading Qwen/Qwen3-8B: 3.2 of 16.4 GB"


@pytest.mark.slow
def test_a_token_goes_to_the_hub_and_nowhere_else(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_canary")
    fetch(NAME)
    assert {token for where, token in hub.tokens if where == "first"} == {"Bearer hf_canary"}
    assert {token for where, token in hub.tokens if where == "second"} == {None}


@pytest.mark.slow
def test_a_connection_that_breaks_goes_on_where_it_was(hub):
    block = 10 * 2**20  # the hub's client keeps what it gets in blocks of this size
    data = os.urandom(block + PART)
    hub.repos[NAME].files[FIRST] = data
    hub.breaks_after = [block + 1000]
    here = fetch(NAME)
    assert (here / FIRST).read_bytes() == data
    assert hub.ranges == [f"bytes={block}-"]
    assert hub.sent[FIRST] == len(data) + 1000


@pytest.mark.slow
def test_a_stopped_download_keeps_the_files_that_are_whole(hub, cache):
    hub.seconds_per_chunk = 0.4
    with pytest.raises(Stopped):
        fetch(NAME, stopped=lambda: SECOND in hub.sent)
    assert halves(cache) == []
    assert model_problem(NAME).code == "model_not_here"
    hub.seconds_per_chunk, hub.sent = 0, {}
    fetch(NAME)
    assert set(hub.sent) == {SECOND}
    assert model_problem(NAME) is None


@pytest.mark.slow
def test_what_a_killed_download_left_is_removed_unless_somebody_still_writes_it(hub, cache):
    from filelock import FileLock

    blobs, locks = cache / "models--somebody--small" / "blobs", cache / ".locks"
    blobs.mkdir(parents=True)
    (locks / "models--somebody--small").mkdir(parents=True)
    (blobs / "dead.0a1b2c3d.incomplete").write_bytes(b"x")
    (blobs / "alive.0a1b2c3d.incomplete").write_bytes(b"x")
    with FileLock(locks / "models--somebody--small" / "alive.lock"):
        fetch(NAME)
    assert [file.name for file in halves(cache)] == ["alive.0a1b2c3d.incomplete"]


# --- which files -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        (["model.safetensors", "consolidated.safetensors"], ["model.safetensors"]),
        (["weights.safetensors"], ["weights.safetensors"]),
        (["onnx/model.safetensors", "pytorch_model.bin"], []),
        (
            ["model.safetensors.index.json", "model.safetensors-00001-of-00001.safetensors"],
            ["model.safetensors-00001-of-00001.safetensors"],
        ),
    ],
)
def test_weights_are_taken_as_transformers_loads_them(names, taken):
    assert weight_files(names) == taken


def test_the_configuration_is_the_last_of_the_small_files(hub):
    names = list(list_files(NAME).files)
    assert names.index("config.json") == len(LIGHT) - 1
    assert names[len(LIGHT) :] == [FIRST, SECOND]


@pytest.mark.parametrize(
    ("left", "said"),
    [
        ({"config.json", "pytorch_model.bin"}, "no weights in the safetensors format on the hub"),
        ({"config.json", "pytorch_model.bin"}, "but pytorch_model.bin"),
        ({"README.md", FIRST}, "has no config.json on the hub"),
        (set(), "but no files"),
    ],
)
def test_what_ftlab_can_not_load_is_refused_before_anything_comes(hub, left, said):
    files = hub.repos[NAME].files
    hub.repos[NAME].files = {name: files[name] for name in left}
    with pytest.raises(UnreadableData, match=said):
        fetch(NAME)
    assert hub.asked == [f"/api/models/{NAME}"]


# --- why not ---------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("token", "said"), [(None, "hf auth login"), ("hf_canary", "owners look at each request")]
)
def test_a_gated_model_says_where_its_licence_is(hub, token, said, monkeypatch):
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    hub.repos[NAME].refuses = GATED
    with pytest.raises(UnreadableData, match=f"https://huggingface.co/{NAME}") as found:
        fetch(NAME)
    assert said in str(found.value)
    assert "canary" not in str(found.value)


def test_a_model_that_is_not_there_is_said(hub):
    with pytest.raises(UnreadableData, match="shows no model 'somebody/else'"):
        fetch("somebody/else")


def test_a_revision_that_is_not_there_is_said(hub):
    with pytest.raises(UnreadableData, match="has no revision 'v9'"):
        fetch(NAME, "v9")


@pytest.mark.slow
def test_a_hub_that_fails_on_the_way_is_said(hub):
    hub.repos[NAME].refuses = refused(403, "", "not today")
    with pytest.raises(UnreadableData, match="not today"):
        fetch(NAME)


def test_a_disk_that_is_too_small_is_said_before_anything_comes(hub, monkeypatch):
    monkeypatch.setattr("ftlab.downloads.free_bytes", lambda: 500_000)
    with pytest.raises(UnreadableData, match=r"600 kB more, and 500 kB are free .*HF_HOME"):
        fetch(NAME)
    assert hub.asked == [f"/api/models/{NAME}"]


def test_a_disk_that_becomes_full_is_said():
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert "became full" in refusal(NAME, None, full)


@pytest.mark.slow
def test_without_a_network_what_is_here_is_used(hub, monkeypatch):
    here = fetch(NAME)
    go_online(monkeypatch, "http://127.0.0.1:9")  # nothing listens on the discard port
    assert fetch(NAME) == fetch(NAME, weights=False) == here
    (here / SECOND).unlink()
    with pytest.raises(UnreadableData, match="not all on this machine and could not be fetched"):
        fetch(NAME)
    assert fetch(NAME, weights=False) == here
    leave()


# --- before the click ------------------------------------------------------------------------


def test_the_size_and_the_room_are_known_before(hub):
    look_up(NAME)
    assert place_of(read_info(NAME)).startswith("600 kB to download, ")
    assert model_problem(NAME).level == "tip"


def test_the_size_is_guessed_where_the_hub_was_not_asked(cache):
    assert place_of(read_info("Qwen/Qwen3-8B")).startswith("about 16.4 GB to download, ")


def test_too_little_room_is_a_warning(hub, monkeypatch):
    look_up(NAME)
    monkeypatch.setattr("ftlab.models.free_bytes", lambda: 1000)
    problem = model_problem(NAME)
    assert problem.level == "warning"
    assert "takes 600 kB, and 1 kB are free" in problem.message


def test_a_gate_is_said_before_the_run_comes_to_it(hub, monkeypatch):
    hub.repos[NAME].page["gated"] = "manual"
    look_up(NAME)
    problem = model_problem(NAME)
    assert problem.level == "warning"
    assert f"accept its licence at https://huggingface.co/{NAME}" in problem.message
    monkeypatch.setenv("HF_TOKEN", "hf_canary")
    assert model_problem(NAME).level == "tip"


@pytest.mark.slow
def test_a_model_that_is_here_says_so(hub):
    fetch(NAME)
    assert place_of(read_info(NAME)) == "on this machine, 600 kB"


FETCHING = "import sys; from ftlab.models import fetch; fetch(sys.argv[1])"


@pytest.mark.slow
def test_a_download_ends_with_the_process_that_wanted_it(hub):
    hub.seconds_per_chunk = 60.0
    parent = subprocess.Popen([sys.executable, "-c", FETCHING, NAME])
    try:
        wait_for(lambda: hub.sent)
        (child,) = psutil.Process(parent.pid).children()
    finally:
        parent.kill()
        parent.wait()
    wait_for(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def wait_for(holds):
    end = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)
