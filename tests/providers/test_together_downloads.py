"""Adapters, files and checkpoints from a service whose line breaks off, lies or has moved on."""

from __future__ import annotations

import errno
import json
import logging
import random
import shutil
from threading import Event

import pytest
from IPython.core.ultratb import VerboseTB

from ftlab.adapter_files import read_adapter
from ftlab.errors import FtlabError, ServiceError, UnreadableData
from ftlab.providers.together import archives, fetching, pace
from ftlab.providers.together.account import secret
from ftlab.providers.together.client import Cancelled, Client
from ftlab.providers.together.downloads import (
    RemoteCheckpoint,
    checkpoints,
    download_adapter,
    download_file,
)
from ftlab.providers.together.fetching import WAITS
from ftlab.providers.together.room import require_room
from tests.fakes.together import BUSY, DROP, Fault, Service
from tests.fakes.together_artefacts import Serving
from tests.providers.archive_makers import ADAPTER, CONFIG, PACKED, adapter_archive, archive

KEY = "tgp_v1_canary-0123456789"
JOB = {"id": "ft-1", "training_type": {"type": "Lora"}}
DOWNLOAD = "/finetune/download"
NOISE = {"README.md": random.Random(0).randbytes(200_000)}  # it does not get smaller


@pytest.fixture
def service():
    with Service(key=KEY) as service:
        service.artefacts.archives["ft-1"] = adapter_archive(**NOISE)
        yield service


def client(service, **more):
    return Client(secret(KEY), service.address, **more)


def fetched(service, into, job=JOB, **more):
    """What lies in the folder after a download."""
    told = []
    with client(service) as ours:
        download_adapter(ours, job, into, told.append, **more)
    assert told == sorted(told)
    return {file.name: file.read_bytes() for file in into.iterdir()}


WHOLE = {**ADAPTER, **NOISE}


@pytest.mark.parametrize("packed", PACKED)
@pytest.mark.parametrize("folder", ["", "step-20/", "a/b/c/"])
def test_an_adapter_comes_as_a_folder_that_can_be_used(service, tmp_path, folder, packed):
    service.artefacts.archives["ft-1"] = adapter_archive(folder, packed)
    assert fetched(service, tmp_path / "adapter") == ADAPTER
    assert read_adapter(tmp_path / "adapter").settings["lora_r"] == 4
    assert service.downloads[-1] == {"ft_id": "ft-1", "checkpoint": "adapter"}
    assert [place.name for place in tmp_path.iterdir()] == ["adapter"]


def test_progress_is_told_to_the_end(service, tmp_path):
    told = []
    with client(service) as ours:
        download_adapter(ours, JOB, tmp_path / "adapter", told.append)
    assert told[-1] == 1.0


def test_a_folder_that_is_there_is_not_fetched_again(service, tmp_path):
    fetched(service, tmp_path / "adapter")
    asked = len(service.requests)
    fetched(service, tmp_path / "adapter")
    assert len(service.requests) == asked


def test_of_adapters_within_each_other_the_outermost_is_meant(service, tmp_path):
    inner = {f"checkpoint-9/{name}": content for name, content in ADAPTER.items()}
    service.artefacts.archives["ft-1"] = adapter_archive(**inner)
    found = tmp_path / "adapter"
    with client(service) as ours:
        download_adapter(ours, JOB, found)
    assert read_adapter(found).folder == found


def test_a_checkpoint_is_fetched_by_its_step(service, tmp_path):
    service.artefacts.archives["ft-1:20"] = adapter_archive(**{"tokenizer.json": b"[20]"})
    assert fetched(service, tmp_path / "a", step=20)["tokenizer.json"] == b"[20]"
    assert service.downloads[-1] == {"ft_id": "ft-1", "checkpoint_step": "20"}


def test_where_all_weights_were_trained_the_model_comes(service, tmp_path):
    model = {"out/config.json": b"{}", "out/model-00001.safetensors": b"weights"}
    service.artefacts.archives["ft-1"] = archive(model)
    found = fetched(service, tmp_path / "model", {**JOB, "training_type": {"type": "Full"}})
    assert set(found) == {"config.json", "model-00001.safetensors"}
    assert service.downloads[-1] == {"ft_id": "ft-1", "checkpoint": "model_output_path"}


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"adapter_config.json": b"{}", "adapter_model.bin": b"p"}, "adapter_model.bin"),
        ({}, "nothing"),
        ({f"{n}/{name}": c for n in "ab" for name, c in ADAPTER.items()}, "2 times that"),
        ({**ADAPTER, "adapter_config.json": b"not json"}, "can't be read"),
        ({**ADAPTER, "adapter_model.safetensors": b"\xff" * 50}, ""),
    ],
)
def test_what_holds_no_adapter_is_refused_and_leaves_nothing(service, tmp_path, files, said):
    service.artefacts.archives["ft-1"] = archive(files)
    with pytest.raises(UnreadableData) as caught:
        fetched(service, tmp_path / "adapter")
    assert said in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_malicious_archive_leaves_nothing(service, tmp_path):
    service.artefacts.archives["ft-1"] = archive({**ADAPTER, "../../evil.json": b"x"})
    with pytest.raises(UnreadableData, match="leads out of it"):
        fetched(service, tmp_path / "adapter")
    assert list(tmp_path.rglob("*")) == []


def test_an_adapter_that_can_not_train_on_is_kept_and_told(service, tmp_path):
    config = b'{"peft_type": "ADALORA", "base_model_name_or_path": "Qwen/Qwen3-8B"}'
    files = {**ADAPTER, "adapter_config.json": config}
    service.artefacts.archives["ft-1"] = archive(files)
    with client(service) as ours:
        job = {**JOB, "model": "Qwen/Qwen3-8B"}
        found = download_adapter(ours, job, tmp_path / "adapter", model=tmp_path / "model")
    assert found.folder == tmp_path / "adapter"
    assert {f.name: f.read_bytes() for f in found.folder.iterdir()} == files
    (note,) = found.notes
    assert "can't go on training it: its peft_type is 'ADALORA'; ftlab takes LORA" in note


@pytest.mark.parametrize(
    ("base", "is_told"),
    [("Qwen/Qwen3-8B", False), ("/mnt/models/qwen3-8b", False), ("meta/Llama-3", True)],
)
def test_an_adapter_of_another_model_is_kept_and_told(service, tmp_path, base, is_told):
    config = json.dumps({**CONFIG, "base_model_name_or_path": base}).encode()
    service.artefacts.archives["ft-1"] = archive({**ADAPTER, "adapter_config.json": config})
    with client(service) as ours:
        found = download_adapter(ours, {**JOB, "model": "Qwen/Qwen3-8B"}, tmp_path / "adapter")
    assert [f"one of {base!r} by its own" in note for note in found.notes] == [True] * is_told
    assert read_adapter(found.folder).settings["lora_r"] == 4


def test_a_whole_model_in_place_of_an_adapter_is_kept_as_one(service, tmp_path):
    model = {"out/config.json": b"{}", "out/model.safetensors": b"weights"}
    service.artefacts.archives["ft-1"] = archive(model)
    with client(service) as ours:
        places = {"into": tmp_path / "adapter", "model": tmp_path / "model"}
        found = download_adapter(ours, JOB, **places)
        assert download_adapter(ours, JOB, **places).folder == found.folder == tmp_path / "model"
    assert {file.name for file in found.folder.iterdir()} == {"config.json", "model.safetensors"}
    assert "a whole model and no adapter" in " ".join(found.notes)
    assert list(tmp_path.iterdir()) == [tmp_path / "model"]
    assert len(service.artefacts.served) == 1


# --- the line --------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_a_download_that_breaks_off_goes_on_where_it_was(service, tmp_path, waits, seed):
    draw = random.Random(seed)
    size = len(service.artefacts.archives["ft-1"])
    cuts = [draw.randrange(size // 6) for _ in range(draw.randrange(1, 6))]
    service.artefacts.servings = [Serving(cut_at=cut) for cut in cuts]
    assert fetched(service, tmp_path / "adapter") == WHOLE
    asked = [wish for wish, _ in service.artefacts.served]
    assert asked[0] == ""
    places = [int(wish.removeprefix("bytes=")[:-1]) if wish else 0 for wish in asked]
    assert places == [sum(cuts[:n]) for n in range(len(cuts) + 1)]
    assert {v for wish, v in service.artefacts.served if wish} <= {'"v1"'}
    assert waits == list(WAITS[: len(cuts)])


def gone_wrong(draw, size):
    """One thing that may go wrong, by chance."""
    cut = draw.randrange(size)
    return draw.choice(
        [
            Serving(cut),
            Serving(cut, ignores_range=True),
            Serving(cut, off_by=draw.randrange(1, 100)),
            Serving(extra=b"x" * draw.randrange(1, 2 * size)),
            Serving(status=draw.choice([408, 416, 429, 500, 502, 503, 504])),
            Serving(cut, tag=f'"v{draw.randrange(9)}"'),
        ]
    )


@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_whatever_goes_wrong_all_of_it_comes(service, tmp_path, waits, seed, elsewhere):
    draw = random.Random(seed)
    size = len(service.artefacts.archives["ft-1"])
    service.artefacts.sends_elsewhere = elsewhere
    service.artefacts.servings = [gone_wrong(draw, size) for _ in range(draw.randrange(1, 6))]
    assert fetched(service, tmp_path / "adapter") == WHOLE
    assert len(waits) <= len(WAITS)


def test_a_line_on_which_nothing_moves_is_left(service, tmp_path, waits, monkeypatch):
    monkeypatch.setattr("ftlab.providers.together.client.TIMEOUT", 1.0)
    service.artefacts.servings = [Serving(cut_at=9000, stalls=True)]
    assert fetched(service, tmp_path / "adapter") == WHOLE
    assert service.artefacts.served[1][0] == "bytes=9000-"


@pytest.mark.parametrize("page", [b"<html>sign in</html>", b'{"error": "later"}'])
def test_a_page_instead_of_an_archive_is_told(service, tmp_path, page):
    service.artefacts.archives["ft-1"] = page
    with pytest.raises(UnreadableData, match="it is damaged"):
        fetched(service, tmp_path / "adapter")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_no_archive(service, tmp_path, waits):
    service.artefacts.archives["ft-1"] = b""
    with pytest.raises(ServiceError, match="416"):
        fetched(service, tmp_path / "adapter")


def test_a_line_that_only_drips_is_left(service, tmp_path, waits, monkeypatch):
    monkeypatch.setattr(pace, "SPELL", 0.2)
    service.artefacts.servings = [Serving(cut_at=9000, drips=True)]
    assert fetched(service, tmp_path / "adapter") == WHOLE
    wish, _ = service.artefacts.served[1]
    assert 9000 <= int(wish.removeprefix("bytes=")[:-1]) < 12_000


def test_after_five_times_it_is_given_up_and_gone_on_with_when_asked_again(
    service, tmp_path, waits
):
    service.artefacts.servings = [Serving(cut_at=10)] * 9
    with pytest.raises(ServiceError, match="broke off at 60 bytes of") as caught:
        fetched(service, tmp_path / "adapter")
    assert "for the 6th time" in str(caught.value)
    assert "stays at the service" in str(caught.value)
    assert "it goes on from there" in str(caught.value)
    assert len(service.artefacts.served) == 6
    service.artefacts.servings = []
    assert fetched(service, tmp_path / "adapter") == WHOLE
    assert service.artefacts.served[-1] == ("bytes=60-", '"v1"')
    assert [place.name for place in tmp_path.iterdir()] == ["adapter"]


def test_a_part_of_what_is_another_by_now_is_not_gone_on_with(service, tmp_path, waits):
    service.artefacts.servings = [Serving(cut_at=10)] * 6
    with pytest.raises(ServiceError, match="broke off"):
        fetched(service, tmp_path / "adapter")
    service.artefacts.servings, service.artefacts.tag = [], '"v2"'
    service.artefacts.archives["ft-1"] = adapter_archive()
    assert fetched(service, tmp_path / "adapter") == ADAPTER
    assert service.artefacts.served[-1] == ("", "")


def test_of_what_has_no_version_no_part_is_kept(service, tmp_path, waits):
    service.artefacts.tag = ""
    service.artefacts.servings = [Serving(cut_at=10)] * 6
    with pytest.raises(ServiceError, match="broke off") as caught:
        fetched(service, tmp_path / "adapter")
    assert "goes on from there" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_one_process_downloads_at_a_time(service, tmp_path):
    def again(_):
        with client(service) as ours:
            download_adapter(ours, JOB, tmp_path / "adapter")

    with client(service) as ours, pytest.raises(FtlabError, match="by another process"):
        download_adapter(ours, JOB, tmp_path / "adapter", again)


def test_a_service_that_knows_no_ranges_is_asked_for_all_of_it(service, tmp_path, waits):
    service.artefacts.servings = [Serving(5000), Serving(7000, ignores_range=True)]
    service.artefacts.servings += [Serving(ignores_range=True)]
    assert fetched(service, tmp_path / "adapter") == WHOLE


def test_what_changed_meanwhile_is_taken_from_its_beginning(service, tmp_path, waits):
    other = adapter_archive(**{"tokenizer.json": b'{"other": 1}'})
    service.artefacts.servings = [Serving(5000), Serving(content=other, tag='"v2"')]
    found = fetched(service, tmp_path / "adapter")
    assert found["tokenizer.json"] == b'{"other": 1}'
    assert [v for _, v in service.artefacts.served] == ["", '"v1"']


def test_a_part_of_another_version_is_not_put_in(service, tmp_path, waits):
    other = adapter_archive(**{"README.md": random.Random(1).randbytes(200_000)})
    changed = Serving(content=other, tag='"v2"', ignores_version=True)
    service.artefacts.servings = [Serving(5000), changed]
    assert fetched(service, tmp_path / "adapter") == WHOLE
    assert service.artefacts.served[-1][0] == ""


def test_what_changed_and_broke_off_again_is_known_by_its_new_tag(service, tmp_path, waits):
    other = adapter_archive(**{"README.md": random.Random(1).randbytes(90_000)})
    service.artefacts.archives["ft-1"] = other
    service.artefacts.servings = [Serving(5000), Serving(8000, tag='"v2"'), Serving()]
    fetched(service, tmp_path / "adapter")
    assert service.artefacts.served == [("", ""), ("bytes=5000-", '"v1"'), ("bytes=8000-", '"v2"')]


def test_a_part_of_another_place_is_not_put_in(service, tmp_path, waits):
    service.artefacts.servings = [Serving(5000), Serving(off_by=7)]
    assert fetched(service, tmp_path / "adapter") == WHOLE
    assert service.artefacts.served[-1][0] == ""  # from the beginning


def test_more_than_was_announced_is_not_kept(service, tmp_path, waits):
    service.artefacts.servings = [Serving(5000), Serving(extra=b"x" * 50_000)]
    assert fetched(service, tmp_path / "adapter") == WHOLE


@pytest.mark.parametrize("fault", [BUSY, DROP, Fault(status=500), Fault(status=429)])
def test_what_passes_is_waited_for(service, tmp_path, waits, fault):
    service.misbehave("GET", DOWNLOAD, fault, fault)
    assert fetched(service, tmp_path / "adapter") == WHOLE


@pytest.mark.parametrize("status", [401, 402, 403, 404])
def test_a_refusal_is_told_and_not_repeated(service, tmp_path, waits, status):
    service.misbehave("GET", DOWNLOAD, Fault(status=status, body=b'{"message": "no"}'))
    with pytest.raises(ServiceError, match=f"{status} when what ft-1 tuned was downloaded"):
        fetched(service, tmp_path / "adapter")
    assert len(service.requests) == 1


def test_a_refusal_after_the_first_look_is_told_too(service, tmp_path, waits):
    service.artefacts.servings = [Serving(cut_at=100)]
    with client(service) as ours:
        attempt = ours.attempt

        def refused_later(*given, **more):
            if more["headers"].get("Range") == "bytes=100-":
                service.misbehave("GET", DOWNLOAD, Fault(status=403))
            return attempt(*given, **more)

        ours.attempt = refused_later
        with pytest.raises(ServiceError, match="403"):
            download_adapter(ours, JOB, tmp_path / "adapter")
    assert not (tmp_path / "adapter").exists()


# --- the storage -----------------------------------------------------------------------------


def test_the_storage_gets_no_key_and_its_address_is_not_shown(service, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    service.artefacts.sends_elsewhere = True
    assert fetched(service, tmp_path / "adapter") == WHOLE
    kept = service.asked("GET", "/kept/ft-1")
    assert len(kept) == 2
    for request in kept:
        assert "Authorization" not in request.headers
        assert KEY not in str(request.headers)
    assert "s3cret" not in caplog.text


def test_an_address_that_expired_is_asked_for_again(service, tmp_path, waits):
    service.artefacts.sends_elsewhere = True
    service.artefacts.servings = [Serving(5000)]
    over = Fault(status=403, body=b"signature=s3cret is over")

    with client(service) as ours:
        get = ours.storage.get

        def expires_once(*given):
            if given[3].get("Range") == "bytes=5000-" and not waits[1:]:
                service.misbehave("GET", "/kept/ft-1", over)
            return get(*given)

        ours.storage.get = expires_once
        download_adapter(ours, JOB, tmp_path / "adapter")
    assert len(service.asked("GET", DOWNLOAD)) == 4  # the look, and a new address each time
    assert [wish for wish, _ in service.artefacts.served] == ["", "bytes=5000-"]


def test_a_storage_elsewhere_than_on_https_is_refused(service, tmp_path):
    to = (("Location", "http://store.example/a?signature=s3cret"),)
    service.misbehave("GET", DOWNLOAD, Fault(status=302, headers=to))
    with pytest.raises(ServiceError, match="https only") as caught:
        fetched(service, tmp_path / "adapter")
    shown = VerboseTB().text(caught.type, caught.value, caught.tb.tb_next)
    assert "fetching.py" in shown
    assert "s3cret" not in shown + str(caught.value)


# --- this machine ----------------------------------------------------------------------------


def free_at(patch, *frees):
    """How many bytes are free at each look; the last holds from then on."""
    left, usage = list(frees), shutil.disk_usage("/")

    def looked(_):
        return usage._replace(free=left.pop(0) if len(left) > 1 else left[0])

    patch.setattr(shutil, "disk_usage", looked)


def test_a_disk_that_fills_up_meanwhile_is_told_and_what_came_is_kept(
    service, tmp_path, monkeypatch
):
    monkeypatch.setattr(fetching, "LOOK_AT_ROOM_EVERY", 1000)
    with monkeypatch.context() as patch:
        free_at(patch, 10**9, 10**9, 1000)
        with pytest.raises(FtlabError, match=r"has 1 kB free\. Make room.*is kept"):
            fetched(service, tmp_path / "adapter")
    assert fetched(service, tmp_path / "adapter") == WHOLE
    assert int(service.artefacts.served[-1][0].removeprefix("bytes=")[:-1]) >= 1000


def test_what_can_not_be_unpacked_for_want_of_room_is_not_fetched_again(
    service, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr(archives, "require_room", lambda *_: require_room(tmp_path, 10**18, "It"))
        with pytest.raises(FtlabError, match="what has come already is kept"):
            fetched(service, tmp_path / "adapter")
    assert fetched(service, tmp_path / "adapter") == WHOLE
    assert len(service.artefacts.served) == 1
    assert [place.name for place in tmp_path.iterdir()] == ["adapter"]


def test_what_does_not_fit_is_not_begun(service, tmp_path, monkeypatch):
    free_at(monkeypatch, 1000)
    with pytest.raises(FtlabError, match=r"takes \d+ kB and leaves 67.1 MB.*has 1 kB free"):
        fetched(service, tmp_path / "adapter")
    assert service.artefacts.served == []
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_can_be_written_is_told(service, tmp_path):
    with pytest.raises(FtlabError, match=r"can't be written \(No such file"):
        fetched(service, tmp_path / "nowhere" / "adapter")


def test_a_disk_that_is_full_meanwhile_is_told(service, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("ftlab.providers.together.fetching._Fetch._check_size", full)
    with pytest.raises(FtlabError, match="No space left on device"):
        fetched(service, tmp_path / "adapter")
    assert not (tmp_path / "adapter").exists()


def test_what_a_download_left_that_was_killed_goes(service, tmp_path):
    left = tmp_path / ".adapter.ftlab-download-abc"
    mine = tmp_path / ".adapter-old"
    for folder in (left, mine):
        folder.mkdir()
        (folder / "archive").write_bytes(b"half")
    fetched(service, tmp_path / "adapter")
    assert {place.name for place in tmp_path.iterdir()} == {"adapter", ".adapter-old"}


def test_a_download_that_is_cancelled_can_be_gone_on_with(service, tmp_path):
    stop = Event()
    with client(service, stop=stop) as ours, pytest.raises(Cancelled):
        download_adapter(ours, JOB, tmp_path / "adapter", lambda _: stop.set())
    assert not (tmp_path / "adapter").exists()
    assert fetched(service, tmp_path / "adapter") == WHOLE
    assert [place.name for place in tmp_path.iterdir()] == ["adapter"]


# --- checkpoints and files -------------------------------------------------------------------


def test_checkpoints_are_listed_by_step_with_what_names_them(service):
    service.artefacts.checkpoints["ft-1"] = [
        {"step": 40, "checkpoint_type": "Final Adapter", "created_at": "2026-11-21T10:02:00Z"},
        {"step": 20, "checkpoint_type": "Intermediate", "created_at": "2026-11-21T10:01:00Z"},
        {"step": 10, "checkpoint_type": "intermediate (step 10)", "created_at": None, "new": [1]},
        {"step": None, "checkpoint_type": "?"},
        "no checkpoint",
    ]
    with client(service) as ours:
        found = checkpoints(ours, "ft-1")
    assert found == [
        RemoteCheckpoint(10, "ft-1:10", "intermediate (step 10)", ""),
        RemoteCheckpoint(20, "ft-1:20", "Intermediate", "2026-11-21T10:01:00Z"),
        RemoteCheckpoint(40, "ft-1", "Final Adapter", "2026-11-21T10:02:00Z"),
    ]


@pytest.mark.parametrize("body", [b"{}", b'{"data": null}', b'{"data": {"a": 1}}'])
def test_no_checkpoints_are_none(service, body):
    service.misbehave("GET", "/checkpoints", Fault(status=200, body=body))
    with client(service) as ours:
        assert checkpoints(ours, "ft-1") == []


def test_the_content_of_a_file_comes_back_as_it_was(service, tmp_path, waits):
    content = random.Random(3).randbytes(300_000)
    service.contents["file-1"] = content
    service.artefacts.servings = [Serving(100_000)]
    with client(service) as ours:
        download_file(ours, "file-1", tmp_path / "rows.jsonl")
        with pytest.raises(FtlabError, match="is there already"):
            download_file(ours, "file-1", tmp_path / "rows.jsonl")
    assert (tmp_path / "rows.jsonl").read_bytes() == content
    assert [file.name for file in tmp_path.iterdir()] == ["rows.jsonl"]


def test_ids_lead_to_no_other_path(service, tmp_path):
    with client(service) as ours, pytest.raises(ServiceError, match="404"):
        download_file(ours, "../fine-tunes/ft-1", tmp_path / "x")
    assert service.requests[-1].path == "/v1/files/..%2Ffine-tunes%2Fft-1/content"
