"""The format that a model is computed in: measured once, and known to the estimate."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import torch

from ftlab import base, number_formats
from ftlab.base import best_dtype, needs_scaling
from ftlab.job import LocalOptions
from ftlab.local_plan import value_bytes
from ftlab.models import ModelInfo

WIDE = ModelInfo(name="m", hidden_size=4096, intermediate_size=1000)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FTLAB_CACHE", str(tmp_path))


def test_a_narrow_model_has_no_say_and_a_wide_one_is_measured_narrower():
    assert number_formats.shape_of(ModelInfo(name="m", hidden_size=256)) is None
    assert number_formats.shape_of(ModelInfo(name="m")) is None
    assert number_formats.shape_of(WIDE) == (2048, 1000)


@pytest.mark.parametrize(("single", "half", "faster"), [(3.0, 1.0, True), (1.2, 1.0, False)])
def test_it_is_measured_once_and_the_estimate_knows(tmp_path, monkeypatch, single, half, faster):
    asked = []

    def seconds(shape, dtype):
        asked.append(shape)
        return single if dtype == torch.float32 else half

    monkeypatch.setattr(base, "_seconds", seconds)
    monkeypatch.setattr(base, "folder_info", lambda _name, _folder: WIDE)
    assert value_bytes(LocalOptions(), "cpu", WIDE) == 4  # nobody knows yet
    found = []
    for _ in range(3):
        base._best_on_cpu.cache_clear()  # as another process
        found.append(best_dtype("cpu", tmp_path))
    assert found == 3 * [torch.bfloat16 if faster else torch.float32]
    assert asked == 2 * [(2048, 1000)]
    assert value_bytes(LocalOptions(), "cpu", WIDE) == (2 if faster else 4)
    assert value_bytes(LocalOptions(dtype="float32"), "cpu", WIDE) == 4


def test_a_cache_that_is_broken_is_measured_anew(tmp_path):
    number_formats.remember((1, 2), faster=True)
    assert number_formats.is_faster((1, 2)) is True
    for content in ("{", "[]", '{"x": 1}'):
        (tmp_path / "number_formats.json").write_text(content)
        assert number_formats.is_faster((1, 2)) is None


def test_the_measurement_is_of_real_products():
    assert base._seconds((64, 64), torch.float32) > 0


def test_gpus_compute_in_what_they_are_made_for(monkeypatch):
    """torch answers for the device that is current, so each device must be made that first."""
    current = [0]

    @contextmanager
    def device(name):
        current.append(torch.device(name).index)
        yield
        current.pop()

    monkeypatch.setattr(torch.cuda, "device", device)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: current[-1] == 1)
    assert best_dtype("cuda:0") == torch.float16
    assert needs_scaling(torch.float16)
    assert best_dtype("cuda:1") == torch.bfloat16
    assert not needs_scaling(torch.bfloat16)
