"""What one spec becomes here and on the hosted service."""

from __future__ import annotations

import time

import pytest

from ftlab.exchange.engines import FieldUse, side_by_side
from ftlab.exchange.together import to_body
from ftlab.limits import Limits
from ftlab.models import ModelInfo
from ftlab.rules import resolve
from ftlab.spec import FIELDS, KNOBS, JobSpec
from tests.exchange.specs import DPO, INFO, REPORT, SFT, WISHES, drawn
from tests.fakes.together import REPLY

LIMITS = Limits.from_reply(REPLY)


def uses(values: dict | JobSpec) -> dict[str, FieldUse]:
    return {field.name: field for field in side_by_side(values, REPORT, INFO).fields}


def test_the_body_is_that_of_the_resolved_job():
    spec = JobSpec(**SFT, lora_r=4)
    found = side_by_side(spec, REPORT, INFO, LIMITS)
    assert found.body == to_body(resolve(spec, REPORT, INFO, "together").spec, LIMITS)[0]
    assert found.lost == []


@pytest.mark.parametrize("name", WISHES)
def test_a_wish_is_honoured_or_its_refusal_is_told(name):
    field = uses({**SFT, **WISHES[name]})[name]
    assert field.given
    for engine, use in field.uses.items():
        if engine not in KNOBS[name].providers:
            assert not use.honoured
            assert name in use.note
        if use.honoured:
            assert use.value == field.value or name in ("batch_size", "packing")
        else:
            assert engine in field.refused
            assert use.value is None


def test_values_that_an_engine_does_not_know_are_refused_there():
    assert uses({**SFT, "lr_scheduler_type": "wsd"})["lr_scheduler_type"].refused == ("together",)
    assert uses({**SFT, "lora": False})["lora"].uses["together"].honoured
    assert uses({**SFT, "use_dora": True})["use_dora"].refused == ("together",)
    assert uses({**DPO, "packing": True})["packing"].refused == ("local",)


def test_what_was_left_out_shows_what_each_engine_does_by_itself():
    found = uses({**SFT})
    packing = found["packing"]
    assert (packing.given, packing.differs) == (False, True)
    assert packing.uses["together"].value is True
    assert "default" in packing.uses["together"].note
    size = found["batch_size"]
    assert size.uses["together"].value == "max"
    assert isinstance(size.uses["local"].value, int)
    short = {name: value for name, value in SFT.items() if name != "max_seq_length"}
    unknown = side_by_side(short, None, ModelInfo(name="m")).fields
    length = next(field for field in unknown if field.name == "max_seq_length")
    assert length.uses["together"].note == "the service decides: the model's own longest"


def test_the_form_sees_the_fields_of_the_method_and_all_that_were_given():
    supervised = uses(SFT)
    assert "train_on_inputs" in supervised
    assert "dpo_beta" not in supervised
    assert "train_on_inputs" not in uses(DPO)
    assert "dpo_beta" in uses({**SFT, "dpo_beta": 0.1})


def test_what_is_wrong_does_not_hide_the_rest():
    found = side_by_side({**SFT, "n_epochs": 0, "no_such": 1, "suffix": "a b"}, REPORT, INFO)
    assert found.body["n_epochs"] == 1
    assert found.body["model"] == SFT["model"]


def test_only_what_was_asked_for_is_lost():
    for seed in range(30):
        spec = drawn(seed)
        found = side_by_side(spec, REPORT, INFO, LIMITS)
        for issue in found.lost:
            assert getattr(spec, issue.where) != FIELDS[issue.where].default
    (lost,) = side_by_side({**SFT, "use_dora": True}, REPORT, INFO, LIMITS).lost
    assert lost.where == "use_dora"


if __name__ == "__main__":  # how long the panel's data takes
    spec = JobSpec(**SFT, lora_r=8)
    started = time.perf_counter()
    for _ in range(200):
        side_by_side(spec, REPORT, INFO, LIMITS)
    print(f"{(time.perf_counter() - started) / 200 * 1e3:.2f} ms")
