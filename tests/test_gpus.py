"""Which GPUs CUDA shows, told by the driver's library; a driver that says what it is told stands in
for it."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from ftlab import devices, gpus, tickets

GIB = 2**30


class NVMLError(Exception):
    pass


class Driver:
    """Two whole GPUs, an old one, one divided into two parts, and one without a memory."""

    NVMLError, NVML_DEVICE_MIG_ENABLE = NVMLError, 1
    WHOLE = ("GPU-aaa", "GPU-abb", "GPU-old", "GPU-divided", "GPU-unified")
    PARTS = ("MIG-one", "MIG-two")
    is_on = False

    def nvmlInit(self):
        self.is_on = True

    def nvmlShutdown(self):
        self.is_on = False

    def nvmlDeviceGetCount(self):
        return len(self.WHOLE)

    def nvmlDeviceGetHandleByIndex(self, index):
        return self.WHOLE[index]

    def nvmlDeviceGetHandleByUUID(self, name):
        return self._known(name, name in self.PARTS)

    def nvmlDeviceGetUUID(self, handle):
        return handle

    def nvmlDeviceGetMigMode(self, handle):
        return self._known((int(handle == "GPU-divided"),) * 2, handle in self.WHOLE)

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle, index):
        return self._known(self.PARTS[index], handle == "GPU-divided")

    def nvmlDeviceGetMemoryInfo(self, handle):
        total = 10 * GIB if handle in self.PARTS else 80 * GIB
        return self._known(SimpleNamespace(total=total, free=total // 2), handle != "GPU-unified")

    def nvmlDeviceGetCudaComputeCapability(self, handle):
        return self._known((7 if handle == "GPU-old" else 9, 0), handle in self.WHOLE)

    def nvmlDeviceGetName(self, handle):
        return f"the {handle}"

    def _known(self, answer, is_known):
        if not is_known:
            raise NVMLError
        return answer


@pytest.fixture
def driver(monkeypatch):
    found = Driver()
    monkeypatch.setitem(sys.modules, "pynvml", found)
    monkeypatch.delenv(gpus.VISIBLE, raising=False)
    return found


def titles(monkeypatch, shown):
    monkeypatch.setenv(gpus.VISIBLE, shown)
    return [gpu.title.removeprefix("the ") for gpu in gpus.visible()]


def test_all_are_there_unless_some_are_chosen(driver):
    found = gpus.visible()
    assert [gpu.title for gpu in found] == [
        *("the GPU-aaa", "the GPU-abb", "the GPU-old", "the MIG-one", "the GPU-unified")
    ]
    assert [gpu.has_bfloat16 for gpu in found] == [True, True, False, True, True]
    assert not driver.is_on


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ("1", ["GPU-abb"]),
        ("2, 0", ["GPU-old", "GPU-aaa"]),
        ("GPU-ab,0", ["GPU-abb", "GPU-aaa"]),
        ("MIG-two", ["MIG-two"]),
        ("3", ["MIG-one"]),
        ("0,7,1", ["GPU-aaa"]),  # CUDA shows none from the first that is not there on
        ("0,-1,1", ["GPU-aaa"]),
        ("GPU-a,1", []),  # two begin so
        ("MIG-none", []),
        ("", []),
    ],
)
def test_those_that_are_chosen_are_in_that_order(driver, monkeypatch, shown, expected):
    assert titles(monkeypatch, shown) == expected


def test_they_are_devices_by_the_names_that_torch_has(driver, monkeypatch):
    monkeypatch.setenv(gpus.VISIBLE, "GPU-unified,3,GPU-old")
    *found, cpu = [device for device in devices.detect() if device.name != "mps"]
    assert [(one.name, one.title, one.memory_bytes, one.free_bytes) for one in found] == [
        ("cuda:0", "the GPU-unified", cpu.memory_bytes, cpu.free_bytes),
        ("cuda:1", "the MIG-one", 10 * GIB, 5 * GIB),
        ("cuda:2", "the GPU-old", 80 * GIB, 40 * GIB),
    ]
    assert not found[2].has_bfloat16


def test_a_gpu_has_one_lock_whatever_it_is_called(monkeypatch, tmp_path):
    monkeypatch.setenv("FTLAB_LEASES", str(tmp_path))
    monkeypatch.setenv(gpus.VISIBLE, "3,1,MIG-one")
    with devices.lease("cuda:0", "a run"):
        assert (tmp_path / "cuda:3.lease").exists()
        assert devices.holder_of("cuda:0") == "a run"
        monkeypatch.setenv(gpus.VISIBLE, "0,3")
        assert devices.holder_of("cuda:1") == "a run"
        assert not devices.holder_of("cuda:0")
        monkeypatch.delenv(gpus.VISIBLE)
        assert devices.holder_of("cuda:3") == "a run"
        with tickets.ticket(tmp_path, "cuda:3", "another"):
            assert devices.is_wanted("cuda:3")
    monkeypatch.setenv(gpus.VISIBLE, "3,1,MIG-one")
    assert gpus.place_of("cuda:2") == "cuda:MIG-one"
    assert [gpus.place_of(name) for name in ("cpu", "mps", "cuda:7")] == ["cpu", "mps", "cuda:7"]
