"""Jobs are asked for, looked at and cancelled as by the official SDK, 3.1.1 and 2.14.0; and
both accept the service that the tests run against."""

from __future__ import annotations

import json
import re

import pytest

from ftlab.exchange.code import sdk_keywords
from ftlab.providers import prepare
from ftlab.providers.together.client import Client
from ftlab.providers.together.jobs import cancel, delete_job
from ftlab.providers.together.ledger import mark_of
from ftlab.providers.together.listing import hosted_jobs
from ftlab.runs import Run
from tests.exchange.oracles import SDK, ask
from tests.fakes.together import Service
from tests.providers.hosted import KEY, carried_out, hosted
from tests.providers.test_together_sdk import OLDER
from tests.providers.test_together_sdk import jobs as jobs

pytestmark = pytest.mark.slow
FOLLOW = """
import json, sys
from together import Together
asked = json.load(sys.stdin)
client = Together(api_key=asked["key"], base_url=asked["address"], max_retries=0)
tuning, told = client.fine_tuning, []
for job in asked["jobs"]:
    ids = {n: client.files.upload(p, purpose="fine-tune").id for n, p in job["files"].items()}
    for file_id in ids.values():
        while client.files.retrieve(file_id).processing_status != "COMPLETED":
            pass
    started = tuning.create(**ids, **job["keywords"], verbose=False)
    while tuning.retrieve(started.id).status != "completed":
        pass
    events = [event.type for event in tuning.list_events(started.id).data]
    rows = [len(tuning.list_metrics(started.id, global_step_from=n).metrics) for n in (0, 3)]
    saved = [one.step for one in tuning.list_checkpoints(started.id).data]
    told.append([started.id, events, rows, saved])
cancelled = tuning.create(training_file="file-0000", model="m", verbose=False)
status = str(tuning.cancel(cancelled.id).status)
ids = [job.id for job in tuning.list().data]
tuning.delete(cancelled.id)
assert cancelled.id not in [job.id for job in tuning.list().data]
print()
print(json.dumps([told, status, ids]))
"""
OURS = ("training_file", "validation_file")
HEADERS = ("Authorization", "Accept")


NEWER = ("early_stopping_enabled",)
"""What 2.14.0 has not yet."""


def asked(spec, without=()):
    keywords = {n: v for n, v in sdk_keywords(spec).items() if n not in without}
    files = {name: getattr(spec, name) for name in OURS if getattr(spec, name)}
    return {"files": files, "keywords": keywords}


def shape(requests):
    """Method, path, and the headers that matter, of the requests about jobs; each once."""
    about = [r for r in requests if r.path.startswith("/v1/fine-tunes")]
    return {
        (r.method, re.sub(r"ft-\d+", "JOB", r.path), *(r.headers.get(name) for name in HEADERS))
        for r in about
    }


def test_jobs_are_asked_for_and_followed_as_by_the_official_sdk(jobs, tmp_path, monkeypatch):
    specs = []
    with hosted(monkeypatch) as ours:
        for given in jobs:
            job = prepare(given, "together", pay_up_to=1.0).job
            run = Run.create(job, tmp_path / "runs")
            assert carried_out(run) == 0
            assert run.status == "completed", run.state
            body = ours.bodies[-1]
            assert mark_of(body["suffix"]) == mark_of(run.hosted.tag)
            kept = {"suffix": run.hosted.tag, "max_seq_length": body.get("max_seq_length")}
            specs.append(job.spec.changed(**kept))
        with Client(base_url=ours.address) as client:
            job_id = client.json("POST", "/v1/fine-tunes", "x", json=ours.bodies[0])["id"]
            assert cancel(client, job_id) == "cancel_requested"
            assert [job.id for job in hosted_jobs(client)] == list(ours.jobs)[::-1]
            delete_job(client, job_id)
            assert job_id not in ours.jobs
    own = ours.bodies[: len(specs)]
    theirs = require_same(SDK, "", specs, own)
    older = [{name: body[name] for name in body if name not in NEWER} for body in own]
    require_same(OLDER, "/v1", specs, older, NEWER)
    assert shape(ours.requests) == shape(theirs.requests)
    steps = {r.query.get("global_step_from") for r in ours.asked("GET", "/metrics")}
    assert steps <= {None, "0", "3"} | {str(n) for n in range(100)}


def require_same(sdk, path, specs, own, without=()):
    """Let an SDK ask for the same jobs, follow them, cancel one and delete it; the service."""
    with Service(key=KEY) as theirs:
        jobs = [asked(spec, without) for spec in specs]
        question = {"key": KEY, "address": theirs.address + path, "jobs": jobs}
        told, status, ids = ask(sdk, FOLLOW, question)
    assert theirs.bodies[: len(specs)] == own
    assert [json.loads(r.body) for r in theirs.asked("POST", "/fine-tunes")] == theirs.bodies
    # What the SDK makes of the service that these tests run against.
    assert [job[0] for job in told] == [f"ft-{n:04}" for n in range(len(specs))]
    assert all(rows[0] >= 4 and 2 <= rows[1] < rows[0] for _, _, rows, _ in told)
    assert all(events[-1] == "JOB_COMPLETE" for _, events, _, _ in told)
    assert all(saved == [2, 4, 4] for *_, saved in told)
    assert status.lower().endswith("cancel_requested")
    assert ids == [f"ft-{n:04}" for n in range(len(specs) + 1)][::-1]
    return theirs
