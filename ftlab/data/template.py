"""Chat templates rendered as transformers renders them, without importing it.

The markers that show which part of the text came from which message are characters of Unicode's
private planes; they are put in before rendering, found again and taken out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

import jinja2
from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.ext import Extension
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from ftlab.data.limits import LONGEST_TEXT, TookTooLong, time_limit
from ftlab.errors import FtlabError

Message = Mapping[str, Any]
Span = tuple[int, int]
"""(start, end) in characters."""
# Names under which a message's reasoning is passed; templates read the first.
REASONING = ("reasoning_content", "thinking", "reasoning")
# Two private planes: the second is taken when a row itself holds characters of the first.
PLANES = (0xF0000, 0x100000)
PLANE_SIZE = 0xFFFE
SECONDS = 3  # that a template may take for one row
LARGEST_POWER = 64
GENERATION = 0  # slot of the template's own {% generation %} blocks; message i has slot i + 1


class CannotRender(FtlabError, ValueError):
    """A chat template can't turn these messages into text, or not into text that can be masked."""


class TemplateRunsAway(CannotRender):
    """A chat template loops, or writes without end; no row can be rendered with it."""


class Rendered(NamedTuple):
    """A conversation as text, and where its parts lie in it."""

    text: str
    generation: list[Span]
    """Of each {% generation %} block."""
    starts: dict[int, int]
    """Message index → where its content starts; only of those that were found again."""
    ends: dict[int, int]
    """Message index → where its content ends; a template that drops reasoning keeps this one."""

    def content(self, index: int) -> Span | None:
        """Where a message's content lies, where both its ends were found again."""
        found = index in self.starts and index in self.ends
        return (self.starts[index], self.ends[index]) if found else None


def render(
    template: str,
    messages: Sequence[Message],
    *,
    tools: list[Any] | None = None,
    special: Mapping[str, str],
    now: datetime,
    add_generation_prompt: bool = False,
) -> str:
    """The text that transformers' `apply_chat_template` gives. Raises CannotRender."""
    return _render(
        template, messages, tools, special, now, add_generation_prompt=add_generation_prompt
    )


def render_marked(
    template: str,
    messages: Sequence[Message],
    *,
    tools: list[Any] | None = None,
    special: Mapping[str, str],
    now: datetime,
) -> Rendered:
    """The text with the place of each message's content and of each {% generation %} block.

    Where markers would change what the template does, those of the contents are left out, and
    in the last resort all; then nothing is found, but the text is right.
    """
    plain = render(template, messages, tools=tools, special=special, now=now)
    plane = _free_plane(messages)
    if plane is None:
        return Rendered(plain, [], {}, {})
    for marked in (_mark(messages, plane), messages):
        try:
            text = _render(template, marked, tools, special, now, plane=plane)
        except CannotRender:
            continue
        found = _unmark(text, plane)
        if found.text == plain:
            return found
    return Rendered(plain, [], {}, {})


def parse(template: str) -> nodes.Template:
    """The syntax tree of a template. Raises CannotRender."""
    try:
        return _environment().parse(template)
    except jinja2.TemplateSyntaxError as exc:
        raise CannotRender(
            f"The model's chat template can't be read ({exc}); it must be a Jinja template. "
            "Correct it or choose another model."
        ) from exc


def has_generation_tags(template: str) -> bool:
    """Whether the template itself says which part the model writes."""
    return re.search(r"{%[-+]?\s*generation\b", template) is not None


def _render(
    template: str,
    messages: Sequence[Message],
    tools: list[Any] | None,
    special: Mapping[str, str],
    now: datetime,
    *,
    add_generation_prompt: bool = False,
    plane: int | None = None,
) -> str:
    try:
        with time_limit(SECONDS):
            return _compiled(template).render(
                **{
                    "messages": [_as_transformers_passes_it(m) for m in messages],
                    "tools": tools,
                    "documents": None,
                    "add_generation_prompt": add_generation_prompt,
                    "strftime_now": now.strftime,
                    MARK_PLANE: plane,
                    **special,
                }
            )
    except (TookTooLong, MemoryError) as exc:
        raise TemplateRunsAway(
            f"The model's chat template did not come to an end (stopped after {SECONDS} s, or for "
            "its memory); a row takes a thousandth of a second. Correct the template or choose "
            "another model."
        ) from exc
    except Exception as exc:  # a template is a program: anything can come out of it
        reason = str(exc) or type(exc).__name__
        raise CannotRender(
            f"The model's chat template refused the row: {reason.splitlines()[0]}. "
            "It takes only conversations in the order it was written for. "
            "Change the row or choose another model."
        ) from exc


def _as_transformers_passes_it(message: Message) -> dict[str, Any]:
    """Without empty keys, text parts joined, reasoning under both names that templates read."""
    kept = {key: value for key, value in message.items() if value is not None}
    if isinstance(kept.get("content"), list):
        kept["content"] = joined_text(kept["content"])
    reasoning = next((kept[key] for key in REASONING if key in kept), None)
    if reasoning is not None:
        kept = {"thinking": reasoning, **kept, "reasoning_content": reasoning}
    return kept


def joined_text(parts: Any) -> Any:
    """The text of content parts; anything but a list of text parts comes back as it is."""
    if isinstance(parts, list) and all(
        isinstance(p, dict) and isinstance(p.get("text"), str) for p in parts
    ):
        return "".join(part["text"] for part in parts)
    return parts


def _mark(messages: Sequence[Message], plane: int) -> list[Message]:
    """The messages with a start and an end character around each text content.

    Outer white space stays outside, so that a template which strips still strips it.
    """
    marked: list[Message] = []
    for index, message in enumerate(messages):
        content = joined_text(message.get("content"))
        if isinstance(content, str):
            core = content.strip()
            at = content.find(core)
            start, end = _characters(plane, index + 1)
            content = content[:at] + start + core + end + content[at + len(core) :]
            message = {**message, "content": content}
        marked.append(message)
    return marked


def _unmark(text: str, plane: int) -> Rendered:
    pieces: list[str] = []
    places: dict[int, list[int]] = {}
    position = 0
    for piece in re.split(f"([{chr(plane)}-{chr(plane + PLANE_SIZE)}])", text):
        if len(piece) == 1 and ord(piece) >= plane and ord(piece) <= plane + PLANE_SIZE:
            places.setdefault(ord(piece) - plane, []).append(position)
        else:
            pieces.append(piece)
            position += len(piece)
    generation = list(zip(places.pop(0, []), places.pop(1, []), strict=False))
    once = {code: at[0] for code, at in places.items() if len(at) == 1}
    starts = {code // 2 - 1: at for code, at in once.items() if code % 2 == 0}
    ends = {code // 2 - 1: at for code, at in once.items() if code % 2 == 1}
    return Rendered("".join(pieces), generation, starts, ends)


def _characters(plane: int, slot: int) -> tuple[str, str]:
    return chr(plane + 2 * slot), chr(plane + 2 * slot + 1)


def _free_plane(messages: Sequence[Message]) -> int | None:
    if 2 * (len(messages) + 1) > PLANE_SIZE:
        return None
    text = json.dumps(list(messages), ensure_ascii=False, default=str)
    highest = max(text, default="")
    free = [plane for plane in PLANES if highest < chr(plane)]
    return free[0] if free else None


# --- the environment -------------------------------------------------------------------------

MARK_PLANE = "ftlab_mark_plane"


class _Generation(Extension):
    """{% generation %}…{% endgeneration %}: what the model writes, put between two markers.

    Markers in the text stay right in places (inside {% set %} or a macro) where counting the
    characters written so far goes wrong.
    """

    tags = {"generation"}  # noqa: RUF012 (jinja's own interface)

    def parse(self, parser: Any) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        plane = nodes.Name(MARK_PLANE, "load")
        return nodes.CallBlock(self.call_method("_marked", [plane]), [], [], body).set_lineno(line)

    def _marked(self, plane: int | None, caller: Any) -> str:
        if plane is None:
            return caller()
        start, end = _characters(plane, GENERATION)
        return start + caller() + end


class _Dict:
    """`dict(...)` for templates, without the attributes of the real type."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)

    def fromkeys(self, *args: Any) -> dict[Any, Any]:
        return dict.fromkeys(*args)


class _Namespace(Namespace):
    """`namespace(...)` that refuses underscore names, as transformers' does."""

    # Attribute access on a namespace reads its values, so the check can't be a method.
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        for name in dict(*args, **kwargs):
            _check_namespace_name(name)
        super().__init__(*args, **kwargs)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_namespace_name(name)
        super().__setitem__(name, value)


def _check_namespace_name(name: Any) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise jinja2.exceptions.SecurityError(f"a namespace can't hold the name {name!r}")


class _Generator(CodeGenerator):
    """Lets the environment see what `~` joins, as it sees the other operators."""

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:
        self.write("environment.joined((")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")


class _Environment(ImmutableSandboxedEnvironment):
    """transformers' environment, in which no text grows past `LONGEST_TEXT` by one operation."""

    intercepted_binops = frozenset({"*", "**", "+"})
    code_generator_class = _Generator

    def joined(self, values: tuple[Any, ...]) -> str:
        """What `~` makes of its values."""
        texts = [str(value) for value in values]
        if sum(map(len, texts)) > LONGEST_TEXT:
            raise MemoryError
        return "".join(texts)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        sizes = [len(v) if isinstance(v, (str, list, tuple)) else None for v in (left, right)]
        if operator == "+":
            size = sum(n or 0 for n in sizes)
        elif operator == "*":
            number = next((v for v, n in zip((left, right), sizes, strict=True) if n is None), 0)
            size = sum(n or 0 for n in sizes) * (number if isinstance(number, int) else 0)
        else:
            size = right if isinstance(right, (int, float)) else 0
        if size > LONGEST_TEXT or (operator == "**" and size > LARGEST_POWER):
            raise MemoryError
        return super().call_binop(context, operator, left, right)


@lru_cache(maxsize=1)
def _environment() -> ImmutableSandboxedEnvironment:
    environment = _Environment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, "jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["dict"] = _Dict()
    environment.globals["namespace"] = _Namespace
    return environment


@lru_cache(maxsize=16)
def _compiled(template: str) -> jinja2.Template:
    return _environment().from_string(template)


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,  # noqa: FBT001, FBT002 (templates call it by position)
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,  # noqa: FBT001, FBT002
) -> str:
    """Jinja's own filter escapes HTML and sorts keys; chat templates need plain JSON."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )
