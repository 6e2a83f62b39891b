"""The ledger of what is paid for: on disk first, and one way only."""

from __future__ import annotations

import sqlite3
import stat
import threading

import pytest

from ftlab.errors import RunError
from ftlab.providers.together.ledger import COMES_FROM, Intent, Ledger, mark_of, tag_of

NEW = Intent("run-1", "mine-ftl-0123456789", "prepared", "https://api.together.ai", price=3.0)


@pytest.fixture
def ledger(tmp_path):
    with Ledger(tmp_path) as ledger:
        yield ledger


def test_an_intent_stays_as_it_was_written(ledger, tmp_path):
    ledger.prepare(NEW)
    ledger.move("run-1", "sent")
    ledger.move("run-1", "bound", job_id="ft-1")
    with Ledger(tmp_path) as again:
        found = again.of("run-1")
    assert found == ledger.of("run-1") == ledger.of_job("ft-1")
    assert (found.state, found.job_id, found.price, found.tag) == ("bound", "ft-1", 3.0, NEW.tag)
    assert found.created_at <= found.changed_at


def test_what_was_written_is_on_disk_for_good(ledger):
    modes = [ledger._base.execute(f"PRAGMA {name}").fetchone()[0] for name in (
        "journal_mode", "synchronous",
    )]  # fmt: skip
    assert modes == ["wal", 2]  # 2 is FULL


def test_others_can_not_read_it(ledger, tmp_path):
    ledger.prepare(NEW)
    files = list(tmp_path.iterdir())
    assert len(files) == 3  # with its log and its index
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


@pytest.mark.parametrize("to", COMES_FROM)
@pytest.mark.parametrize("state", COMES_FROM)
def test_a_state_is_left_in_the_ways_that_are_allowed(ledger, state, to):
    ledger.prepare(NEW)
    ledger._do("UPDATE intents SET state = ?", state)
    if state in COMES_FROM[to]:
        assert ledger.move("run-1", to).state == to
    else:
        with pytest.raises(RunError, match=f"is {state} in the ledger"):
            ledger.move("run-1", to)
        assert ledger.of("run-1").state == state


def test_of_many_who_want_to_send_one_does(ledger, tmp_path):
    ledger.prepare(NEW)
    start, sent = threading.Barrier(8), []

    def try_to_send():
        with Ledger(tmp_path) as own:
            start.wait()
            try:
                sent.append(own.move("run-1", "sent"))
            except RunError:
                sent.append(None)

    threads = [threading.Thread(target=try_to_send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found is None for found in sent].count(False) == 1


def test_a_run_prepares_again_until_it_is_sent_and_keeps_its_tag(ledger):
    ledger.prepare(NEW)
    again = ledger.prepare(NEW._replace(tag=tag_of("other", "run-1"), price=4.0))
    assert (again.tag, again.price) == (NEW.tag, 4.0)
    ledger.move("run-1", "sent")
    with pytest.raises(RunError, match="is sent in the ledger"):
        ledger.prepare(NEW)
    ledger.move("run-1", "prepared")
    assert ledger.prepare(NEW).state == "prepared"


def test_open_intents_are_those_that_may_have_started_a_job(ledger):
    for number, state in enumerate(("prepared", "sent", "bound", "rejected", "unknown")):
        ledger.prepare(NEW._replace(run=f"run-{number}", tag=tag_of(None, str(number))))
        ledger._do("UPDATE intents SET state = ? WHERE run = ?", state, f"run-{number}")
    assert [intent.run for intent in ledger.open()] == ["run-1", "run-4"]


def test_a_run_of_which_the_ledger_knows_nothing_may_have_started_a_job(ledger):
    assert ledger.restore("run-1", NEW.tag, NEW.address).state == "unknown"
    ledger.move("run-1", "bound", job_id="ft-1")
    assert ledger.restore("run-1", NEW.tag, NEW.address).state == "bound"


def test_a_job_that_was_started_elsewhere_has_no_tag(ledger):
    ledger.adopt("run-1", NEW.address, "ft-1")
    ledger.adopt("run-2", NEW.address, "ft-2")
    assert ledger.of_job("ft-2").run == "run-2"
    assert ledger.of("run-1").tag is None


def test_no_other_run_has_the_same_tag(ledger):
    ledger.prepare(NEW)
    with pytest.raises(RunError, match="can't be used"):
        ledger.prepare(NEW._replace(run="run-2"))


@pytest.mark.parametrize("suffix", [None, "", "mine", "x" * 40])
def test_a_tag_is_a_suffix_that_the_service_takes(suffix):
    tags = {tag_of(suffix, str(number)) for number in range(100)}
    assert len(tags) == 100
    assert all(len(tag) <= 40 for tag in tags)
    assert all(tag[15:] == (suffix or "")[:25] for tag in tags)
    assert all(mark_of(tag) == tag[:14] for tag in tags)  # first, so that no cut takes it away


def test_a_damaged_ledger_is_told(tmp_path):
    (tmp_path / "ledger.sqlite").write_bytes(b"no base of data" * 1000)
    with pytest.raises(RunError, match=r"can't be used.*move the file away") as caught:
        Ledger(tmp_path)
    assert isinstance(caught.value.__cause__, sqlite3.Error)


def test_a_run_that_is_not_in_it_is_told(ledger):
    with pytest.raises(RunError, match="has nothing about run run-9"):
        ledger.move("run-9", "sent")


def test_a_run_with_another_name_is_known_by_its_tag(ledger):
    ledger.prepare(NEW)
    ledger.move("run-1", "sent")
    assert ledger.restore("my-best-run", NEW.tag, NEW.address).state == "sent"
    assert ledger.of("run-1") is None
