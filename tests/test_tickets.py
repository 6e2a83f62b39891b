"""The queue of a device: every turn comes, one at a time, in the order that a person sees."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest

from ftlab import devices, queues, tickets
from ftlab.errors import RunError

WAITER = """
import sys, os
from ftlab.devices import lease
with lease("cpu", sys.argv[1]) as granted:
    taken = os.open(sys.argv[2] + ".held", os.O_CREAT | os.O_EXCL)
    with open(sys.argv[2], "a") as order:
        print(sys.argv[1], file=order)
    os.close(taken)
    os.unlink(sys.argv[2] + ".held")
"""
PATIENCE = 60  # seconds; only a turn that is lost takes so long


@pytest.fixture(autouse=True)
def own_leases(tmp_path, monkeypatch):
    monkeypatch.setenv("FTLAB_LEASES", str(tmp_path / "leases"))


@pytest.fixture
def waiters(tmp_path):
    """A function that starts processes which wait in this order, and each notes its turn."""
    processes = []

    def start(*names):
        for name in names:
            before = len(waiting())
            arguments = [sys.executable, "-c", WAITER, name, str(tmp_path / "order")]
            processes.append(subprocess.Popen(arguments))
            until(lambda before=before: len(waiting()) > before)
        return processes

    yield start
    for process in processes:
        process.kill()
        process.wait()


def until(holds):
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def waiting():
    return [one.holder for one in tickets.waiting(devices.lease_folder(), "cpu")]


def served(tmp_path, processes):
    """The order of turns, once all had theirs and none met another holder."""
    assert [process.wait(PATIENCE) for process in processes] == [0] * len(processes)
    return (tmp_path / "order").read_text().split()


@pytest.mark.slow
def test_turns_come_as_a_person_ordered_them(tmp_path, waiters):
    with devices.lease("cpu", "holder"):
        processes = waiters("a", "b", "c", "d")
        assert waiting() == ["a", "b", "c", "d"]
        assert queues.move("d", -1)
        assert queues.move("a", +1)
        assert waiting() == ["b", "a", "d", "c"]
        assert queues.move("c", -9)
        assert not queues.move("c", -1)
        waiters("late")
        assert waiting() == ["c", "b", "a", "d", "late"]
    assert served(tmp_path, processes) == ["c", "b", "a", "d", "late"]
    assert not devices.is_wanted("cpu")


@pytest.mark.slow
def test_no_turn_is_lost_while_the_order_changes_all_the_time(tmp_path, waiters):
    over = threading.Event()

    def shuffle():
        while not over.is_set():
            for name in waiting()[1:]:
                try:
                    queues.move(name, -1)
                except RunError:  # it has its turn by now
                    continue

    with devices.lease("cpu", "holder"):
        processes = waiters(*"abcdefgh")
        movers = [threading.Thread(target=shuffle) for _ in range(2)]
        for mover in movers:
            mover.start()
    try:
        order = served(tmp_path, processes)
    finally:
        over.set()
        for mover in movers:
            mover.join()
    assert sorted(order) == list("abcdefgh")


@pytest.mark.slow
def test_who_dies_waiting_drops_out(tmp_path, waiters):
    with devices.lease("cpu", "holder"):
        processes = waiters("a", "b", "c")
        queues.move("b", -1)
        processes[1].kill()
        processes[1].wait()
        assert waiting() == ["a", "c"]
        with pytest.raises(RunError, match="b waits for no device"):
            queues.move("b", 1)
    assert served(tmp_path, [processes[0], processes[2]]) == ["a", "c"]


def test_a_queue_says_who_holds_the_device_and_since_when():
    assert queues.queues() == []
    before = time.time()
    with devices.lease("cpu", "holder"):
        (queue,) = queues.queues()
        assert (queue.device, queue.holder, queue.waiting) == ("cpu", "holder", [])
        assert before - 1 < queue.since < time.time() + 1
        with tickets.ticket(devices.lease_folder(), "cpu", "next") as own:
            (queue,) = queues.queues()
            assert [(one.id, one.holder) for one in queue.waiting] == [(own, "next")]
            assert before - 1 < queue.waiting[0].since < time.time() + 1
            assert "1. next, waiting for" in str(queue)
            assert not tickets.is_first(devices.lease_folder(), "cpu", own + "9")
    assert queues.queues() == []


def test_one_device_has_nothing_to_do_with_another():
    folder = devices.lease_folder()
    with tickets.ticket(folder, "cuda:1", "one"), tickets.ticket(folder, "cuda:10", "ten"):
        assert [one.holder for one in tickets.waiting(folder, "cuda:1")] == ["one"]
        with devices.lease("cpu") as granted:
            assert granted


@pytest.mark.parametrize("said", [b"", b"\xff\xfe", b"nobody\ncpu-x\n\n" * 99])
def test_an_order_that_names_nobody_leaves_age_to_decide(said):
    folder = devices.lease_folder()
    (folder / "cpu.order").write_bytes(said)
    with tickets.ticket(folder, "cpu", "a") as a, tickets.ticket(folder, "cpu", "b") as b:
        assert waiting() == ["a", "b"]
        assert tickets.is_first(folder, "cpu", a)
        assert not tickets.is_first(folder, "cpu", b)


def test_looking_at_the_queue_keeps_the_device_from_nobody():
    """A look must not hold what it looks at: whoever takes the device just then gets it."""
    over = threading.Event()

    def look():
        while not over.is_set():
            queues.queues()

    looker = threading.Thread(target=look)
    looker.start()
    try:
        for _ in range(5):
            with devices.lease("cpu", "me") as granted:
                assert granted
                assert devices.holder_of("cpu") == "me"
    finally:
        over.set()
        looker.join()


def test_its_files_are_for_their_owner_alone():
    folder = devices.lease_folder()
    with tickets.ticket(folder, "cpu", "a"), tickets.ticket(folder, "cpu", "b") as b:
        tickets.move(folder, "cpu", b, -1)
        assert waiting() == ["b", "a"]
        assert folder.stat().st_mode & 0o777 == 0o700
        assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}
