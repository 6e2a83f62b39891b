"""How a process ended that said nothing: by what its lock file and the system know."""

from __future__ import annotations

import os

import pytest

from ftlab import endings
from ftlab.endings import SIZE, how_it_ended, note_birth, note_exit, note_words


@pytest.fixture
def lock(tmp_path, monkeypatch):
    """A lock file of process 7, on a machine whose start and kills are files here."""
    file = tmp_path / "lock"
    file.touch()
    monkeypatch.setattr(endings, "BOOT", tmp_path / "boot")
    monkeypatch.setattr(endings, "COUNTERS", (tmp_path / "no such file", tmp_path / "events"))
    (tmp_path / "boot").write_text("a")
    (tmp_path / "events").write_text("oom 5\noom_kill 2\noom_group_kill 0\n")
    note_birth(file, 7)
    return file


def test_nothing_is_known_at_first(lock):
    assert "without saying why" in how_it_ended(lock).text
    assert "without saying why" in how_it_ended(lock.with_name("none")).text


@pytest.mark.parametrize(
    ("status", "words"),
    [(-9, "ended by SIGKILL"), (-15, "ended by SIGTERM"), (3, "exit code 3"), (-99, "signal 99")],
)
def test_the_exit_status_says_it(lock, status, words):
    note_exit(lock, 7, status)
    assert words in how_it_ended(lock).text
    assert how_it_ended(lock).is_clear == (status < 0)  # otherwise its log may say why


@pytest.mark.parametrize("status", [None, -9])
def test_the_killer_of_processes_for_want_of_memory_is_named(lock, status):
    if status is not None:
        note_exit(lock, 7, status)
    lock.with_name("events").write_text("oom_kill 3\n")
    assert "out-of-memory killer" in how_it_ended(lock).text


def test_a_machine_that_was_started_anew_is_said(lock):
    lock.with_name("boot").write_text("b")
    assert "started anew" in how_it_ended(lock).text


def test_a_new_process_forgets_how_the_last_one_ended(lock):
    note_exit(lock, 7, -9)
    note_birth(lock, 8)
    assert "without saying why" in how_it_ended(lock).text
    note_words(lock, "no room")
    assert how_it_ended(lock).text == "no room"


def test_the_file_stays_as_large_as_it_was(lock):
    for text in ("x" * 10_000, "\N{PARROT}" * 10_000, ""):
        note_words(lock, text)
        assert os.stat(lock).st_size == SIZE


def test_a_torn_file_says_nothing_wrong(lock):
    lock.write_bytes(b'{"pid": 7, "exi' + b" " * SIZE)
    assert "without saying why" in how_it_ended(lock).text
