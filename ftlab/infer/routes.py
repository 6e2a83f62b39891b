"""What the process can be asked: path → a function of the models and the request's JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ftlab.data.chat import prompt_text

if TYPE_CHECKING:
    from ftlab.generation import Answer
    from ftlab.infer.answer import Answerer

MAX_TOKENS = 256

Asked = dict[str, Any]
Route = Callable[["Answerer", Asked], dict[str, Any]]


def completions(answerer: Answerer, asked: Asked) -> dict[str, Any]:
    """Answers to texts that are rendered already."""
    prompt = asked["prompt"]
    answers = _answers(answerer, asked, [prompt] if isinstance(prompt, str) else prompt)
    return _body(asked, answers, [{"text": answer.text} for answer in answers])


def chat_completions(answerer: Answerer, asked: Asked) -> dict[str, Any]:
    """The answer to a conversation, by the model's own chat template."""
    answers = _answers(answerer, asked, [prompt_text(asked["messages"], answerer.tokenizer)])
    texts = [{"message": {"role": "assistant", "content": answer.text}} for answer in answers]
    return _body(asked, answers, texts)


def losses(answerer: Answerer, asked: Asked) -> dict[str, Any]:
    """Of rows that are tokens already."""
    from ftlab.infer.losses import losses as found  # loads torch, which the lease comes before

    return found(answerer, asked)


ROUTES: dict[str, Route] = {
    "/v1/completions": completions,
    "/v1/chat/completions": chat_completions,
    "/v1/losses": losses,
}


def _answers(answerer: Answerer, asked: Asked, prompts: list[str]) -> list[Answer]:
    return answerer.answer(
        prompts,
        asked["model"],
        max_tokens=int(asked.get("max_tokens", MAX_TOKENS)),
        temperature=float(asked.get("temperature", 0)),
        seed=int(asked.get("seed", 0)),
        add_special_tokens=bool(asked.get("add_special_tokens", False)),
    )


def _body(asked: Asked, answers: list[Answer], texts: list[dict[str, Any]]) -> dict[str, Any]:
    choices = [
        {"index": index, "finish_reason": answer.finish_reason, **text}
        for index, (answer, text) in enumerate(zip(answers, texts, strict=True))
    ]
    used = sum(answer.n_tokens for answer in answers)
    return {"model": asked["model"], "choices": choices, "usage": {"completion_tokens": used}}
