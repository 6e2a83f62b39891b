"""What the processes that train are given."""

from __future__ import annotations

import pytest

from ftlab import processes


@pytest.fixture
def loadavg(tmp_path, monkeypatch):
    """The system's own words of who is running (proc_loadavg(5)), as the test writes them."""
    for name in processes.WAIT_POLICY:
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / "loadavg"
    monkeypatch.setattr(processes, "LOADAVG", file)
    return file


@pytest.mark.parametrize(("n_running", "looks"), [(1, "16000"), (2, None), (14, None)])
def test_threads_wait_awake_where_nobody_else_wants_the_cores(loadavg, n_running, looks):
    loadavg.write_text(f"0.00 0.01 0.05 {n_running}/345 678\n")
    assert processes.patience().get("GOMP_SPINCOUNT") == looks


@pytest.mark.parametrize("text", ["", "1 2", "a b c d/e f"])
def test_where_the_system_does_not_tell_they_soon_sleep(loadavg, text):
    loadavg.write_text(text)
    assert processes.patience() == {}
    loadavg.unlink()
    assert processes.patience() == {}


def test_what_a_person_has_said_counts(loadavg, monkeypatch):
    loadavg.write_text("0.00 0.01 0.05 1/345 678\n")
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert processes.patience() == {}
    assert processes.environment()["OMP_WAIT_POLICY"] == "ACTIVE"


@pytest.mark.parametrize(
    ("libc", "mib"), [("2.28", 32), ("2.34", 32), ("2.36", 128), ("2.41.9000", 128), ("", 32)]
)
def test_an_older_glibc_is_not_asked_for_a_threshold_that_it_refuses(libc, mib):
    (said,) = processes.malloc(libc).values()
    assert f"glibc.malloc.mmap_threshold={mib * 2**20}:" in said
