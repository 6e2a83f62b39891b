"""What the figures of an export add up to."""

from __future__ import annotations

import math

import pytest

from ftlab.exports.proof import Proof, judged

MADE = {"scale": 10.0, "rounding": 0.02, "weights": {"a": "1", "b": "2"}}
FOUND = {
    **{"difference": 5e-5, "changed": 5e-5, "n_places": 80, "n_greedy": 64, "n_agreed": 64},
    **{"tokens": [[1, 2]], "weights": {"a": "1", "b": "2"}, "versions": {"peft": "1"}},
}


def judge(made=(), found=(), dtype="fp32", kind="merged"):
    made, found = {**MADE, **dict(made)}, {**FOUND, **dict(found)}
    return judged(made, found, [[1, 2]], kind=kind, dtype=dtype, base="m")


def test_what_is_near_enough_is_proved():
    proof = judge()
    assert proof.passed
    assert proof.bound == 1e-4
    assert proof.headline == (
        "Proved: logits differ by 5e-5 at most, and 64 of 64 tokens are the same."
    )


def test_in_float32_it_is_held_against_the_model_as_trained():
    assert not judge(found={"difference": 0.0, "changed": 2e-4}).passed


def test_rounded_it_is_held_against_the_rounded_model_by_a_share_of_what_that_changes():
    proof = judge(found={"difference": 0.0, "changed": 0.02}, dtype="bf16")
    assert proof.passed
    assert proof.bound == pytest.approx(0.02 * math.sqrt(0.012))
    assert not judge(found={"difference": 0.01, "changed": 0.02}, dtype="bf16").passed


def test_large_logits_may_differ_by_a_millionth():
    assert judge(made={"scale": 500.0}, found={"changed": 4e-4}).passed


@pytest.mark.parametrize(
    ("made", "found", "said"),
    [
        ({}, {"changed": math.nan}, "its logits are nan off"),
        ({}, {"changed": math.inf}, "its logits are inf off"),
        ({"merging": 3e-4}, {}, "merging alone changed logits by 3e-4"),
        ({"merging": math.nan}, {}, "merging alone changed logits by nan"),
        ({"saved": 3e-4, "saved_noise": 0.0}, {}, "what was saved is not what was trained"),
        ({}, {"tokens": [[1, 3]]}, "its tokenizer makes other tokens"),
        ({}, {"weights": {"a": "1", "b": "3"}}, "1 of its 2 tensors are not as they were made (b"),
        ({}, {"weights": {"a": "1", "b": "2", "c": "3"}}, "(c is the first)"),
        ({}, {"unloadable": "OSError: no"}, "transformers and peft can't load it (OSError: no)."),
    ],
)
def test_what_is_wrong_is_said(made, found, said):
    proof = judge(made, found)
    assert proof.passed is False
    assert proof.is_saved_as_trained == ("saved" not in made)
    assert said in proof.problems[0]
    assert proof.headline.startswith("Not the model that was trained: ")


def test_what_was_saved_may_be_as_far_off_as_its_format_is_from_float32():
    assert judge(made={"saved": 0.02, "saved_noise": 0.01}).passed
    assert not judge(made={"saved": 0.021, "saved_noise": 0.01}).passed


def test_a_proof_is_read_back_as_it_was_written():
    proof = judge(found={"changed": math.inf})
    assert Proof.model_validate_json(proof.model_dump_json()) == proof


def test_llama_cpp_must_find_nine_of_ten_tokens_most_likely_where_it_was_asked():
    asked = {"llama": "x 1", "llama_difference": 0.01, "llama_tokens": [[1, 3]]}
    proof = judge(found={**asked, "llama_agreed": 58}, kind="gguf")
    assert proof.passed
    lines = dict(proof.lines)
    assert lines["same token by llama.cpp"] == "58 of 64, by x 1"
    assert lines["prompts with its tokens"] == "0 of 1"
    proof = judge(found={**asked, "llama_agreed": 57}, kind="gguf")
    assert proof.problems == (
        "llama.cpp finds 57 of its 64 tokens most likely, and 90% are asked for.",
    )
