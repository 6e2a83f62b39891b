"""The official SDK, version 3.1.1, against the fake service, and our requests against the SDK's."""

from __future__ import annotations

import contextlib
import json
import shlex
from collections import Counter

import pytest

import ftlab
from ftlab.data.tokens import load_tokenizer
from ftlab.exchange.code import sdk_keywords
from ftlab.files import sha256_of
from ftlab.models import read_info
from ftlab.providers.together import files, multipart
from ftlab.providers.together.account import secret
from ftlab.providers.together.chat import chat
from ftlab.providers.together.client import Client
from ftlab.providers.together.downloads import checkpoints, download_adapter, download_file
from ftlab.providers.together.files import upload, wait_until_checked
from ftlab.providers.together.jobs import delete_job
from ftlab.providers.together.listing import delete_file, hosted_files, hosted_jobs
from ftlab.providers.together.preview import differences
from ftlab.providers.together.serving import endpoint_commands, hardware
from ftlab.rules import resolve
from ftlab.spec import JobSpec
from tests.exchange.oracles import SDK, ask
from tests.fakes.together import Service
from tests.fakes.together_artefacts import add_job_as
from tests.providers.archive_makers import adapter_archive
from tests.small import chat_rows, preference_rows, save_tokenizer, write_rows

MODEL = "Qwen/Qwen3-8B"
CREATE = """
import json, sys
from together import Together
asked = json.load(sys.stdin)
client = Together(api_key="k", base_url=asked["address"], max_retries=0)
for job in asked["jobs"]:
    ids = {n: client.files.upload(p, purpose="fine-tune").id for n, p in job["files"].items()}
    for file_id in ids.values():
        while client.files.retrieve(file_id).processing_status != "COMPLETED":
            pass
    client.fine_tuning.create(**ids, **job["keywords"], verbose=False)
print()
print(json.dumps([file.id for file in client.files.list().data]))
"""


@pytest.fixture
def jobs(tmp_path):
    train = str(write_rows(tmp_path / "train.jsonl", chat_rows(30)))
    held = str(write_rows(tmp_path / "held.jsonl", chat_rows(5, 90)))
    pairs = str(write_rows(tmp_path / "pairs.jsonl", preference_rows(20)))
    sft = {"model": MODEL, "training_file": train}
    dpo = {"model": MODEL, "training_file": pairs, "training_method": "dpo"}
    values = [
        sft,
        {**sft, "validation_file": held, "n_evals": 3, "n_epochs": 4},
        {**sft, "lora": False},
        {**sft, "lora": None},
        {**sft, "lora_r": 4, "lora_alpha": 12, "lora_dropout": 0.1, "train_on_inputs": True},
        {**sft, "lora_trainable_modules": ("q_proj",)},
        {"from_checkpoint": "ft-1:20", "training_file": train},
        {**sft, "from_hf_model": "me/mine"},
        dpo,
        {**dpo, "dpo_beta": 0.3, "rpo_alpha": 0.5, "dpo_normalize_logratios_by_length": True},
        {**dpo, "simpo_gamma": 1.5, "lora": False},
    ]
    return [JobSpec(**given) for given in values]


def asked_by_sdk(service, specs):
    """What the SDK is told to create, resolved as ours is."""
    files = ("training_file", "validation_file")
    resolved = [
        resolve(spec, ftlab.scan(spec.training_file), read_info(spec.model or ""), "together").spec
        for spec in specs
    ]
    wanted = [
        {
            "files": {n: getattr(spec, n) for n in files if getattr(spec, n)},
            "keywords": sdk_keywords(spec),
        }
        for spec in resolved
    ]
    return ask(SDK, CREATE, {"address": service.address, "jobs": wanted})


def bodies(service, ending):
    return [json.loads(request.body) for request in service.asked("POST", ending)]


def form(request):
    """The parts of a form without what is drawn by chance, its boundary."""
    boundary = str(request.headers.get_param("boundary"))
    return request.body.decode().replace(boundary, "BOUNDARY")


@pytest.mark.slow
def test_our_requests_are_those_of_the_official_sdk(jobs, monkeypatch):
    pause = Client.pause
    monkeypatch.setattr(Client, "pause", lambda client, _: pause(client, 0))
    with Service(key="k") as theirs:
        ids = asked_by_sdk(theirs, jobs)
    with Service(key="k") as ours:
        for spec in jobs:
            ftlab.ask_price(spec, key="k", base_url=ours.address)
    assert ids == list(theirs.files) == list(ours.files) == ["file-0000", "file-0001", "file-0002"]
    assert ours.contents == theirs.contents
    priced = "/estimate-price"
    assert bodies(ours, priced) == bodies(theirs, priced)
    assert len(bodies(ours, priced)) == len(jobs)
    limits = [[r.query for r in s.asked("GET", "/limits")] for s in (ours, theirs)]
    assert limits[0] == limits[1]
    forms = [[form(r) for r in s.asked("POST", "/files")] for s in (ours, theirs)]
    assert forms[0] == forms[1]
    sent = [[sorted(r.headers.keys()) for r in s.asked("PUT")] for s in (ours, theirs)]
    assert sent[0] == sent[1]
    assert ours.bodies == []
    assert len(theirs.bodies) == len(jobs)  # the SDK was told to start them


# --- files and artefacts ---------------------------------------------------------------------

OLDER = "together-2.14.0"
ARTEFACTS = """
import json, sys
from pathlib import Path
asked = json.load(sys.stdin)
import together.lib.resources.files as files
from together import Together
files.MULTIPART_THRESHOLD_GB = 1e-6
files.TARGET_PART_SIZE_MB, files.MIN_PART_SIZE_MB = 0.05, 0.001
client = Together(api_key="k", base_url=asked["address"], max_retries=0)
small, large = (client.files.upload(p, purpose="fine-tune", check=False) for p in asked["files"])
again = client.files.upload(asked["files"][1], purpose="fine-tune", check=False)
assert again.id == large.id
found = {"bytes": client.files.retrieve(large.id).bytes}
found["files"] = [file.id for file in client.files.list().data]
found["content"] = client.files.content(large.id).read().decode()[:20]
if asked["is_new"]:
    rows = client.fine_tuning.preview(
        model="m", training_file=small.id, top_k=3, training_method="sft"
    ).rows
    found["rows"] = [row.input_ids for row in rows]
    found["hardware"] = [one.id for one in client.endpoints.hardware.list().data]
found["steps"] = [c.step for c in client.fine_tuning.list_checkpoints("ft-0000").data]
found["jobs"] = [job.id for job in client.fine_tuning.list().data]
place = Path(asked["folder"])
fetch = files.DownloadManager(client).download
for n, which in enumerate(("checkpoint=adapter", "checkpoint_step=20")):
    path = f"{'/v1' * asked['is_new']}/finetune/download?ft_id=ft-0000&{which}"
    fetch(path, place / str(n), fetch_metadata=True)
found["archive"] = (place / "0").stat().st_size
answer = client.chat.completions.create(
    model="me/mine", messages=[{"role": "user", "content": "Hello?"}],
    max_tokens=256, temperature=0.0, stream=True,
)
found["answer"] = "".join(chunk.choices[0].delta.content for chunk in answer)
found["deleted"] = client.files.delete(small.id).deleted
client.fine_tuning.delete("ft-0000")
print()
print(json.dumps(found))
"""
HARDWARE = {
    "id": "it_1",
    "name": "1x H100",
    "description": "one",
    "gpuType": "H100",
    "gpuCount": 1,
    "gpuMemoryGib": 80,
    "priceCentsPerHour": 399,
    "regions": [{"name": "us"}],
}


@contextlib.contextmanager
def stocked():
    """A service with a job that has ended, and all that it made."""
    with Service(key="k", file_status="COMPLETED", looks_before_a_file_is_ready=0) as service:
        add_job_as(service, "completed")
        own = service.artefacts
        own.archives = {"ft-0000": adapter_archive(), "ft-0000:20": adapter_archive()}
        own.checkpoints["ft-0000"] = [
            {"step": 20, "checkpoint_type": "Intermediate", "created_at": "", "path": "p"}
        ]
        row = {"input_ids": [1, 2], "labels": [-100, 2], "tokens": ["a", "b"]}
        counts = {"num_tokens": 2, "num_trained_tokens": 1, "trained_spans": [[1, 2]]}
        own.previewed = [{**row, **counts, "truncated": False}]
        own.hardware = [HARDWARE]
        yield service


def our_artefacts(service, files, folder, tokenizer):
    """The same as the SDK does, by our own client; what it found."""
    with Client(secret("k"), service.address) as client:
        small, large = (upload(client, file, sha256_of(file), lambda _: None) for file in files)
        assert upload(client, files[1], sha256_of(files[1]), lambda _: None) == large
        wait_until_checked(client, large, "large.jsonl", "training_file")
        listed = hosted_files(client)
        download_file(client, large, folder / "content")
        spec = JobSpec(model="m", training_file=str(files[0]))
        differences(client, spec, small, files[0], tokenizer, 3)
        found = {
            "bytes": next(file.n_bytes for file in listed if file.id == large),
            "files": [file.id for file in listed],
            "content": (folder / "content").read_text()[:20],
            "rows": [row["input_ids"] for row in service.artefacts.previewed],
            "steps": [one.step for one in checkpoints(client, "ft-0000")],
            "jobs": [job.id for job in hosted_jobs(client)],
        }
        job = {"id": "ft-0000", "training_type": {"type": "Lora"}}
        download_adapter(client, job, folder / "adapter")
        download_adapter(client, job, folder / "step", step=20)
        found["archive"] = len(service.artefacts.archives["ft-0000"])
        found["answer"] = chat(client, "me/mine", "Hello?")
        found["hardware"] = [one.id for one in hardware(client)]
        delete_file(client, small)
        delete_job(client, "ft-0000")
    return {**found, "deleted": True}


def plain(request, service):
    """A request without what may differ: addresses, boundaries, and how it names its program."""
    kind = str(request.headers.get_content_type())
    body = form(request) if "multipart" in kind else request.body.decode("latin-1")
    said = {name: request.headers.get(name) for name in ("Range", "Authorization")}
    path = request.path.replace(service.address, "")
    return request.method, path, request.query, said, in_order(body)


def in_order(body):
    """JSON with its names in order; anything else as it is."""
    try:
        return json.dumps(json.loads(body), sort_keys=True)
    except ValueError:
        return body


@pytest.mark.slow
def test_files_and_artefacts_are_asked_for_as_by_the_official_sdk(tmp_path, monkeypatch):
    pause = Client.pause
    monkeypatch.setattr(Client, "pause", lambda client, _: pause(client, 0))
    monkeypatch.setattr(files, "IN_PARTS_ABOVE", 1074)  # 1e-6 GiB
    monkeypatch.setattr(multipart, "PART", 0.05 * 2**20)
    monkeypatch.setattr(multipart, "LEAST_PART", 0.001 * 2**20)
    tokenizer = load_tokenizer(save_tokenizer(tmp_path / "model", "chatml"))
    given = [
        write_rows(tmp_path / "small.jsonl", chat_rows(2)),
        write_rows(tmp_path / "large.jsonl", chat_rows(1500)),
    ]
    for name in ("theirs", "ours"):
        (tmp_path / name).mkdir()
    with stocked() as theirs:
        asked = {"address": theirs.address, "files": list(map(str, given)), "is_new": True}
        found = ask(SDK, ARTEFACTS, {**asked, "folder": str(tmp_path / "theirs")})
    with stocked() as ours:
        assert our_artefacts(ours, given, tmp_path / "ours", tokenizer) == found
    assert ours.contents == theirs.contents
    assert ours.artefacts.completed == theirs.artefacts.completed == ["file-0001"]
    sent = [Counter(map(str, (plain(r, s) for r in s.requests))) for s in (ours, theirs)]
    only_ours, only_theirs = sent[0] - sent[1], sent[1] - sent[0]
    # Before it fetches a file, ours looks at its size; theirs does so for archives alone.
    assert not only_theirs
    assert all("/content'" in line and "bytes=0-1" in line for line in only_ours)
    assert sum(only_ours.values()) == 1


@pytest.mark.slow
def test_an_older_sdk_takes_the_service_too(tmp_path):
    given = [
        write_rows(tmp_path / "small.jsonl", chat_rows(2)),
        write_rows(tmp_path / "large.jsonl", chat_rows(1500)),
    ]
    with stocked() as service:
        asked = {"address": f"{service.address}/v1", "files": list(map(str, given))}
        found = ask(OLDER, ARTEFACTS, {**asked, "is_new": False, "folder": str(tmp_path)})
        size = len(service.artefacts.archives["ft-0000"])
    assert found["files"] == ["file-0000", "file-0001"]
    assert service.artefacts.completed == ["file-0001"]
    assert (found["archive"], found["steps"], found["jobs"]) == (size, [20], ["ft-0000"])
    assert (found["answer"], found["deleted"]) == ("Hello there", True)
    assert (list(service.files), service.jobs) == (["file-0001"], {})


@pytest.mark.slow
@pytest.mark.parametrize("is_adapter", [True, False])
def test_the_commands_for_an_endpoint_are_those_of_the_official_command_line(is_adapter):
    lines = endpoint_commands({"id": "ft-1", "model_output_name": "me/mine"}, is_adapter=is_adapter)
    commands = [shlex.split(line)[1:] for line in lines.splitlines() if line.startswith("together")]
    assert ask(SDK, COMMANDS, commands) == ["deploy", "rm"]


COMMANDS = """
import json, sys
from together.lib.cli import app
found = [app.parse_args(words, exit_on_error=False)[0].__name__ for words in json.load(sys.stdin)]
print()
print(json.dumps(found))
"""
