"""A small model with two adapters, and the process that answers as a thread of this one."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from pathlib import Path

import httpx

from tests.small import save_model

ENDS = ("</s>", "<|im_end|>")


def save_adapter(model: Path, folder: Path, seed: int = 1, **settings) -> Path:
    """A LoRA adapter that changes what the model says."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    base = AutoModelForCausalLM.from_pretrained(model)
    config = LoraConfig(r=4, lora_alpha=64, target_modules="all-linear", **settings)
    tuned = get_peft_model(base, config)
    with torch.no_grad():
        for name, weight in tuned.named_parameters():
            if "lora_B" in name:
                weight.normal_(0, 0.3)
    tuned.save_pretrained(folder)
    return folder


def plain_tokens(
    model: Path, adapter: Path | None, prompt: str, n: int, seed=0, **settings
) -> list[int]:
    """What transformers and peft make of a prompt by themselves."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    whole = adapter is not None and not (adapter / "adapter_config.json").is_file()
    found = AutoModelForCausalLM.from_pretrained(adapter if whole else model, dtype=torch.float32)
    if adapter is not None and not whole:
        found = PeftModel.from_pretrained(found, str(adapter))
    ids = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")["input_ids"]
    ends = [tokenizer.convert_tokens_to_ids(token) for token in ENDS]
    settings = {"do_sample": False, "eos_token_id": ends, "pad_token_id": 0, **settings}
    torch.manual_seed(seed)
    with torch.inference_mode():
        out = found.eval().generate(input_ids=ids, max_new_tokens=n, **settings)
    return out[0, ids.shape[1] :].tolist()


def until(is_so, seconds=60):
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)


@contextlib.contextmanager
def serving(folder: Path, answerer):
    """The server on a socket; yields it and a client."""
    from ftlab.infer.server import Server

    path = folder / "s.sock"
    with Server(path, answerer) as server:
        over = threading.Event()

        def serve():
            while not over.is_set():
                server.handle_request()

        server.timeout = 0.05
        thread = threading.Thread(target=serve)
        thread.start()
        transport = httpx.HTTPTransport(uds=str(path))
        try:
            with httpx.Client(transport=transport, base_url="http://m", timeout=60) as client:
                yield server, client
        finally:
            over.set()
            thread.join()


def events(client, path, **asked):
    """The events of a stream as objects, "[DONE]" as it is, and comments as text."""
    with client.stream("POST", path, json={**asked, "stream": True}) as reply:
        lines = [line for line in reply.iter_lines() if line]
    data = [line.removeprefix("data: ") for line in lines]
    return [json.loads(one) if one.startswith("{") else one for one in data]


def small_model(folder: Path) -> Path:
    """With a template for chats."""
    return save_model(folder, "chatml")


def finished_run(folder: Path, **values):
    """A run whose result is an adapter that was never trained, and a checkpoint."""
    from ftlab.job import Job
    from ftlab.run import Run
    from ftlab.spec import JobSpec

    model = small_model(folder / "model")
    spec = JobSpec(model=str(model), **values)
    job = Job(spec=spec, provider="local", options={"device": "cpu"}, data_format="conversation")
    run = Run.create(job, folder / "runs")
    save_adapter(model, run.adapter)
    save_adapter(model, run.checkpoint(2), seed=2)
    run.say("completed")
    return run


@contextlib.contextmanager
def answering(run):
    """The process that answers for a run, as a thread of this one that holds its lock."""
    import os

    from ftlab.answers.of_run import device_of, model_of
    from ftlab.answers.process import Place
    from ftlab.infer.answer import Answerer
    from ftlab.infer.server import Server
    from ftlab.processes import try_lock

    place = Place(model_of(run), device_of(run))
    handle = os.open(place.lock, os.O_RDWR | os.O_CREAT, 0o600)
    assert try_lock(handle)
    answerer, over = Answerer(Path(place.model), "cpu"), threading.Event()
    with Server(place.socket, answerer) as server:

        def serve():
            while not over.is_set():
                server.handle_request()

        server.timeout = 0.05
        thread = threading.Thread(target=serve)
        thread.start()
        yield server
        over.set()
        thread.join()
    place.socket.unlink(missing_ok=True)
    os.close(handle)


@contextlib.contextmanager
def slowly(answerer):
    """The model takes its time for each token, as a larger one would."""
    model = answerer.models.base
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    hook = inner.register_forward_hook(lambda *_: time.sleep(0.05))
    yield
    hook.remove()
