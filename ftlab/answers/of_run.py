"""What of a run answers, and how it wants to be asked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ftlab import devices
from ftlab.adapter_files import CONFIG
from ftlab.data.chat import plain_text, prompt_text
from ftlab.data.template import CannotRender, Message
from ftlab.data.tokens import Tokenizer, load_tokenizer
from ftlab.errors import RunError
from ftlab.models import fetch
from ftlab.run import Run
from ftlab.spec import filled


def tuned_folder(run: Run, step: int | None = None) -> Path:
    """What a run has tuned, or had after a step, as a folder for peft (or, where all weights
    train, for transformers). Raises RunError when there is none."""
    if not run.path.is_dir():
        raise RunError(
            f"Run {run.id} is not there any more: {run.path} is gone. Only what is in a run's "
            "folder can be asked. Ask another run, or put its folder back."
        )
    if step is None:
        if not run.adapter.exists():
            raise RunError(run.why_nothing_tuned)
        return run.adapter
    place = run.checkpoint(step)
    for folder in (place, place / "adapter"):  # a service's own lies one further down
        if (folder / CONFIG).is_file() or (folder / "config.json").is_file():
            return folder
    there = ", ".join(f"{n:,}" for n in tuned_steps(run))
    if not there:
        raise RunError(
            f"Run {run.id} is {run.status} and has no checkpoint of step {step:,}, nor of any "
            "other. Leave the step out for what it tunes, once it has ended."
        )
    raise RunError(
        f"Run {run.id} has no checkpoint of step {step:,}; its folder has those of: {there}. "
        "Name one of these, or leave the step out."
    )


def tuned_steps(run: Run) -> list[int]:
    """The steps whose checkpoints can be asked, rising."""
    names = [f"{folder}{file}" for folder in ("", "adapter/") for file in (CONFIG, "config.json")]
    return [
        step
        for step in run.steps_on_disk
        if any((run.checkpoint(step) / name).is_file() for name in names)
    ]


def model_of(run: Run) -> str:
    """The base model that a run tunes; its folder, where the job asks for a revision of it or the
    run has noted the commit that it found."""
    model = filled(run.job.spec.model, "model")
    revision = run.commit or run.job.spec.hf_model_revision
    return str(fetch(model, revision)) if revision else model


def device_of(run: Run) -> str:
    """Where its models are asked: where it trains, or the best that is here."""
    chosen = run.job.options.get("device", "auto")
    return devices.detect()[0].name if chosen == "auto" else str(chosen)


def prompt_of(run: Run, messages: Sequence[Message], tools: list[Any] | None = None) -> str:
    """Messages as the text after which the model answers, in the form that the run trained on."""
    if is_chat(run):
        return prompt_text(messages, tokenizer_of(run), tools=tools)
    refuse_tools(tools)
    return plain_text(messages)


def refuse_tools(tools: list[Any] | None) -> None:
    """Raises CannotRender where there are any: plain text has no place for them."""
    if tools:
        raise CannotRender(
            "Tools are given, and the run was trained on plain rows, or its model has no chat "
            "template; tools go through a template. Take the tools out."
        )


def is_chat(run: Run) -> bool:
    """Whether prompts go through the chat template: not for a run on plain rows, and not for a
    model without one."""
    trained_on_chat = run.job.data_format not in ("instruction", "general")
    return trained_on_chat and tokenizer_of(run).template_for(tools=False) is not None


def tokenizer_of(run: Run) -> Tokenizer:
    """That of its base model."""
    return load_tokenizer(fetch(model_of(run), weights=False))
