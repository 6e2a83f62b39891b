"""ask(): both models from one process, which gives the device back."""

from __future__ import annotations

import json
import threading
import time

import psutil
import pytest

import ftlab
from ftlab import devices
from ftlab.answers import answers, model_of, prompt_of
from ftlab.errors import RunError
from ftlab.job import Job
from tests.fake_hub import COMMIT, own_cache
from tests.small import chat_rows, save_model, with_bos, write_rows
from tests.test_model_cache import put

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run that has learned one answer by heart."""
    folder = tmp_path_factory.mktemp("answers")
    rows = [
        {**row, "messages": [row["messages"][0], {"role": "assistant", "content": "It left."}]}
        for row in chat_rows(64)
    ]
    values = {
        "model": str(save_model(folder / "model")),
        "training_file": str(write_rows(folder / "train.jsonl", rows)),
        "learning_rate": 2e-2,
        "batch_size": 8,
        "n_epochs": 20,
    }
    run = ftlab.submit(values, folder=folder / "runs")
    assert run.wait(120).status == "completed"
    return run


def test_base_and_tuned_answer_the_same_prompt(run):
    told = []
    found = ftlab.ask(run, "Where is order 7?", max_tokens=12, told=told.append)
    assert found.tuned == "It left."
    assert found.base != found.tuned
    assert told


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_answers_equal_plain_generation(run):
    """The adapter off is the base model, and on it is peft's own."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = run.job.spec.model
    tokenizer = AutoTokenizer.from_pretrained(model)
    prompts = [prompt_of(run, row["messages"][:1]) for row in chat_rows(3, start=70)]
    plain = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    for tuned in (False, True):
        if tuned:
            plain = PeftModel.from_pretrained(plain, str(run.adapter))
        expected = []
        for prompt in prompts:
            ids = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")["input_ids"]
            ends = [tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<|im_end|>")]
            out = plain.generate(
                input_ids=ids, max_new_tokens=10, do_sample=False, eos_token_id=ends
            )
            expected.append(tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True))
        assert answers(run, prompts, tuned=tuned, max_tokens=10) == expected


def test_sampling_follows_the_seed(run):
    prompt = prompt_of(run, [{"role": "user", "content": "Hello"}])
    options = {"tuned": False, "max_tokens": 16, "temperature": 1.5}
    once, again, other = (answers(run, [prompt], seed=seed, **options) for seed in (1, 1, 2))
    assert once == again
    assert once != other


def test_a_run_on_plain_rows_is_asked_as_it_was_trained(tmp_path):
    """No chat template around the prompt, and the tokenizer's own BOS in front of it."""
    from ftlab.data.chat import tokenise
    from ftlab.data.tokens import load_tokenizer

    model = save_model(tmp_path / "model", template="chatml")
    with_bos().save(str(model / "tokenizer.json"))
    rows = [{"prompt": f"Order {i}?", "completion": " It left."} for i in range(64)]
    train = write_rows(tmp_path / "train.jsonl", rows)
    values = {"model": str(model), "training_file": str(train), "learning_rate": 2e-2}
    run = ftlab.submit({**values, "batch_size": 8, "n_epochs": 20}, folder=tmp_path / "runs")
    assert run.wait(120).status == "completed"
    assert prompt_of(run, [{"role": "user", "content": "Order 7?"}]) == "Order 7?"
    assert tokenise(rows[7], load_tokenizer(model))[0].ids[0] == load_tokenizer(model).prefix[0]
    assert ftlab.ask(run, "Order 7?", max_tokens=12).tuned == " It left."


def test_a_process_that_dies_while_it_answers_is_said(run):
    ask_long = {"tuned": False, "max_tokens": 400, "temperature": 2.0}
    prompts = [prompt_of(run, row["messages"][:1]) for row in chat_rows(64)]
    answers(run, prompts[:1], tuned=False, max_tokens=1)
    killer = threading.Timer(0.3, lambda: [p.kill() for p in answering()])
    killer.start()
    with pytest.raises(RunError, match="Ask again"):
        answers(run, prompts, **ask_long)
    killer.join()
    assert answers(run, prompts[:1], tuned=False, max_tokens=1)


def answering():
    """The answering processes of these tests."""
    mine = str(devices.lease_folder())
    processes = psutil.process_iter(["cmdline"])
    return [p for p in processes if mine in " ".join(p.info["cmdline"] or [])]


def test_training_gets_the_device_back(run, tmp_path):
    ftlab.ask(run, "Hello", max_tokens=2)
    assert devices.holder_of("cpu") == "the Try panel"
    began = time.monotonic()
    again = ftlab.submit({**run.job.spec.model_dump(), "n_epochs": 1}, folder=tmp_path)
    assert again.wait(120).status == "completed"
    assert time.monotonic() - began < 60


def test_a_run_without_adapter_says_so(run, tmp_path):
    from ftlab.job import Job
    from ftlab.runs import Run

    empty = Run.create(Job(spec=run.job.spec, provider="local"), tmp_path)
    with pytest.raises(RunError, match="has no adapter yet"):
        answers(empty, ["x"], tuned=True)


def test_a_model_that_can_not_be_loaded_says_why(run, tmp_path):
    from ftlab.job import Job
    from ftlab.runs import Run

    broken = save_model(tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"no weights")
    spec = run.job.spec.changed(model=str(broken))
    with pytest.raises(RunError, match="ended before it was ready"):
        answers(Run.create(Job(spec=spec, provider="local"), tmp_path), ["x"], tuned=False)


def test_the_page_of_a_comparison_escapes_answers():
    from ftlab.answers import Comparison

    html = Comparison("<b>", "<script>", json.dumps({"a": "<i>"}))._repr_html_()
    assert "<script>" not in html
    assert "<i>" not in html


def test_the_process_speaks_as_openai_does(run):
    """The route takes a chat, answers in the usual shape, and says in it what is wrong."""
    from ftlab.answers import client_of

    with client_of(run) as client:
        chat = {"messages": [{"role": "user", "content": "Where is order 7?"}], "max_tokens": 12}
        reply = client.post("/v1/chat/completions", json={"model": str(run.adapter), **chat})
        (choice,) = reply.json()["choices"]
        assert choice["message"] == {"role": "assistant", "content": "It left."}
        assert choice["finish_reason"] == "stop"
        assert reply.json()["usage"]["completion_tokens"] >= 2
        wrong = client.post("/v1/chat/completions", json={"model": "base"})
        assert wrong.status_code == 400
        assert "messages" in wrong.json()["error"]["message"]


def test_the_base_that_answers_is_the_revision_that_was_tuned(tmp_path, monkeypatch):
    cache = own_cache(tmp_path / "cache", monkeypatch)
    put(cache, "models--org--whole")
    spec = {"model": "org/whole", "hf_model_revision": COMMIT}
    run = ftlab.Run.create(Job(spec=ftlab.JobSpec(**spec), provider="local"), tmp_path)
    assert model_of(run) == str(cache / "models--org--whole" / "snapshots" / COMMIT)


def test_a_branch_that_moved_since_the_run_does_not_change_the_base(tmp_path, monkeypatch):
    cache = own_cache(tmp_path / "cache", monkeypatch)
    put(cache, "models--org--whole")
    spec = ftlab.JobSpec(model="org/whole")
    run = ftlab.Run.create(Job(spec=spec, provider="local"), tmp_path)
    assert model_of(run) == "org/whole"
    run.commit_file.write_text(COMMIT)
    assert model_of(run) == str(cache / "models--org--whole" / "snapshots" / COMMIT)
