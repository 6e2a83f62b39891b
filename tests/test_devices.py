"""Leases: one holder at a time, in the order of tickets, and none outlives its process."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from ftlab import devices

HOLDER = """
import sys
from ftlab.devices import lease
with lease("cpu", sys.argv[1]) as granted:
    print(granted, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def own_leases(tmp_path, monkeypatch):
    monkeypatch.setenv("FTLAB_LEASES", str(tmp_path / "leases"))


@pytest.fixture
def holder():
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, "somebody"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == "True\n"
    yield process
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def test_a_cpu_is_always_there():
    (cpu,) = [device for device in devices.detect() if device.name == "cpu"]
    assert cpu.n_cores >= 1
    assert cpu.memory_bytes > 2**28


GIB = 2**30
LIMITED = {
    "version 2": {
        "memory.max": str(GIB),
        "memory.current": str(GIB // 2),
        "memory.stat": f"anon 7\ninactive_file {GIB // 4}\nactive_file 9\n",
    },
    "version 1": {
        "memory/memory.limit_in_bytes": str(GIB),
        "memory/memory.usage_in_bytes": str(GIB // 2),
        "memory/memory.stat": f"inactive_file 5\ntotal_inactive_file {GIB // 4}\n",
    },
}


def test_a_limit_holds_also_where_nothing_says_what_is_used(monkeypatch, tmp_path):
    (tmp_path / "memory.max").write_text(str(GIB))
    monkeypatch.setattr(devices, "CONTROL_GROUPS", tmp_path)
    room = SimpleNamespace(total=64 * GIB, available=32 * GIB)
    monkeypatch.setattr("psutil.virtual_memory", lambda: room)
    (cpu,) = [device for device in devices.detect() if device.name == "cpu"]
    assert (cpu.memory_bytes, cpu.free_bytes) == (GIB, GIB)


@pytest.mark.parametrize("version", LIMITED)
def test_what_a_container_uses_already_is_not_free(monkeypatch, tmp_path, version):
    for name, text in LIMITED[version].items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(devices, "CONTROL_GROUPS", tmp_path)
    room = SimpleNamespace(total=64 * GIB, available=32 * GIB)
    monkeypatch.setattr("psutil.virtual_memory", lambda: room)
    (cpu,) = [device for device in devices.detect() if device.name == "cpu"]
    assert (cpu.memory_bytes, cpu.free_bytes) == (GIB, GIB * 3 // 4)


@pytest.mark.parametrize("files", [{}, {"memory.max": "max", "memory.current": "5"}])
def test_without_a_limit_the_whole_machine_is_there(monkeypatch, tmp_path, files):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(devices, "CONTROL_GROUPS", tmp_path)
    room = SimpleNamespace(total=64 * GIB, available=32 * GIB)
    monkeypatch.setattr("psutil.virtual_memory", lambda: room)
    (cpu,) = [device for device in devices.detect() if device.name == "cpu"]
    assert (cpu.memory_bytes, cpu.free_bytes) == (64 * GIB, 32 * GIB)


def machine(monkeypatch, *names):
    monkeypatch.setattr(devices, "detect", lambda: [devices.Device(n, n, 1) for n in names])


def test_several_devices_lie_side_by_side():
    assert devices.side_by_side("cuda:1", 3) == ["cuda:1", "cuda:2", "cuda:3"]
    assert devices.side_by_side("cpu", 2) == ["cpu", "cpu"]


@pytest.mark.parametrize(
    ("chosen", "n", "has"),
    [
        ("auto", 3, "this machine has 2 from cuda:0 on"),
        ("cuda:1", 2, "this machine has 1 from cuda:1 on"),
        ("cuda:7", 2, "device is cuda:7; this machine has cuda:0, cuda:1, cpu. Set device to"),
        ("mps", 2, "device is mps; this machine has cuda:0, cuda:1, cpu. Set device to"),
    ],
)
def test_gpus_that_are_not_there_are_named(monkeypatch, chosen, n, has):
    machine(monkeypatch, "cuda:0", "cuda:1", "cpu")
    assert has in devices.missing_gpus(chosen, n)


def test_gpus_that_are_there_are_not_missing(monkeypatch):
    machine(monkeypatch, "cuda:0", "cuda:1", "cpu")
    assert devices.missing_gpus("auto", 2) == devices.missing_gpus("cuda:0", 2) == ""
    machine(monkeypatch, "cpu")
    assert devices.missing_gpus("cpu", 2) == devices.missing_gpus("auto", 1) == ""
    assert "no NVIDIA GPU" in devices.missing_gpus("auto", 2)


def test_the_gpu_of_an_apple_chip_is_the_last_one(monkeypatch):
    monkeypatch.setattr(devices.platform, "system", lambda: "Darwin")
    monkeypatch.setattr(devices.platform, "machine", lambda: "arm64")
    *_, cpu, apple = devices.detect()
    assert (cpu.name, apple.name) == ("cpu", "mps")
    assert apple.memory_bytes == cpu.memory_bytes


def test_several_are_held_together_or_not_at_all(holder):
    told = []
    looks = iter([False, True])
    wanted = ["cuda:1", "cpu", "cuda:0", "cpu"]

    def held():
        return [d for d in ("cuda:0", "cuda:1") if devices.holder_of(d)]

    with devices.leases(wanted, "me", lambda *it: told.append(it), lambda: next(looks)) as granted:
        assert not granted
    assert told == [("cpu", "somebody")]
    with devices.leases(["cuda:1", "cuda:0"], "me") as granted:
        assert granted
        assert held() == ["cuda:0", "cuda:1"]
    assert held() == []


def test_the_holder_is_named(holder):
    assert devices.holder_of("cpu") == "somebody"
    assert devices.holder_of("cuda:0") == ""


def test_a_lease_ends_with_its_process(holder):
    told = []
    threading.Timer(0.4, holder.kill).start()
    began = time.monotonic()
    with devices.lease("cpu", "me", told.append) as granted:
        assert granted
        assert time.monotonic() - began > 0.3
    assert told == ["somebody"]


def test_waiting_can_be_given_up(holder):
    with devices.lease("cpu", given_up=lambda: True) as granted:
        assert not granted
    assert not devices.is_wanted("cpu")


def test_who_waits_is_seen_and_served_in_order(holder):
    order, threads = [], []

    def wait(name):
        with devices.lease("cpu", name):
            order.append(name)

    for name in ("first", "second", "third"):
        thread = threading.Thread(target=wait, args=(name,))
        thread.start()
        threads.append(thread)
        while sum(1 for _ in devices.lease_folder().glob("cpu-*.ticket")) < len(threads):
            time.sleep(0.01)
    assert devices.is_wanted("cpu")
    holder.kill()
    for thread in threads:
        thread.join(20)
    assert order == ["first", "second", "third"]
    assert not devices.is_wanted("cpu")


def test_the_ticket_of_a_dead_process_holds_up_nobody():
    (devices.lease_folder() / "cpu-00000000000000000001-1.ticket").touch()
    with devices.lease("cpu", "me") as granted:
        assert granted
