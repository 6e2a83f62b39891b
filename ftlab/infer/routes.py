"""What the process can be asked: path → a function of the models and the request's JSON."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ftlab.data.chat import plain_text, prompt_text
from ftlab.errors import FtlabError
from ftlab.infer.asked import sampling_of, tools_of

if TYPE_CHECKING:
    from ftlab.generation import Answer
    from ftlab.infer.answer import Answerer

Asked = dict[str, Any]
Body = dict[str, Any]
Route = Callable[["Answerer", Asked], Body]
Send = Callable[[Body], None]
"""Sends a part of an answer."""


def completions(answerer: Answerer, asked: Asked) -> Body:
    """Answers to texts that are rendered already."""
    answers = _answers(answerer, asked, _prompts(asked), lambda *_: None)
    return _whole("text_completion", asked, answers, [{"text": one.text} for one in answers])


def chat_completions(answerer: Answerer, asked: Asked) -> Body:
    """The answer to a conversation, by the model's own chat template."""
    answers = _answers(answerer, asked, _chat(answerer, asked), lambda *_: None)
    texts = [{"message": {"role": "assistant", "content": one.text}} for one in answers]
    return _whole("chat.completion", asked, answers, texts)


def streamed_completions(answerer: Answerer, asked: Asked, send: Send) -> None:
    """The same as `completions`, piece by piece."""
    stream = _Stream("text_completion", asked, send)
    prompts = _prompts(asked)
    heard = lambda at, piece: stream.say(at, {"text": piece})  # noqa: E731
    stream.end(_answers(answerer, asked, prompts, heard), {"text": ""})


def streamed_chat(answerer: Answerer, asked: Asked, send: Send) -> None:
    """The same as `chat_completions`, piece by piece."""
    stream = _Stream("chat.completion.chunk", asked, send)
    prompts = _chat(answerer, asked)
    stream.say(0, {"delta": {"role": "assistant", "content": ""}})
    heard = lambda at, piece: stream.say(at, {"delta": {"content": piece}})  # noqa: E731
    stream.end(_answers(answerer, asked, prompts, heard), {"delta": {}})


def losses(answerer: Answerer, asked: Asked) -> dict[str, Any]:
    """Of rows that are tokens already."""
    from ftlab.infer.losses import losses as found  # loads torch, which the lease comes before

    return found(answerer, asked)


ROUTES: dict[str, Route] = {
    "/v1/completions": completions,
    "/v1/chat/completions": chat_completions,
    "/v1/losses": losses,
}
STREAMS: dict[str, Callable[[Answerer, Asked, Send], None]] = {
    "/v1/completions": streamed_completions,
    "/v1/chat/completions": streamed_chat,
}
"""Of those, what a request with `stream` gets."""


class _Stream:
    """The parts of one streamed answer, in OpenAI's form."""

    def __init__(self, kind: str, asked: Asked, send: Send) -> None:
        self._head = _head(kind, asked)
        self._send = send
        options = asked.get("stream_options")
        self._counts = isinstance(options, dict) and bool(options.get("include_usage"))

    def say(self, at: int, part: Body, reason: str | None = None) -> None:
        self._send({**self._head, "choices": [{"index": at, **part, "finish_reason": reason}]})

    def end(self, answers: Sequence[Answer], nothing: Body) -> None:
        for at, one in enumerate(answers):
            self.say(at, nothing, one.finish_reason)
        if self._counts:
            self._send({**self._head, "choices": [], "usage": _usage(answers)})


def _prompts(asked: Asked) -> list[str]:
    prompt = asked.get("prompt")
    texts = [prompt] if isinstance(prompt, str) else prompt
    if not isinstance(texts, list) or not texts or not all(isinstance(t, str) for t in texts):
        raise FtlabError("There is no prompt; it takes a text or a list of texts. Give one.")
    return texts


def _chat(answerer: Answerer, asked: Asked) -> list[str]:
    """The text of the messages; joined as plain text where that is wanted, or where the model has
    no chat template."""
    messages, tools = asked.get("messages"), tools_of(asked)
    if not (isinstance(messages, list) and messages and all(isinstance(m, dict) for m in messages)):
        raise FtlabError(
            "There are no messages; it takes a list of objects. Give them role and content."
        )
    if asked.get("plain") or answerer.tokenizer.template_for(tools=False) is None:
        asked["add_special_tokens"] = True
        return [plain_text(messages)]
    return [prompt_text(messages, answerer.tokenizer, tools=tools)]


def _answers(
    answerer: Answerer, asked: Asked, prompts: list[str], heard: Callable[[int, str], None]
) -> list[Answer]:
    return answerer.answer(
        prompts,
        str(asked["model"]),
        add_special_tokens=bool(asked.get("add_special_tokens", False)),
        heard=heard,
        **sampling_of(asked),
    )


def _whole(kind: str, asked: Asked, answers: list[Answer], texts: list[Body]) -> Body:
    choices = [
        {"index": index, "finish_reason": answer.finish_reason, **text}
        for index, (answer, text) in enumerate(zip(answers, texts, strict=True))
    ]
    return {**_head(kind, asked), "choices": choices, "usage": _usage(answers)}


def _head(kind: str, asked: Asked) -> Body:
    made = {"id": f"ftlab-{secrets.token_hex(8)}", "created": int(time.time())}
    return {**made, "object": kind, "model": asked.get("called", asked["model"])}


def _usage(answers: Sequence[Answer]) -> Body:
    read, written = sum(one.n_prompt for one in answers), sum(one.n_tokens for one in answers)
    return {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
    }
