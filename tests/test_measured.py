"""What probes measured is found again, and nothing breaks where it can't be kept."""

from __future__ import annotations

import json

import pytest

from ftlab import measured
from ftlab.devices import Device
from ftlab.measured import KEPT, Measurement, find, remember, settings, slowness
from ftlab.memory import GIB

CPU = Device("cpu", "CPU", 16 * GIB, 2)
FOUND = Measurement("2026-11-21", 5, 10**9, 4.0, 0.5, 1000.0, expected=0.25)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FTLAB_CACHE", str(tmp_path))


def wanted(hidden: int = 64, rank: int = 8, device: Device = CPU) -> dict:
    shape = {"hidden": hidden, "n_params": 1000 * hidden**2}
    return settings(device, shape, {"rank": rank}, {"per_step": 4})


def test_a_measurement_is_found_by_all_that_it_depends_on():
    remember(wanted(), FOUND)
    assert find(wanted()) == FOUND
    assert find(wanted(hidden=128)) is None
    assert find(wanted(rank=4)) is None
    assert find(wanted(device=Device("cuda:0", "a GPU", 24 * GIB))) is None


def test_a_newer_one_replaces_an_older():
    newer = Measurement("2026-11-22", 5, 2 * 10**9, 4.0, 0.4, 1000.0)
    remember(wanted(), FOUND)
    remember(wanted(), newer)
    assert find(wanted()) == newer


def test_how_slow_a_machine_is_follows_from_the_nearest_measurement():
    assert slowness(wanted()) is None
    remember(wanted(hidden=1024), Measurement("2026-11-20", 5, 1, 1.0, 7.0, 10.0, expected=0.1))
    assert slowness(wanted()) is None  # 256 times as large: that says nothing
    remember(wanted(hidden=128), Measurement("2026-11-20", 5, 1, 1.0, 1.0, 10.0, expected=0.1))
    assert slowness(wanted()) == (10.0, False)
    remember(wanted(rank=4), FOUND)
    assert slowness(wanted()) == (2.0, True)


def test_only_the_newest_are_kept():
    for rank in range(KEPT + 3):
        remember(wanted(rank=rank), FOUND)
    assert find(wanted(rank=2)) is None
    assert find(wanted(rank=KEPT + 2)) == FOUND


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 0, "entries": []}', '{"version": 1}'])
def test_a_damaged_file_is_nothing_known(text):
    remember(wanted(), FOUND)
    measured._file().write_text(text)
    assert find(wanted()) is None
    remember(wanted(), FOUND)
    assert find(wanted()) == FOUND


def test_a_folder_that_can_not_be_written_costs_only_the_memory(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FTLAB_CACHE", str(tmp_path / "file"))
    remember(wanted(), FOUND)
    assert find(wanted()) is None


def test_the_file_is_plain_json():
    remember(wanted(), FOUND)
    (entry,) = json.loads(measured._file().read_text())["entries"]
    assert entry["measured"]["peak_bytes"] == 10**9
    assert entry["settings"]["machine"]["device"] == "CPU"
