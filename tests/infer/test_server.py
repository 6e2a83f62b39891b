"""The process that answers, as OpenAI's clients see it: whole, streamed, stopped, one by one."""

from __future__ import annotations

import json
import shutil
import threading
import time

import pytest
import torch

from ftlab.data.chat import prompt_text
from ftlab.errors import FtlabError
from ftlab.infer.answer import Answerer
from ftlab.infer.server import Server
from ftlab.infer.turns import LOOK_EVERY
from tests.infer.worlds import (
    events,
    plain_tokens,
    save_adapter,
    serving,
    slowly,
    small_model,
    until,
)

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::FutureWarning")]
CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
QUESTION = [{"role": "user", "content": "Where is order 7, Åse? 🙂"}]
LONG = {"model": "base", "prompt": "Hello", "max_tokens": 480}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A model, adapters of two kinds on it, and another whole model."""
    folder = tmp_path_factory.mktemp("infer")
    model = small_model(folder / "model")
    save_adapter(model, folder / "lora")
    save_adapter(model, folder / "step-00000002", seed=2, use_dora=True)
    torch.manual_seed(5)
    from transformers import AutoModelForCausalLM

    whole = AutoModelForCausalLM.from_pretrained(model)
    with torch.no_grad():
        for weight in whole.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
    whole.save_pretrained(folder / "whole")
    return folder


@pytest.fixture(scope="module")
def served(world):
    with serving(world, Answerer(world / "model", "cpu")) as found:
        yield found


@pytest.fixture
def client(served):
    return served[1]


@pytest.mark.parametrize("name", ["base", "lora", "step-00000002", "whole"])
def test_greedy_answers_are_those_of_transformers_and_peft(world, client, served, name):
    tokenizer = served[0].answerer.tokenizer
    prompt = prompt_text(QUESTION, tokenizer)
    folder = None if name == "base" else world / name
    wrote = plain_tokens(world / "model", folder, prompt, 24)
    ends = [tokenizer.backend.token_to_id(text) for text in ("</s>", "<|im_end|>")]
    expected = tokenizer.backend.decode([i for i in wrote if i not in ends])
    model = "base" if name == "base" else str(world / name)
    asked = {"model": model, "messages": QUESTION, "max_tokens": 24}
    whole = client.post(CHAT, json=asked).json()
    assert "choices" in whole, whole
    assert whole["choices"][0]["message"]["content"] == expected
    *parts, done = events(client, CHAT, **asked, stream_options={"include_usage": True})
    assert done == "[DONE]"
    deltas = [part["choices"][0]["delta"] for part in parts if part["choices"]]
    assert "".join(delta.get("content") or "" for delta in deltas) == expected
    assert whole["usage"] == parts[-1]["usage"]
    assert whole["usage"]["completion_tokens"] == len([i for i in wrote if i not in ends])


def test_sampling_follows_the_seed_and_is_that_of_transformers(world, client, served):
    asked = {"model": str(world / "lora"), "messages": QUESTION, "max_tokens": 30}
    asked |= {"temperature": 1.3, "top_p": 0.8}
    texts = [
        client.post(CHAT, json={**asked, "seed": seed}).json()["choices"][0]["message"]["content"]
        for seed in (1, 1, 2)
    ]
    assert texts[0] == texts[1] != texts[2]
    tokenizer = served[0].answerer.tokenizer
    drawn = {"seed": 1, "do_sample": True, "temperature": 1.3, "top_p": 0.8, "top_k": 0}
    wrote = plain_tokens(
        world / "model", world / "lora", prompt_text(QUESTION, tokenizer), 30, **drawn
    )
    assert texts[0] == tokenizer.backend.decode(wrote)


def test_a_models_own_ways_change_nothing_that_was_asked_for(world):
    """A folder may ask for a penalty on repetition, which base and whole model need not share."""
    answerer = Answerer(world / "model", "cpu")
    expected = answerer.answer(["Where is it"], "base", max_tokens=24)
    stubborn = shutil.copytree(world / "model", world / "stubborn")
    ways = {"repetition_penalty": 3.0, "min_p": 0.5, "do_sample": True, "temperature": 0.1}
    (stubborn / "generation_config.json").write_text(json.dumps(ways))
    own = Answerer(stubborn, "cpu")
    assert own.answer(["Where is it"], "base", max_tokens=24) == expected
    drawn = {"max_tokens": 24, "temperature": 2.0, "seed": 3}
    assert own.answer(["Where is it"], str(world / "lora"), **drawn) == answerer.answer(
        ["Where is it"], str(world / "lora"), **drawn
    )
    assert own.models.base.get_base_model().generation_config.repetition_penalty == 3.0


def test_almost_no_temperature_is_the_likeliest_token(world):
    answerer = Answerer(world / "model", "cpu")
    coldest = answerer.answer(["Where"], "base", max_tokens=8, temperature=1e-40, top_p=0.5)
    assert coldest == answerer.answer(["Where"], "base", max_tokens=8)


def test_nothing_of_an_adapter_that_does_not_fit_stays_on_the_base(world):
    answerer = Answerer(world / "model", "cpu")
    right = [
        answerer.answer(["Where"], name, max_tokens=12) for name in ("base", str(world / "lora"))
    ]
    other = save_adapter(world / "model", world / "other", seed=4)
    settings = json.loads((other / "adapter_config.json").read_text())
    settings |= {"r": 8, "init_lora_weights": False}  # so that what is left behind would be heard
    (other / "adapter_config.json").write_text(json.dumps(settings))
    for answers in (Answerer(world / "model", "cpu"), answerer):
        with pytest.raises(FtlabError, match=r"other can't be put on the model .*; it takes"):
            answers.answer(["Where"], str(other), max_tokens=12)
        for name, expected in zip(("base", str(world / "lora")), right, strict=True):
            assert answers.answer(["Where"], name, max_tokens=12) == expected


def test_a_whole_model_that_was_written_anew_is_loaded_anew(world):
    answerer = Answerer(world / "model", "cpu")
    folder = shutil.copytree(world / "whole", world / "changing")
    before = answerer.answer(["Where"], str(folder), max_tokens=12)
    (folder / "model.safetensors").unlink()  # otherwise the weights in memory change with it
    shutil.copy(world / "model" / "model.safetensors", folder)
    after = answerer.answer(["Where"], str(folder), max_tokens=12)
    assert after == answerer.answer(["Where"], "base", max_tokens=12) != before


def test_an_empty_prompt_is_said(client):
    reply = client.post(TEXT, json={**LONG, "prompt": ["Hello", ""]})
    assert "The prompt is empty" in reply.json()["error"]["message"]


def test_a_limit_that_is_null_leaves_the_other_one(client):
    asked = {"model": "base", "messages": QUESTION, "max_tokens": 2, "max_completion_tokens": None}
    assert client.post(CHAT, json=asked).json()["usage"]["completion_tokens"] <= 2


def test_what_is_streamed_adds_up_to_what_is_not(client):
    """Also where characters have several tokens, and where bytes are none of UTF-8."""
    for seed in range(4):
        asked = {**LONG, "max_tokens": 120, "temperature": 3.0, "seed": seed}
        whole = client.post(TEXT, json=asked).json()["choices"][0]
        *parts, _ = events(client, TEXT, **asked)
        texts = [part["choices"][0]["text"] for part in parts]
        assert "".join(texts) == whole["text"]
        assert "\ufffd" in whole["text"]
        assert parts[-1]["choices"][0]["finish_reason"] == whole["finish_reason"]


def test_two_prompts_are_one_batch_with_places(client):
    asked = {"model": "base", "prompt": ["Where", "The quick brown fox"], "max_tokens": 8}
    whole = [one["text"] for one in client.post(TEXT, json=asked).json()["choices"]]
    texts = ["", ""]
    for part in events(client, TEXT, **asked)[:-1]:
        texts[part["choices"][0]["index"]] += part["choices"][0]["text"]
    assert texts == whole


def test_who_leaves_ends_the_answer_and_who_waits_is_told_and_comes_next(client, served):
    server, others = served[0], []
    short = {**LONG, "max_tokens": 2}
    with slowly(server.answerer):
        second = threading.Thread(target=lambda: others.extend(events(client, TEXT, **short)))
        with client.stream("POST", TEXT, json={**LONG, "stream": True}) as first:
            lines = first.iter_lines()  # kept: without it the connection ends
            next(lines)
            second.start()
            until(lambda: len(server.turns) == 2)
            time.sleep(2 * LOOK_EVERY)
        left = time.monotonic()
        second.join()
    assert time.monotonic() - left < 15  # the first would go on for half a minute
    assert others[0] == ": 1 before you"
    assert others[-1] == "[DONE]"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"model": "base"}, "There are no messages"),
        ({"messages": QUESTION}, "names no model"),
        ({"model": "base", "messages": QUESTION, "top_p": 0}, "top_p is 0; it takes"),
        ({"model": "base", "messages": QUESTION, "max_tokens": "9"}, "max_tokens is '9'"),
        ({"model": "base", "messages": QUESTION, "stop": ["x"]}, "stop is asked for"),
        ({"model": "base", "messages": []}, "There are no messages"),
        ({"model": "base", "messages": QUESTION, "tools": "{"}, "tools is no list of objects"),
        (
            {"model": "base", "messages": QUESTION, "stream_options": 1},
            "stream_options is asked for",
        ),
        ({"model": "base", "messages": QUESTION, "max_tokens": 0}, "max_tokens is 0; it takes"),
        ({"model": "base", "messages": QUESTION, "seed": -(2**64)}, "of at most 63 bits"),
        ({"model": "/gone", "messages": QUESTION}, "/gone is no model and no adapter"),
        (
            {"model": "base", "messages": [{"role": "user", "content": "\ud83d"}]},
            "half of a surrogate",
        ),
        ({"model": "base", "messages": [{"role": "user", "content": "order " * 600}]}, "takes 512"),
    ],
)
def test_what_can_not_be_done_is_said(client, asked, said):
    for stream in (False, True):
        body = json.dumps({**asked, "stream": stream})
        reply = client.post(CHAT, content=body)
        text = reply.json()["error"]["message"] if reply.is_error else reply.text
        assert said in text
        assert reply.is_error or stream


def test_the_models_are_listed(client):
    assert [one["id"] for one in client.get("/v1/models").json()["data"]] == ["base"]


def test_tools_are_written_by_the_template(served):
    from ftlab.data.template import CannotRender

    tokenizer = served[0].answerer.tokenizer
    tools = [{"type": "function", "function": {"name": "find_city", "parameters": {}}}]
    try:
        assert prompt_text(QUESTION, tokenizer, tools=tools).endswith("assistant\n")
    except CannotRender:
        pytest.fail("a template without tools passes them over")


def test_an_adapter_that_was_written_anew_is_loaded_anew(world, client):
    import os

    asked = {"model": str(world / "lora"), "messages": QUESTION, "max_tokens": 12}
    before = client.post(CHAT, json=asked).json()["choices"][0]["message"]["content"]
    file = world / "lora" / "adapter_model.safetensors"
    kept = file.read_bytes()
    save_adapter(world / "model", world / "lora", seed=9)
    os.utime(file, ns=(1, 1))
    after = client.post(CHAT, json=asked).json()["choices"][0]["message"]["content"]
    file.write_bytes(kept)
    assert before != after
    assert client.post(CHAT, json=asked).json()["choices"][0]["message"]["content"] == before


def test_many_adapters_do_not_pile_up(world, served, client, monkeypatch):
    monkeypatch.setattr("ftlab.infer.loaded.MOST_ADAPTERS", 2)
    asked = {"messages": QUESTION, "max_tokens": 6}
    names = [str(save_adapter(world / "model", world / f"many{n}", seed=n)) for n in range(3)]
    first = client.post(CHAT, json={**asked, "model": names[0]}).json()["choices"]
    for name in names:
        assert client.post(CHAT, json={**asked, "model": name}).is_success
    assert len(served[0].answerer.models.base.peft_config) == 2
    assert client.post(CHAT, json={**asked, "model": names[0]}).json()["choices"] == first


def test_a_process_that_ends_breaks_off_and_says_so(world):
    with serving(world, Answerer(world / "model", "cpu")) as (server, client):
        assert isinstance(server, Server)
        with client.stream("POST", TEXT, json={**LONG, "stream": True}) as reply:
            lines = (line for line in reply.iter_lines() if line)
            next(lines)
            server.ends = "The device is wanted."
            *_, last = lines
        assert '"type": "gave_way"' in last
        refused = client.post(TEXT, json=LONG)
        assert (refused.status_code, refused.json()["error"]["type"]) == (503, "gave_way")
