"""ask(): the base model and the tuned one on the same prompt, from a process of their own."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ftlab import devices
from ftlab.data.chat import plain_text, prompt_text
from ftlab.data.template import Message
from ftlab.data.tokens import Tokenizer, load_tokenizer
from ftlab.errors import RunError
from ftlab.html import escaped, table
from ftlab.models import fetch
from ftlab.processes import is_locked, spawn, try_lock
from ftlab.runs import Run, attach
from ftlab.spec import filled

if TYPE_CHECKING:
    import httpx

BASE = "base"
START_SECONDS = 180
POLL = 0.1
MAX_TOKENS = 256
BATCH = 64  # prompts at once
LOG_TAIL = 600

Told = Callable[[str], None]


class Comparison(NamedTuple):
    """Two answers to one prompt."""

    prompt: str
    base: str
    tuned: str

    def _repr_html_(self) -> str:
        cells = (f'<div style="white-space:pre-wrap">{escaped(t)}</div>' for t in self[1:])
        return f"<div>{escaped(self.prompt)}</div>{table(('base', 'tuned'), [cells])}"


def ask(
    run: Run | str,
    prompt: str | Sequence[Message],
    *,
    max_tokens: int = MAX_TOKENS,
    temperature: float = 0.0,
    seed: int = 0,
    told: Told = lambda _: None,
) -> Comparison:
    """What base and tuned model answer, with the same sampling and the same seed.

    `prompt` is a question, or a list of messages. `told` hears what is being waited for.
    Raises RunError when the run has no adapter yet or the models can't be loaded.
    """
    run = run if isinstance(run, Run) else attach(run)
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
    text = prompt_of(run, messages)
    options = {"max_tokens": max_tokens, "temperature": temperature, "seed": seed}
    (base,) = answers(run, [text], tuned=False, told=told, **options)
    (tuned,) = answers(run, [text], tuned=True, told=told, **options)
    return Comparison(str(messages[-1]["content"]), base, tuned)


def answers(
    run: Run, prompts: Sequence[str], *, tuned: bool, told: Told = lambda _: None, **options: Any
) -> list[str]:
    """Answers to texts that are rendered already, in batches."""
    import httpx

    adapter = str(tuned_folder(run)) if tuned else BASE
    options["add_special_tokens"] = not _is_chat(run)
    found: list[str] = []
    with client_of(run, told) as client:
        for start in range(0, len(prompts), BATCH):
            asked = {"model": adapter, "prompt": list(prompts[start : start + BATCH]), **options}
            try:
                reply = client.post("/v1/completions", json=asked)
            except httpx.HTTPError as exc:
                raise RunError(
                    f"The process that answers has ended ({exc}); it must live until it has "
                    "answered, and ends when memory is short. Ask again; it is started anew."
                ) from exc
            body = reply.json()
            if reply.is_error:
                raise RunError(f"The model could not answer: {body['error']['message']}")
            found += [choice["text"] for choice in body["choices"]]
    return found


def tuned_folder(run: Run, step: int | None = None) -> Path:
    """What a run has tuned, as peft or transformers loads it, or its state after so many steps.
    Raises RunError where that is not on disk."""
    if step is not None:
        if step in run.steps_on_disk:
            return run.checkpoint(step)
        kept = ", ".join(f"{one:,}" for one in run.steps_on_disk) or "none"
        raise RunError(
            f"Run {run.id} has no checkpoint of step {step:,}; there are those of its folder "
            f"({kept}). Take one of them."
        )
    if not run.adapter.exists():
        raise RunError(
            f"Run {run.id} has no adapter yet; it is saved when the run ends or is stopped. "
            "Wait, or stop the run."
        )
    return run.adapter


def prompt_of(run: Run, messages: Sequence[Message]) -> str:
    """Messages as the text after which the model answers, in the form that the run trained on."""
    return prompt_text(messages, _tokenizer(run)) if _is_chat(run) else plain_text(messages)


def _is_chat(run: Run) -> bool:
    """Whether prompts go through the chat template: not for a run on plain rows, and not for a
    model without one."""
    trained_on_chat = run.job.data_format not in ("instruction", "general")
    return trained_on_chat and _tokenizer(run).template_for(tools=False) is not None


def _tokenizer(run: Run) -> Tokenizer:
    return load_tokenizer(fetch(model_of(run), weights=False))


def model_of(run: Run) -> str:
    """The base model that a run tunes; its folder, where the job asks for a revision of it or the
    run has noted the commit that it found."""
    model = filled(run.job.spec.model, "model")
    revision = run.commit or run.job.spec.hf_model_revision
    return str(fetch(model, revision)) if revision else model


# --- the process -----------------------------------------------------------------------------


def client_of(run: Run, told: Told = lambda _: None) -> httpx.Client:
    """A client of the process that has the run's base model; starts one when there is none."""
    return _client(model_of(run), device_of(run), told)


def _client(model: str, device: str, told: Told) -> httpx.Client:
    """A client of the process that has the model; starts one when there is none."""
    import httpx

    key = hashlib.sha256(f"{model}\n{device}".encode()).hexdigest()[:12]
    socket = devices.lease_folder() / f"infer-{key}.sock"
    lock, log = socket.with_suffix(".lock"), socket.with_suffix(".log")
    if not is_locked(lock):
        _start(model, device, socket, lock, log)
    _wait(socket, lock, log, device, told)
    transport = httpx.HTTPTransport(uds=str(socket), retries=2)
    return httpx.Client(transport=transport, base_url="http://models", timeout=None)


def _start(model: str, device: str, socket: Path, lock: Path, log: Path) -> None:
    handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if try_lock(handle):  # otherwise somebody else has just started it
            socket.unlink(missing_ok=True)
            log.unlink(missing_ok=True)
            spawn("ftlab.infer", [model, str(socket), "--device", device], log, handle)
    finally:
        os.close(handle)


def _wait(socket: Path, lock: Path, log: Path, device: str, told: Told) -> None:
    end = time.monotonic() + START_SECONDS
    while not socket.exists():
        if not is_locked(lock):
            text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
            raise RunError(
                "The process that answers ended before it was ready; it must load the model. "
                f"Its log ends with: {text[-LOG_TAIL:]}"
            )
        holder = devices.holder_of(device)
        waits = holder and devices.is_wanted(device)
        told(f"Waiting for {device}, used by {holder}." if waits else "Loading the model.")
        if waits:
            end = time.monotonic() + START_SECONDS
        if time.monotonic() > end:
            raise RunError(f"The model was not loaded within {START_SECONDS} s; see {log}.")
        time.sleep(POLL)


def device_of(run: Run) -> str:
    chosen = run.job.options.get("device", "auto")
    return devices.detect()[0].name if chosen == "auto" else str(chosen)
