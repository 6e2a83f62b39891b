"""Sample prompts are answered at each evaluation, and training notices nothing of it."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM

from ftlab.data.chat import prompt_text
from ftlab.data.tokens import load_tokenizer
from ftlab.errors import FtlabError
from ftlab.events import Metrics, Sample
from ftlab.providers import prepare
from ftlab.train import samples
from ftlab.train.checkpoints import newest_whole
from ftlab.train.loop import train
from tests.small import chat_rows, preference_rows, save_architecture, save_model, write_rows

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::FutureWarning")]

PROMPTS = ("Where is order 3, please?", "Hello", "Good day, where is my parcel, 7 or 8?")
SAME = ("train_loss", "grad_norm", "eval_loss")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    save_model(folder / "chat")
    save_model(folder / "plain", None)
    save_architecture(folder / "gpt2", "gpt2")  # its layers have dropout
    write_rows(folder / "sft.jsonl", chat_rows(8))
    write_rows(folder / "dpo.jsonl", preference_rows(6))
    return folder


@pytest.fixture(scope="module")
def job(files):
    def make(model="chat", **changes):
        data = str(files / f"{changes.get('training_method', 'sft')}.jsonl")
        values = {
            **{"model": str(files / model), "training_file": data, "validation_file": data},
            **{"batch_size": 4, "n_epochs": 2, "learning_rate": 1e-2, "n_evals": 2},
            **{"lora_dropout": 0.1, **changes},
        }
        return prepare(values).job

    return make


def events_of(job, folder, asked=lambda: None):
    folder.mkdir(exist_ok=True)
    return list(train(job, folder / "adapter", "cpu", asked))


def figures(events):
    """What the steps and the evaluations came to, to the last bit."""
    return [
        (event.step, name, event.values[name].hex())
        for event in events
        if isinstance(event, Metrics)
        for name in SAME
        if name in event.values
    ]


def answers(events):
    return [(event.step, event.prompt) for event in events if isinstance(event, Sample)]


KINDS = {
    "adapter": {},
    "checkpointing": {"options": {"gradient_checkpointing": True}},
    "all weights": {"lora": False, "lora_dropout": 0.0, "learning_rate": 1e-3},
    "preferences": {"training_method": "dpo"},
    "noise": {"neftune_noise_alpha": 5.0},
    "dropout in the layers": {"model": "gpt2"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_training_is_the_same_to_the_last_bit_with_samples(job, tmp_path, kind):
    changes = {**KINDS[kind]}
    options = changes.pop("options", {})
    plain, asking = (job(**changes, sample_prompts=prompts) for prompts in ((), PROMPTS))
    plain, asking = (one.model_copy(update={"options": options}) for one in (plain, asking))
    without, with_samples = (
        events_of(one, tmp_path / name) for one, name in ((plain, "a"), (asking, "b"))
    )
    assert figures(with_samples) == figures(without)
    assert answers(with_samples) == [(step, prompt) for step in (0, 2, 4) for prompt in PROMPTS]
    weights = [sorted((tmp_path / name / "adapter").glob("*.safetensors")) for name in "ab"]
    assert [file.read_bytes() for file in weights[0]] == [f.read_bytes() for f in weights[1]]


@pytest.mark.parametrize("model", ["chat", "plain"])
def test_the_first_answers_are_those_of_the_base_model(files, job, tmp_path, model):
    if model == "plain":
        rows = [{"prompt": f"Order {i}?", "completion": " It left."} for i in range(8)]
        file = str(write_rows(tmp_path / "plain.jsonl", rows))
        one = job(model, sample_prompts=PROMPTS, training_file=file, validation_file=file)
    else:
        one = job(model, sample_prompts=PROMPTS)
    events = events_of(one, tmp_path)
    tokenizer = load_tokenizer(files / model)
    base = AutoModelForCausalLM.from_pretrained(files / model).eval()
    ends = [tokenizer.eos_id, tokenizer.backend.token_to_id("<|im_end|>")]
    for sample in [event for event in events if isinstance(event, Sample) and event.step == 0]:
        question = [{"role": "user", "content": sample.prompt}]
        text = prompt_text(question, tokenizer) if model == "chat" else sample.prompt
        ids = torch.tensor([tokenizer.encode(text)[0]])
        wrote = base.generate(
            ids, max_new_tokens=samples.LONGEST, do_sample=False, eos_token_id=ends, pad_token_id=0
        )[0, ids.shape[1] :]
        expected = tokenizer.backend.decode(wrote.tolist(), skip_special_tokens=True)
        assert sample.text == expected


def test_where_nothing_is_evaluated_the_start_and_the_end_are_sampled(job, tmp_path):
    events = events_of(job(sample_prompts=PROMPTS[:1], validation_file=None, n_evals=0), tmp_path)
    assert answers(events) == [(0, PROMPTS[0]), (4, PROMPTS[0])]


def test_a_request_ends_the_answers_and_they_come_when_the_run_goes_on(job, tmp_path, monkeypatch):
    requests, lengths, generate = [], [], samples.generate

    def interrupted(*given, **settings):
        if len(lengths) == 2:
            requests.append("pause")
        found = generate(*given, **settings)
        lengths.append([answer.n_tokens for answer in found])
        return found

    monkeypatch.setattr(samples, "generate", interrupted)
    one = job(sample_prompts=PROMPTS)
    asked = lambda: next(iter(requests), None)  # noqa: E731
    first = events_of(one, tmp_path, asked)
    assert first[-1].status == "paused"  # at the last step: its answers are still to come
    assert max(lengths[2]) <= 1 < max(lengths[1])
    assert {step for step, _ in answers(first)} == {0, 2}
    assert newest_whole(tmp_path / "checkpoints").position.sampled == 2
    requests.clear()
    monkeypatch.setattr(samples, "generate", generate)
    rest = events_of(one, tmp_path, asked)
    assert answers(rest) == [(4, prompt) for prompt in PROMPTS]
    assert rest[-1].status == "completed"


def test_prompts_that_can_not_be_asked_are_said_before_training(job, tmp_path):
    for prompt, found in (("order " * 900, "takes 512"), ("  ", "is empty")):
        with pytest.raises(FtlabError, match=found):
            events_of(job(sample_prompts=(prompt,)), tmp_path)


def test_a_lack_of_memory_is_said_and_training_goes_on(job, tmp_path, monkeypatch):
    def full(*_, **__):
        raise RuntimeError("can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr(samples, "generate", full)
    events = events_of(job(sample_prompts=PROMPTS), tmp_path)
    assert events[-1].status == "completed"
    assert not answers(events)
    assert samples.NO_ROOM in {getattr(event, "text", "") for event in events}
