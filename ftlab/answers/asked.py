"""ask(): the base model and the tuned one on the same prompt, from a process of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ftlab.answers.of_run import device_of, is_chat, model_of, tuned_folder
from ftlab.answers.process import BASE, Place, Told, connected, posted
from ftlab.answers.sides import Side, say
from ftlab.data.template import Message
from ftlab.html import escaped, table
from ftlab.runs import Run, attach

if TYPE_CHECKING:
    import httpx
    from pydantic import SecretStr

BATCH = 64  # prompts at once
Heard = Callable[[str, str], None]
"""Hears the name of a side and the next piece of its answer: of an empty one an empty piece."""


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
    step: int | None = None,
    system: str = "",
    tools: list[Any] | None = None,
    told: Told = lambda _: None,
    heard: Heard = lambda _side, _piece: None,
    key: str | SecretStr | None = None,
    **sampling: Any,
) -> Comparison:
    """What base and tuned model answer, with the same sampling and the same seed.

    `prompt` is a question, or a list of messages; `step` asks the checkpoint of that step. A job
    at a service is asked there, which is billed by the tokens, with the account's `key` where that
    is in neither environment nor keyring. `sampling` are max_tokens (256), temperature (0: the most
    likely token each time), top_p (1) and seed (0). `told` hears what is being waited for, and
    `heard` the side ("base" or "tuned") and each piece of its answer. Raises RunError when the run
    has no adapter yet or the models can't be loaded.
    """
    run = run if isinstance(run, Run) else attach(run)
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
    if system:
        messages = [{"role": "system", "content": system}, *messages]
    found, tuned = dict[str, str](), Side.tuned_of(run, step)
    if not tuned.is_hosted:
        tuned_folder(run, step)  # before the base answers for nothing
    for name, side in (("base", Side.base_of(run)), ("tuned", tuned)):
        found[name] = say(
            side,
            messages,
            tools=tools,
            heard=lambda piece, name=name: heard(name, piece),
            told=told,
            key=key,
            **sampling,
        )
        if not found[name]:
            heard(name, "")
    return Comparison(str(messages[-1].get("content", "")), **found)


def answers(
    run: Run,
    prompts: Sequence[str],
    *,
    tuned: bool,
    step: int | None = None,
    told: Told = lambda _: None,
    **options: Any,
) -> list[str]:
    """Answers to texts that are rendered already, in batches; `step` is that of a checkpoint."""
    adapter = str(tuned_folder(run, step)) if tuned else BASE
    options["add_special_tokens"] = not is_chat(run)
    found: list[str] = []
    for start in range(0, len(prompts), BATCH):
        asked = {"model": adapter, "prompt": list(prompts[start : start + BATCH]), **options}
        reply = posted(model_of(run), device_of(run), "/v1/completions", asked, told)
        found += [choice["text"] for choice in reply["choices"]]
    return found


def client_of(run: Run, told: Told = lambda _: None) -> httpx.Client:
    """A client of the process that has the run's base model; starts one when there is none."""
    return connected(Place(model_of(run), device_of(run)), told)
