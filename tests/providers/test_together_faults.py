"""Whatever goes wrong on the way to a job and beside it: one job at most, and the truth is shown.

Each row of what may go wrong runs with twenty seeds, against a service on a real socket.
"""

from __future__ import annotations

import contextlib
import math
import random
import re
import time
from email.utils import formatdate
from itertools import pairwise

import httpx
import pytest

from ftlab.asking import ask
from ftlab.providers import prepare
from ftlab.providers.together import client as client_module
from ftlab.providers.together import following, starting
from ftlab.providers.together.client import Client
from ftlab.providers.together.following import Cadence
from ftlab.providers.together.ledger import Ledger
from ftlab.runs import Run
from tests.fakes import together_jobs
from tests.fakes.together import BUSY, DROP, HANG, Fault
from tests.fakes.together_jobs import add_job
from tests.providers.hosted import carried_out, events, hosted, spec, texts

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
SEEDS = range(20)
CREATE = "/fine-tunes"
JOB = re.compile(r"/v1/fine-tunes/ft-\d+(/\w+)?")
PAGE = Fault(status=200, body=b"<html>down</html>", headers=(("Content-Type", "text/html"),))
BROKEN = (PAGE, Fault(status=200, body=b""), Fault(status=200, body=b'{"data": [1,'))
PASSING = (DROP, BUSY, *(Fault(status=status) for status in (408, 429, 500, 502, 504)))
LOSSES = {1: 2.0, 2: 1.0, 3: 2 / 3, 4: 0.5}


def worlds(tmp_path):
    """For each seed what is drawn, a service, and a run that was submitted to it."""
    job = prepare(spec(tmp_path), "together", pay_up_to=1.0).job
    for seed in SEEDS:
        with pytest.MonkeyPatch.context() as patch, hosted(patch) as service:
            patch.setattr(client_module, "TIMEOUT", httpx.Timeout(0.3, connect=5.0))
            yield random.Random(seed), service, Run.create(job, tmp_path / str(seed)), patch


def breaks_down(service, draw, kinds, most=12, on=JOB, method="GET", share=0.5):
    """Let requests for such paths fail now and then, `most` times."""
    left = [most]

    def fault(verb, path):
        if verb == method and on.fullmatch(path) and left[0] and draw.random() < share:
            left[0] -= 1
            return draw.choice(kinds)
        return None

    service.next_fault = fault


def is_whole(run):
    """Whether its end and all that was measured is there, once."""
    told = [(e.step, name) for e in events(run) if e.kind == "metrics" for name in e.values]
    found = run.metrics()["train_loss"].to_dict()
    return run.status == "completed" and found == LOSSES and len(told) == len(set(told))


def test_nobody_listens_before_it_is_sent(tmp_path):
    for draw, service, run, patch in worlds(tmp_path):
        waits, back_after, send = [], draw.randint(1, 5), starting.send

        def sent(*given, send=send, service=service, waits=waits):
            service.__exit__()
            waits.clear()
            return send(*given)

        def pause(_, seconds, service=service, waits=waits, back_after=back_after):
            waits.append(seconds)
            if service.is_away and len(waits) == back_after:
                service.__enter__()

        patch.setattr(starting, "send", sent)
        patch.setattr(Client, "pause", pause)
        assert carried_out(run) == 0
        assert is_whole(run)
        assert len(service.asked("POST", CREATE)) == 1


def test_the_answer_to_the_request_is_lost(tmp_path):
    for draw, service, run, _ in worlds(tmp_path):
        fault = draw.choice((*BROKEN, DROP, HANG, *(Fault(status=s) for s in (408, 409, 500, 504))))
        is_started, service.lag = draw.random() < 0.5, draw.randint(0, 5)
        service.misbehave("POST", CREATE, fault._replace(after=is_started))
        assert carried_out(run) == 0
        assert is_whole(run) if is_started else run.status == "paused"
        assert len(service.asked("POST", CREATE)) == 1
        assert len(service.bodies) == is_started


def test_the_service_is_busy_when_it_is_asked(tmp_path):
    for draw, service, run, _ in worlds(tmp_path):
        waits = ("1", "120", formatdate(time.time() + 90, usegmt=True), "soon", "-1", "1e400", "")
        busy = [
            Fault(status=429, headers=(("Retry-After", draw.choice(waits)),))
            for _ in range(draw.randint(1, 5))
        ]
        service.misbehave("POST", CREATE, *busy)
        assert carried_out(run) == 0
        assert is_whole(run)
        assert len(service.bodies) == 1


def test_looks_at_the_job_are_lost(tmp_path):
    for draw, service, run, _ in worlds(tmp_path):
        breaks_down(service, draw, PASSING)
        assert carried_out(run) == 0
        assert is_whole(run)
        assert len(service.bodies) == 1


def test_looks_at_the_job_bring_pages_or_halves(tmp_path):
    for draw, service, run, _ in worlds(tmp_path):
        breaks_down(service, draw, BROKEN)
        assert carried_out(run) == 0
        assert is_whole(run)


def test_a_service_is_slow(tmp_path):
    for draw, service, run, _ in worlds(tmp_path):
        breaks_down(service, draw, (HANG,), most=2, share=0.3)
        assert carried_out(run) == 0
        assert is_whole(run)


def test_cancelling_is_lost_or_comes_too_late(tmp_path):
    ends = set()
    for draw, service, run, patch in worlds(tmp_path):
        looks, at = [0], draw.randint(0, 6)

        def look(*_, looks=looks, at=at, run=run, **__):
            looks[0] += 1
            if looks[0] == at:
                ask(run.request_file, "cancel")

        patch.setattr(following.Cadence, "wait", look)
        on = re.compile(r".*/cancel")
        breaks_down(service, draw, (*PASSING, *BROKEN), most=4, on=on, method="POST")
        assert carried_out(run) == 0
        is_cancelled = service.jobs["ft-0000"]["cancelled_at"] is not None
        assert run.status == ("cancelled" if is_cancelled else "completed")
        ends.add(run.status)
        assert len(service.bodies) == 1
    assert ends == {"cancelled", "completed"}


def test_a_job_fails_there(tmp_path):
    for draw, service, run, _ in worlds(tmp_path):
        service.ends_as = draw.choice(("error", "user_error"))
        breaks_down(service, draw, PASSING, most=4)
        assert carried_out(run) == 0
        assert run.status == "failed"
        assert run.state.detail.startswith(service.ends_as)
        assert run.metrics()["train_loss"].to_dict() == LOSSES
        assert carried_out(run) == 0
        assert len(service.bodies) == 1


def test_what_happened_comes_twice_and_in_any_order(tmp_path):
    expected = None
    for draw, service, run, _ in worlds(tmp_path):

        def twist(what, reply, draw=draw):
            for name in ("data", "metrics"):
                if isinstance(rows := reply.get(name), list):
                    rows = [*rows, *draw.choices(rows, k=len(rows))] if rows else rows
                    draw.shuffle(rows)
                    reply = {**reply, name: rows}
            return reply

        service.twist = twist
        assert carried_out(run) == 0
        assert is_whole(run)
        said = texts(run)
        expected = expected or said
        assert sorted(said) == sorted(expected)
        assert said.count("Training started") == 1


def test_the_list_of_jobs_names_some_twice(tmp_path):
    for draw, service, run, patch in worlds(tmp_path):
        service.misbehave("POST", CREATE, DROP._replace(after=True))
        add_job(service, {"model": "m", "suffix": "ftl-other"})
        listed = together_jobs._shown

        def shifted(service, listed=listed, draw=draw):
            jobs = listed(service) * 2
            draw.shuffle(jobs)
            return jobs

        patch.setattr(together_jobs, "_shown", shifted)
        assert carried_out(run) == 0
        assert (run.job_id, len(service.jobs)) == ("ft-0001", 2)
        assert "carry the tag" not in " ".join(texts(run))


ODD = (None, "", "brand_new", 3, -1, 1e400, math.nan, True, [], {}, [None], {"a": {"b": 1}}, "NaN",
       "9" * 400, "2026-13-45", "\x00\x1b[31m", "‮evil", 10**30)  # fmt: skip


def mutated(draw, value):
    """The same with something odd somewhere."""
    if isinstance(value, dict) and value:
        name = draw.choice(list(value))
        changes = ({name: mutated(draw, value[name])}, {"odd": draw.choice(ODD)})
        kept = {n: v for n, v in value.items() if n != name or draw.random() < 0.8}
        return {**kept, **draw.choice(changes)}
    if isinstance(value, list) and value and draw.random() < 0.8:
        place = draw.randrange(len(value))
        return [mutated(draw, one) if n == place else one for n, one in enumerate(value)]
    return draw.choice(ODD)


def test_what_is_said_is_odd(tmp_path):
    for draw, service, run, _ in worlds(tmp_path):
        left = [25]
        service.running = 20.0

        def twist(what, reply, draw=draw, left=left):
            left[0] -= 1
            return mutated(draw, reply) if left[0] > 0 else reply

        service.twist = twist
        assert carried_out(run) == 0, run.state
        assert run.status == "completed"
        assert len(service.bodies) == 1


def test_a_word_that_nobody_knows_is_one_of_a_job_that_goes_on(tmp_path):
    for draw, service, run, _ in worlds(tmp_path):
        word = draw.choice(("PAUSED_BY_ADMIN", "compressing", "Migrating", "??"))
        looks = [3]

        def twist(what, reply, word=word, looks=looks):
            if "status" in reply and looks[0]:
                looks[0] -= 1
                return {**reply, "status": word}
            return reply

        service.twist = twist
        assert carried_out(run) == 0
        shown = [(e.status, e.detail) for e in events(run) if e.kind == "status"]
        assert ("running", word.lower()) in shown
        assert is_whole(run)


def test_an_account_may_not_look_any_more(tmp_path):
    for draw, service, run, _ in worlds(tmp_path):
        status = draw.choice((401, 402, 403))
        breaks_down(service, draw, (Fault(status=status),), most=1)
        assert carried_out(run) == 1
        assert (run.status, run.why_not_resume) == ("paused", "")
        assert str(status) in run.state.detail
        n_asked = len(service.requests)
        assert carried_out(run) == 0
        assert len(service.requests) > n_asked
        assert is_whole(run)
        assert len(service.bodies) == 1


def test_the_services_clock_is_wrong(tmp_path):
    for draw, service, run, _ in worlds(tmp_path):
        years = draw.choice(("1970", "2099", "0001", "9999", "1899"))

        def twist(what, reply, years=years):
            for event in reply.get("data", ()):
                event["created_at"] = event["created_at"].replace("2026", years)
            for row in reply.get("metrics") or ():
                row["timestamp"] = row["timestamp"] * 7
            return reply

        service.twist = twist
        assert carried_out(run) == 0
        assert is_whole(run)
        assert texts(run).count("Training started") == 1


def test_a_follower_is_killed_again_and_again(tmp_path):
    for draw, service, run, patch in worlds(tmp_path):
        service.running = 8.0

        def die(*_, draw=draw, **__):
            if draw.random() < 0.4:
                raise KeyboardInterrupt

        patch.setattr(following.Cadence, "wait", die)
        for _ in range(40):
            with contextlib.suppress(KeyboardInterrupt):
                carried_out(run)
                break
            assert run.status in ("queued", "running")
        assert is_whole(run)
        with Ledger(run.path.parent) as ledger:
            assert ledger.open() == []
        assert len(service.bodies) == 1


def test_a_machine_that_slept_makes_up_for_no_look():
    """Also by a clock that goes on while the machine sleeps: one look follows."""
    for seed in SEEDS:
        draw, now, looks = random.Random(seed), [0.0], []

        def sleep(seconds, now=now, draw=draw):
            now[0] += seconds + (draw.uniform(0, 36_000) if draw.random() < 0.1 else 0)

        cadence = Cadence(clock=lambda now=now: now[0], sleep=sleep)
        for _ in range(200):
            cadence.wait(lambda: None, changed=False)
            looks.append(now[0])
        gaps = [after - before for before, after in pairwise(looks)]
        assert min(gaps) >= 1.0
        assert all(gap >= 30.0 for gap in gaps[60:])
