"""The request body against the official SDK's own, and there and back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftlab.exchange.code import sdk_keywords
from ftlab.exchange.together import from_body, to_body, to_price_body
from ftlab.limits import Limits
from ftlab.spec import FIELDS, JobSpec, module_names, parse
from tests.exchange.oracles import SDK, ask
from tests.exchange.specs import HOSTED_WISHES, SFT, drawn, with_and_without
from tests.fakes.together import REPLY

N_DRAWN = 1500
BUILD = """
import json, sys
from together.lib.resources.fine_tuning import create_finetune_request
from together.types.finetune_model_limits import FinetuneModelLimits
bodies = []
for case in json.load(sys.stdin):
    limits = FinetuneModelLimits(**case["reply"])
    request, kind, method = create_finetune_request(model_limits=limits, **case["keywords"])
    bodies.append((request.model_dump(exclude_none=True), kind, method))
print()
print(json.dumps(bodies))
"""


def official(specs: list[JobSpec], reply: dict[str, Any]) -> list[Any]:
    """For each spec the body that the SDK sends, and the training type and the method that it asks
    the price of."""
    files = ("training_file", "validation_file")
    cases = [
        {
            "reply": reply,
            "keywords": {
                **sdk_keywords(spec),
                **{name: getattr(spec, name) for name in files if getattr(spec, name)},
            },
        }
        for spec in specs
    ]
    return ask(SDK, BUILD, cases)


def test_bodies_equal_those_of_the_official_sdk():
    specs = [drawn(seed) for seed in range(N_DRAWN)]
    limits = Limits.from_reply(REPLY)
    for spec, (body, kind, method) in zip(specs, official(specs, REPLY), strict=True):
        assert to_body(spec, limits)[0] == body, spec
        asked = to_price_body(spec, limits)
        assert (asked["training_type"], asked["training_method"]) == (kind, method), spec
    bodies = [to_body(spec)[0] for spec in specs]
    assert len({str(body) for body in bodies}) > 0.99 * N_DRAWN  # they are not all the same
    assert {body["training_method"]["method"] for body in bodies} == {"sft", "dpo"}


def test_a_model_that_sees_is_told_whether_to_train_that():
    reply = {**REPLY, "supports_vision": True}
    specs = [JobSpec(**SFT, lora_r=8), JobSpec(**SFT, lora_r=8, train_vision=True)]
    limits = Limits.from_reply(reply)
    for spec, (body, *_) in zip(specs, official(specs, reply), strict=True):
        assert to_body(spec, limits)[0] == body


@pytest.mark.parametrize("seed", range(300))
def test_there_and_back_loses_nothing_that_is_not_listed(seed):
    spec = drawn(seed)
    limits = Limits.from_reply(REPLY)
    body, lost = to_body(spec, limits)
    values, not_understood = from_body(body)
    again = JobSpec(**values)
    assert not not_understood
    assert to_body(again, limits)[0] == body
    missing = {issue.where for issue in lost}
    if spec.simpo_gamma:  # above 0 it implies length normalization, whatever was said of that
        missing.add("dpo_normalize_logratios_by_length")
    for name in spec.model_fields_set - missing:
        was, now = getattr(spec, name), getattr(again, name)
        if name == "lora_trainable_modules":
            was, now = module_names(was), module_names(now)
        implied = {"packing": (True, None), "train_on_inputs": ("auto", None)}
        assert now == was or (was, now) == implied.get(name), name


@pytest.mark.parametrize("name", HOSTED_WISHES)
def test_every_wish_is_in_the_body_or_in_the_list(name):
    wish, rest = with_and_without(name, HOSTED_WISHES[name])
    limits = Limits.from_reply(REPLY)
    body, lost = to_body(wish, limits)
    assert body != to_body(rest, limits)[0] or name in {issue.where for issue in lost}


def test_what_stands_nowhere_in_a_spec_is_listed_and_secrets_are_not_shown():
    body, _ = to_body(JobSpec(**SFT, lora_r=8))
    values, lost = from_body(
        {**body, "wandb_key": "k-123", "hf_api_token": "hf_9", "wandb_name": "x", "new_thing": 3}
    )
    told = {issue.where: issue.message for issue in lost}
    assert set(told) == {"wandb_key", "hf_api_token", "wandb_name", "new_thing"}
    assert "k-123" not in str(lost)
    assert "hf_9" not in str(lost)
    assert "new_thing is 3" in told["new_thing"]
    assert not set(values) - set(FIELDS)


def test_a_missing_training_type_leaves_the_choice_to_the_service():
    assert from_body({"model": "m", "training_file": "file-1"})[0]["lora"] is None
    assert (
        to_body(JobSpec(model="m", training_file="file-1", lora=None))[0].get("training_type")
        is None
    )


def test_an_unknown_default_rank_is_said():
    body, lost = to_body(JobSpec(model="m", training_file="file-1"))
    assert "training_type" not in body
    assert [issue.where for issue in lost] == ["lora_r"]


@pytest.mark.parametrize(
    "body",
    [
        {"training_type": None},
        {"training_type": "Lora"},
        {"training_type": {"type": ["Lora"]}},
        {"lr_scheduler": {"lr_scheduler_args": 3}},
        {"training_method": []},
        {"model": None, "n_epochs": None},
        {1: 2},
    ],
)
def test_a_broken_body_is_read_as_far_as_it_goes(body):
    values, lost = from_body(body)
    assert isinstance(values, dict)
    assert values.get("model") is None
    assert isinstance(lost, list)


names = st.sampled_from(
    [*FIELDS, "type", "method", "lr_scheduler", "lr_scheduler_args", "num_cycles", "training_type"]
)
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(names, junk, max_size=8))
def test_nonsense_is_left_to_the_checks(body):
    values, _ = from_body(body)
    spec, issues = parse(values)
    assert isinstance(spec, JobSpec)
    assert {issue.code for issue in issues} <= {"bad_value"}
