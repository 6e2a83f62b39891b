"""A list of chat messages, and everything that can be wrong with it."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

from ftlab.data.parts import MOST_IMAGES, part_problems, read_parts, too_many_images
from ftlab.data.problems import LOCAL, NOBODY, TOGETHER, Problem, is_number
from ftlab.issues import shown

ROLES = ("system", "user", "assistant", "tool")
# What other formats call them.
FOREIGN_ROLES = {"human": "user", "gpt": "assistant", "bot": "assistant", "model": "assistant"}
FOREIGN_ROLES |= {"ai": "assistant", "function": "tool", "developer": "system"}
MESSAGE_KEYS = frozenset(
    {"role", "content", "weight", "name", "tool_calls", "tool_call_id"}
    | {"reasoning", "reasoning_content"}
)
"""Keys of a message that the hosted service or a chat template reads."""
LONGEST_ROLE = 30
"""Characters; what is longer is no misspelt role."""


def message_problems(messages: Any, path: str, *, needs_answer: bool) -> Iterator[Problem]:
    """Everything wrong with a list of chat messages; `needs_answer` where it is trained on."""
    if not isinstance(messages, list) or not messages:
        yield Problem(
            "bad_messages",
            path,
            f"{path} is {shown(messages)}; it takes a list of at least one message. "
            'Write [{"role": "user", "content": …}, {"role": "assistant", "content": …}].',
        )
        return
    for index, message in enumerate(messages):
        yield from _one_message(message, f"{path}[{index}]")
    yield from _contents_together(messages, path)
    yield from _role_order(messages, path)
    if not needs_answer:
        return
    if any(_may_be_answer(message) for message in messages):
        yield from _last_message(messages, path)
    else:
        yield Problem(
            "no_assistant",
            path,
            'No message is from "assistant"; a conversation needs at least one to train on. '
            "Add the answer or take the row out.",
        )


def _may_be_answer(message: Any) -> bool:
    """From the assistant, or from a role that is wrong and so may stand for it."""
    return isinstance(message, dict) and message.get("role") not in ("system", "user", "tool")


def output_problems(output: Any, path: str) -> Iterator[Problem]:
    """Everything wrong with one of the two outputs of a preference row."""
    if not isinstance(output, list) or len(output) != 1 or not isinstance(output[0], dict):
        yield Problem(
            "bad_output",
            path,
            f"{path} is {shown(output)}; it takes a list with exactly one assistant message. "
            'Write [{"role": "assistant", "content": …}].',
        )
        return
    message = output[0]
    role = message.get("role")
    if role != "assistant":
        yield Problem(
            "bad_role",
            f"{path}[0].role",
            f'{path}[0].role is {shown(role)}; an output is from "assistant". Use "assistant".',
            value=shown(role),
            fix="role" if cure_of_role(role) == "assistant" else "",
        )
    yield from _output_content(message, f"{path}[0]")
    yield from _unknown_keys(message, f"{path}[0]")


def _output_content(message: dict[str, Any], path: str) -> Iterator[Problem]:
    """Stricter than in a conversation: the service takes no empty value in place of a text."""
    content = message.get("content")
    if "content" not in message and "tool_calls" in message:
        if not message["tool_calls"]:
            yield _no_content(message, path)
    elif content is None and message.get("tool_calls"):
        yield Problem(
            "null_content",
            f"{path}.content",
            f"{path}.content is null; the hosted service takes text, or an output with tool_calls "
            "and no `content` at all. Take the key out.",
            blocks=TOGETHER,
            fix="content",
        )
    elif isinstance(content, (str, list)):
        yield from _given_content(message, path)
    else:
        yield _bad_content(message, path)


def _one_message(message: Any, path: str) -> Iterator[Problem]:
    if not isinstance(message, dict):
        yield Problem(
            "bad_message",
            path,
            f"{path} is {shown(message)}; a message is an object with role and content. "
            'Write {"role": "user", "content": …}.',
        )
        return
    yield from _role_problems(message, path)
    yield from _content_problems(message, path)
    if "weight" in message:
        yield from _weight_problems(message["weight"], f"{path}.weight")
    yield from _unknown_keys(message, path)


# --- roles -----------------------------------------------------------------------------------


def cure_of_role(role: Any) -> str | None:
    """The role that a wrong one surely stands for: another format's name, or a slip of a key."""
    if not isinstance(role, str) or len(role) > LONGEST_ROLE:
        return None
    name = role.strip().lower()
    close = difflib.get_close_matches(name, ROLES, n=1, cutoff=0.8)
    return FOREIGN_ROLES.get(name) or (close[0] if close else None)


def _role_problems(message: dict[str, Any], path: str) -> Iterator[Problem]:
    role = message.get("role")
    if role in ROLES:
        return
    known = ", ".join(ROLES)
    sure = cure_of_role(role)
    if "role" not in message:
        text = f"{path} has no role; it takes one of {known}. Add the role."
    else:
        cure = f'Use "{sure}".' if sure else "Correct the role."
        text = f"{path}.role is {shown(role)}; it takes one of {known}. {cure}"
    fix = "role" if sure else ""
    yield Problem("bad_role", f"{path}.role", text, value=shown(role), fix=fix)


def _role_order(messages: list[Any], path: str) -> Iterator[Problem]:
    """What the service's documentation and most chat templates ask, and no check of files does."""
    roles = [m.get("role") if isinstance(m, dict) else None for m in messages]
    first = 1 if roles[0] == "system" else 0
    if first < len(roles) and roles[first] in ("assistant", "tool"):
        yield Problem(
            "first_not_user",
            f"{path}[{first}].role",
            f'The first message that is no system prompt is from "{roles[first]}"; a conversation '
            'starts with "user". Add the question, or take the message out.',
            blocks=NOBODY,
            level="warning",
        )
    for index in range(1, len(roles)):
        before, role = roles[index - 1], roles[index]
        if role == before and role in ("system", "user", "assistant"):
            yield _same_role_twice(messages, index, path)
        elif role == "system":
            yield Problem(
                "late_system",
                f"{path}[{index}].role",
                f'{path}[{index}] is from "system"; a system prompt stands first, and many chat '
                "templates refuse it elsewhere. Move it to the front, or give it to the user.",
                blocks=NOBODY,
                level="warning",
            )
        elif role == "tool" and before in ("system", "user") and _calls_before(messages, index):
            yield Problem(
                "misplaced_tool",
                f"{path}[{index}].role",
                f'{path}[{index}] is from "tool" and follows "{before}"; a result stands right '
                "behind the assistant's turn that calls the tool. Move it there.",
                blocks=NOBODY,
                level="warning",
            )


def _calls_before(messages: list[Any], index: int) -> bool:
    """Whether there is a call that the result may belong to; a result of none is another fault."""
    return any(isinstance(m, dict) and m.get("tool_calls") for m in messages[:index])


def _same_role_twice(messages: list[Any], index: int, path: str) -> Problem:
    pair = messages[index - 1 : index + 1]
    texts = all(isinstance(m.get("content"), str) and not m.get("tool_calls") for m in pair)
    joins = texts and all(
        pair[0].get(key, default) == pair[1].get(key, default)
        for key in (pair[0].keys() | pair[1].keys()) - {"content", "reasoning", "reasoning_content"}
        for default in (1 if key == "weight" else None,)
    )
    role = pair[1]["role"]
    return Problem(
        "same_role_twice",
        f"{path}[{index}].role",
        f'Two messages in a row are from "{role}" (the second at {path}[{index}]); '
        "user and assistant should take turns. Join the two messages into one.",
        blocks=NOBODY,
        level="warning",
        value="" if joins else "not joinable",
        fix="join_turns" if joins else "",
    )


def _last_message(messages: list[Any], path: str) -> Iterator[Problem]:
    last = messages[-1]
    role = last.get("role") if isinstance(last, dict) else None
    answered = any(isinstance(m, dict) and m.get("role") == "assistant" for m in messages)
    if answered and role in ("system", "user", "tool"):
        yield Problem(
            "last_not_assistant",
            f"{path}[{len(messages) - 1}].role",
            f'The last message is from "{role}"; a row should end with "assistant", since '
            "nothing after the last answer is trained. Add the answer or cut the row there.",
            blocks=NOBODY,
            level="warning",
            fix="cut_after_answer",
        )


# --- contents --------------------------------------------------------------------------------


def _content_problems(message: dict[str, Any], path: str) -> Iterator[Problem]:
    """What the service takes for "no content" (null, 0, false) the embedded trainer can't."""
    content = message.get("content")
    calls_tools = message.get("role") == "assistant" and bool(message.get("tool_calls"))
    if content and not isinstance(content, (str, list)):
        yield _bad_content(message, path)
    elif "content" not in message:
        if message.get("role") != "assistant" or "tool_calls" not in message:
            yield _bad_content(message, path)
        elif not calls_tools:
            yield _no_content(message, path)
    elif isinstance(content, (str, list)):
        yield from _given_content(message, path)
    elif content is not None or not calls_tools:
        yield _no_content(message, path)


def _given_content(message: dict[str, Any], path: str) -> Iterator[Problem]:
    """What is wrong with a content of the right type."""
    content, role = message["content"], message.get("role")
    if isinstance(content, list):
        yield from part_problems(content, f"{path}.content", images_allowed=role == "user")
    elif role == "assistant" and not content.strip() and not message.get("tool_calls"):
        yield Problem(
            "empty_answer",
            f"{path}.content",
            f"{path}.content is empty; an answer needs text to train on. "
            "Write the answer or take the row out.",
            blocks=NOBODY,
            level="warning",
        )


def _bad_content(message: dict[str, Any], path: str) -> Problem:
    content = message.get("content")
    found = f"is {shown(content)}" if "content" in message else "is missing"
    return Problem(
        "bad_content",
        f"{path}.content",
        f"{path}.content {found}; it takes text (or, on an assistant's turn with tool_calls, "
        "nothing). Give the text.",
        value="number" if is_number(content) else "",
        fix="content" if is_number(content) else "",
    )


def _no_content(message: dict[str, Any], path: str) -> Problem:
    """Stops the embedded trainer only."""
    content = message.get("content")
    found = (
        f"{path}.content is {shown(content)}" if "content" in message else f"{path} calls no tool"
    )
    return Problem(
        "no_content",
        f"{path}.content",
        f"{found}, so the message says nothing; it takes text (or, on an assistant's turn, at "
        "least one tool call). Give the text or take the message out.",
        blocks=LOCAL,
        value="number" if is_number(content) else "",
        fix="content" if is_number(content) else "",
    )


def _contents_together(messages: list[Any], path: str) -> Iterator[Problem]:
    """What the service asks of all contents of a conversation at once."""
    n_images, kinds = 0, {}
    for index, message in enumerate(messages):
        content = message.get("content") if isinstance(message, dict) else None
        if not content or not isinstance(content, (str, list)):
            continue
        images = 0
        if isinstance(content, list):
            found = read_parts(content, "", images_allowed=True)
            images = found.n_images
            if not found.right:
                continue
        kinds.setdefault(type(content), index)
        if images and message.get("weight", 0) != 0:
            yield _weighted_image(message["weight"], f"{path}[{index}]")
        n_images += images if images <= MOST_IMAGES else 0  # else it is said of the message
    if n_images > MOST_IMAGES:
        yield too_many_images(n_images, path)
    if len(kinds) > 1:
        yield Problem(
            "mixed_contents",
            f"{path}[{max(kinds.values())}].content",
            f"Some contents of {path} are text and some are lists of parts (the first of another "
            f"kind is {path}[{max(kinds.values())}]); the hosted service takes all of one kind. "
            'Write each text as [{"type": "text", "text": …}], or all of them as plain text.',
            blocks=TOGETHER,
        )


def _weighted_image(weight: Any, path: str) -> Problem:
    return Problem(
        "weighted_image",
        f"{path}.weight",
        f"{path} holds an image and has the weight {shown(weight)}; a message with an image is "
        "never trained. Use 0 or take the weight out.",
        blocks=TOGETHER,
    )


# --- weights and keys ------------------------------------------------------------------------


def cure_of_weight(weight: Any) -> int | None:
    """The 0 or 1 that a weight of another type stands for."""
    try:
        number = float(weight) if isinstance(weight, (str, int, float)) else None
    except (ValueError, OverflowError):
        return None
    return int(number) if number in (0.0, 1.0) else None


def _weight_problems(weight: Any, path: str) -> Iterator[Problem]:
    """`true` and `false` are 1 and 0 for the service as for us, but not for everyone."""
    if isinstance(weight, bool):
        yield Problem(
            "weight_is_boolean",
            path,
            f"{path} is {str(weight).lower()}; a message's weight is 0 (not trained) or 1. It "
            f"counts as {int(weight)}; write that.",
            blocks=NOBODY,
            level="tip",
            fix="weight",
        )
    elif not isinstance(weight, int) or weight not in (0, 1):
        sure = cure_of_weight(weight)
        yield Problem(
            "bad_weight",
            path,
            f"{path} is {shown(weight)}; a message's weight is 0 (not trained) "
            "or 1. Use 0 or 1; a weight for the whole row goes beside `messages`.",
            value="" if sure is None else "another type",
            fix="" if sure is None else "weight",
        )


def _unknown_keys(message: dict[str, Any], path: str) -> Iterator[Problem]:
    for key in message:
        if key in MESSAGE_KEYS:
            continue
        close = difflib.get_close_matches(key[:LONGEST_ROLE], MESSAGE_KEYS, n=1, cutoff=0.75)
        advice = f"It may stand for `{close[0]}`." if close else "Take it out if nothing needs it."
        if key == "function_call":
            advice = "Write the call as one of `tool_calls`."
        yield Problem(
            "unknown_key",
            f"{path}.{key}",
            f"{path} has the key {shown(key)}; a message takes {', '.join(sorted(MESSAGE_KEYS))}, "
            f"and what else it holds is passed over. {advice}",
            blocks=NOBODY,
            level="tip",
            value=shown(key),
        )
