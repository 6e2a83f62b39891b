"""ask(): both models from one process, which gives the device back."""

from __future__ import annotations

import json
import threading
import time

import psutil
import pytest

import ftlab
from ftlab import devices
from ftlab.answers import answers, device_of, model_of, posted, prompt_of, tuned_folder
from ftlab.answers.process import GaveWay, Stop, Stopped
from ftlab.answers.sides import Side, say, sides_of
from ftlab.errors import RunError
from ftlab.job import Job
from tests.fake_hub import COMMIT, own_cache
from tests.infer.worlds import finished_run
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
    with pytest.raises(RunError, match="has kept nothing yet"):
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
    """The route takes a chat, and answers in the usual shape, or says in it what is wrong."""
    chat = {"messages": [{"role": "user", "content": "Where is order 7?"}], "max_tokens": 12}
    asked = {"model": str(run.adapter), **chat}
    reply = posted(model_of(run), device_of(run), "/v1/chat/completions", asked)
    (choice,) = reply["choices"]
    assert choice["message"] == {"role": "assistant", "content": "It left."}
    assert choice["finish_reason"] == "stop"
    assert reply["usage"]["completion_tokens"] >= 2
    with pytest.raises(RunError, match="no messages"):
        posted(model_of(run), device_of(run), "/v1/chat/completions", {"model": "base"})


def test_a_long_answer_gives_way_to_training_and_is_asked_for_again(run, tmp_path):
    """Before its first piece by itself; later the person is told, and asks again."""
    side, long = Side.base_of(run), {"max_tokens": 480}
    heard, other = [], {**run.job.spec.model_dump(), "n_epochs": 1}

    def train(piece):
        if not heard:
            heard.append(ftlab.submit(other, folder=tmp_path))
        time.sleep(0.02)  # as a larger model would

    question = [{"role": "user", "content": "Hello"}]
    with pytest.raises(GaveWay, match="Ask again"):
        say(side, question, heard=train, **long)
    assert heard[0].wait(120).status == "completed"
    assert say(side, question, max_tokens=2)


def test_a_stop_ends_the_answer_at_once(run):
    stop, pieces = Stop(), []

    def heard(piece):
        pieces.append(piece)
        stop.set()

    with pytest.raises(Stopped):
        say(Side.base_of(run), [{"role": "user", "content": "Hello"}], heard=heard, stop=stop,
            max_tokens=480)  # fmt: skip
    assert len(pieces) < 10


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_checkpoints_are_folders_for_peft(tmp_path):
    run = finished_run(tmp_path)
    assert tuned_folder(run) == run.adapter
    assert tuned_folder(run, 2) == run.checkpoint(2)
    assert [side.title for side in sides_of(run)] == ["base", "tuned", "step 2"]
    with pytest.raises(RunError, match=r"no checkpoint of step 7,777; its folder has those of: 2"):
        tuned_folder(run, 7777)


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
