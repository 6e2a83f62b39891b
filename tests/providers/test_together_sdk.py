"""The official SDK, version 3.1.1, against the fake service, and our requests against the SDK's."""

from __future__ import annotations

import json

import pytest

import ftlab
from ftlab.exchange.code import sdk_keywords
from ftlab.models import read_info
from ftlab.providers.together.client import Client
from ftlab.rules import resolve
from ftlab.spec import JobSpec
from tests.exchange.oracles import SDK, ask
from tests.fakes.together import Service
from tests.small import chat_rows, preference_rows, write_rows

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
