"""Checks of one row: what its tokens train, its tool calls, its two sides."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ftlab.data.checks.registry import RowView, Text, calls_of, check, conversation
from ftlab.data.formats import Problem
from ftlab.issues import shown


@check(
    example={
        "messages": [
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "Good day", "weight": 0},
        ]
    },
    needs="tokenizer",
)
def nothing_trained(view: RowView) -> Iterator[Problem]:
    """A row none of whose tokens trains: it costs time and teaches nothing."""
    if all(t.n_trained == 0 for t in view.tokens):
        yield Problem(
            "nothing_trained",
            "",
            "No token of this row would train; a row needs at least one. Give the answer weight 1, "
            "or take the row out.",
            blocks=(),
        )


@check(
    example=conversation("Tell me a story", "Once upon a time there was a tailor. " * 4),
    needs="tokenizer",
    length=32,
)
def answer_cut(view: RowView) -> Iterator[Problem]:
    """A row longer than max_seq_length loses its end, and with it trained tokens.

    An error where nothing that trains is left; one problem per row, of the sequence that loses
    most of its answer.
    """
    if view.max_seq_length is None:
        return
    pairs = [(t.n_trained, t.cut(view.max_seq_length).n_trained) for t in view.tokens]
    losing = [(kept / had, had, kept) for had, kept in pairs if kept < had]
    if not losing:
        return
    _, had, kept = min(losing)
    longest = max(len(t.ids) for t in view.tokens)
    lost = f"{had - kept:,} of its {had:,}" if kept else f"all of its {had:,}"
    yield Problem(
        "answer_cut",
        "",
        f"The row has {longest:,} tokens; {view.max_seq_length:,} fit (max_seq_length, or "
        f"the model's context), so {lost} trained tokens are cut off. Shorten the row, raise "
        "max_seq_length as far as the model's context allows, or set over_length to drop.",
        blocks=(),
        level="warning" if kept else "error",
        value="" if kept else "whole answer",
    )


# --- tool calls ------------------------------------------------------------------------------


def _with_call(*later: dict[str, Any], arguments: Any = '{"city": "Oslo"}', **extra: Any) -> Any:
    call = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": arguments}}
    asked = {"role": "user", "content": "Where is Oslo?"}
    return {"messages": [asked, {"role": "assistant", "tool_calls": [call]}, *later], **extra}


_RESULT = {"role": "tool", "tool_call_id": "c1", "content": "North"}
_ANSWER = {"role": "assistant", "content": "In Norway."}
_TOOL_NEEDLES = ("tool",)  # the role, the key of calls and that of results


@check(
    example=_with_call({"role": "user", "content": "Well?"}, _ANSWER),
    needles=_TOOL_NEEDLES,
)
def tool_call_unanswered(view: RowView) -> Iterator[Problem]:
    """A model that sees calls without results learns to go on as if it had them."""
    turns = [turn for turn in view.turns() if turn[0].startswith(("messages", "input"))]
    for index, (path, message) in enumerate(turns):
        results = _results_after(turns[index + 1 :])
        at_end = index + 1 + len(results) == len(turns)
        answered = {_key(result.get("tool_call_id")) for result in results}
        for place, call in calls_of(message, path):
            if "id" not in call and len(results) >= len(list(calls_of(message, path))):
                continue
            if _key(call.get("id")) not in answered:
                yield _unanswered(place, call, at_end=at_end)


def _results_after(turns: list[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    """The tool messages that stand at the start of the rest of a conversation."""
    found: list[dict[str, Any]] = []
    for _, message in turns:
        if message.get("role") != "tool":
            break
        found.append(message)
    return found


def _unanswered(place: str, call: dict[str, Any], *, at_end: bool) -> Problem:
    name = shown(call.get("id"))
    if at_end:
        text = (
            f"{place} (id {name}) is the end of the row; a call is followed by a tool message with "
            "its result and an answer. Leave it so only if the model shall learn to call and stop."
        )
    else:
        text = (
            f"{place} has no result: no tool message with tool_call_id {name} follows; each call "
            "needs one before the next turn. Add the result or take the call out."
        )
    level, value = ("warning", "at the end") if at_end else ("error", "inside")
    return Problem("tool_call_unanswered", place, text, blocks=(), level=level, value=value)


@check(
    example={"messages": [{"role": "user", "content": "Where is Oslo?"}, _RESULT, _ANSWER]},
    needles=_TOOL_NEEDLES,
)
def tool_result_without_call(view: RowView) -> Iterator[Problem]:
    """A result of nothing teaches the model that tools speak unasked."""
    called: set[str] = set()
    any_call = False
    for path, message in view.turns():
        for _, call in calls_of(message, path):
            any_call = True
            called.add(_key(call.get("id")))
        given = message.get("tool_call_id")
        known = any_call if given is None else _key(given) in called
        if message.get("role") == "tool" and not known:
            yield Problem(
                "tool_result_without_call",
                path,
                f"{path} is the result of {shown(given)}, which no assistant turn before it "
                "called; a tool message answers a call by its id. Correct tool_call_id, or take "
                "the message out.",
                blocks=(),
            )


def _key(value: Any) -> str:
    """An id that can be looked up, whatever stands in its place."""
    return value if isinstance(value, str) else f"\0{value!r}"


@check(example=_with_call(_RESULT, _ANSWER, arguments="city=Oslo"), needles=("arguments",))
def tool_arguments(view: RowView) -> Iterator[Problem]:
    """Arguments that are no JSON object teach calls that no program can read."""
    for path, message in view.turns():
        for place, call in calls_of(message, path):
            made = call.get("function")
            arguments = made.get("arguments") if isinstance(made, dict) else None
            if arguments is None or isinstance(_decoded(arguments), dict):
                continue
            yield Problem(
                "tool_arguments",
                f"{place}.function.arguments",
                f"{place}.function.arguments is {shown(arguments)}; it takes a JSON object as "
                'text, such as "{\\"city\\": \\"Oslo\\"}". Correct the arguments.',
                blocks=(),
            )


def _decoded(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


@check(
    example=_with_call(
        _RESULT, _ANSWER, tools=[{"type": "function", "function": {"name": "search"}}]
    ),
    needles=("tool_calls",),
)
def tool_unknown(view: RowView) -> Iterator[Problem]:
    """A call of a tool that the row does not offer teaches the model to invent tools."""
    names = set(_offered(view.row))
    if not names:
        return
    for path, message in view.turns():
        for place, call in calls_of(message, path):
            made = call.get("function")
            name = made.get("name") if isinstance(made, dict) else None
            if isinstance(name, str) and name not in names:
                yield Problem(
                    "tool_unknown",
                    f"{place}.function.name",
                    f"{place} calls {shown(name)}; the row's tools are {_listed(names)}. Correct "
                    "the name, or add the tool.",
                    blocks=(),
                )


def _offered(row: dict[str, Any]) -> Iterator[str]:
    given = row.get("input")
    tools = row.get("tools") or (given.get("tools") if isinstance(given, dict) else None)
    for tool in tools if isinstance(tools, list) else ():
        made = tool.get("function", tool) if isinstance(tool, dict) else None
        name = made.get("name") if isinstance(made, dict) else None
        if isinstance(name, str):
            yield name


def _listed(names: set[str]) -> str:
    first = ", ".join(map(shown, sorted(names)[:5]))
    return first if len(names) <= 5 else f"{first} and {len(names) - 5:,} more"


# --- the two sides of a preference -----------------------------------------------------------


def _pair(preferred: str, other: str) -> dict[str, Any]:
    return {
        "input": {"messages": [{"role": "user", "content": "Which colour is the sky?"}]},
        "preferred_output": [{"role": "assistant", "content": preferred}],
        "non_preferred_output": [{"role": "assistant", "content": other}],
    }


@check(example=_pair("Blue.", "Blue. "), needles=("non_preferred_output",))
def equal_outputs(view: RowView) -> Iterator[Problem]:
    """Two equal answers hold no preference; their loss is a constant."""
    sides = [_side(view.row.get(k)) for k in ("preferred_output", "non_preferred_output")]
    if None not in sides and sides[0] == sides[1]:
        yield Problem(
            "equal_outputs",
            "non_preferred_output",
            "preferred_output and non_preferred_output say the same; a preference needs two "
            "different answers. Correct one of them or take the row out.",
            blocks=(),
        )


def _side(output: Any) -> str | None:
    """An output as comparable text, with white space as one space."""
    if not isinstance(output, list) or not output:
        return None
    parts = [json.dumps(_squeezed(message), sort_keys=True, default=str) for message in output]
    return "\n".join(parts)


def _squeezed(message: Any) -> Any:
    if not isinstance(message, dict):
        return message
    content = message.get("content")
    return (
        {**message, "content": " ".join(content.split())} if isinstance(content, str) else message
    )


# --- reasoning -------------------------------------------------------------------------------


@check(example=conversation("2 + 2?", "<think>Two and two. 4"), needles=("<think>",))
def think_unclosed(view: RowView) -> Iterator[Problem]:
    """A model trained on reasoning that never ends does not come to an answer."""
    for text in view.texts():
        if text.is_answer and _open_thoughts(text) > 0:
            yield Problem(
                "think_unclosed",
                text.path,
                f"{text.path} opens <think> and does not close it; reasoning ends with </think> "
                "before the answer. Close it, or take the mark out.",
                blocks=(),
                level="warning",
            )


def _open_thoughts(text: Text) -> int:
    return text.text.count("<think>") - text.text.count("</think>")
