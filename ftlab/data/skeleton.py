"""Chat templates by their skeletons: rendered once per order of roles, then filled in.

Jinja takes most of a scan's time once tokens are counted by a fast tokenizer. For rows of plain
messages nearly all templates write the same text around the contents whatever these say; so that
text is taken from a row of markers, and the contents are put between. What a template might look
at (its own markers, white space at the edges) goes the exact way, and every order of roles is
compared with the exact way at its 1st, 2nd, 4th, 8th, … row; one difference ends the short way.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
from jinja2 import nodes

from ftlab.data.chat import Layout, Span, lay_out
from ftlab.data.template import CannotRender, TemplateRunsAway, parse
from ftlab.data.tokens import Tokenizer
from ftlab.data.typed import Clean, as_row

ORDERS_KEPT = 2_000
MOST_CONTENTS = 500
"""Of a row; so long an order of roles hardly comes again."""
# A text that holds none of these can hold none of the template's own markers.
_RARE = "<>[]{}|#▁｜"
WORDS = frozenset({"system", "user", "assistant", "tool", "content", "role"})
"""What a template compares roles and keys with; messages are full of these words."""
PROBE = " Aa  &<\n'"
"""In every probe: what a template changes that makes it lower case, escapes it, or cuts it."""
SPACES = ("\n ", " \n", "\t")
"""White space around a probe, since some templates take off one kind only."""
STRIPS = ("strip", "lstrip", "rstrip")
LAST_PLANE = b"\xf4"
"""First byte of its characters in UTF-8, and of nothing else."""
Place = tuple[int, int]
"""(contents before it, characters besides them)."""


@dataclass(frozen=True, eq=False)  # two are the same where they are one object
class Skeleton:
    """A sequence without its contents."""

    literals: list[str]
    """One more than contents."""
    turns: list[tuple[str, Place, Place]]
    trained: list[tuple[Place, Place]]
    whole: bool
    keeps_space: bool = False
    """Whether white space around a content stays as it is."""

    def filled(self, contents: list[str]) -> Filled:
        """With the contents of a row between the literals."""
        parts = [""] * (2 * len(contents) + 1)
        parts[::2], parts[1::2] = self.literals, contents
        return Filled("".join(parts), self, contents)

    @cached_property
    def in_bytes(self) -> Offsets:
        """Where its spans lie, counted in bytes of UTF-8."""
        sizes = [len(letter.encode()) for letter in "".join(self.literals)]
        return self._offsets(list(accumulate(sizes, initial=0)))

    @cached_property
    def in_characters(self) -> Offsets:
        """Where its spans lie, counted in characters."""
        return self._offsets(range(sum(map(len, self.literals)) + 1))

    def _offsets(self, lengths: Sequence[int]) -> Offsets:
        """`lengths`: of the first n characters of the literals, for every n."""
        # A span may end one past its text, where EOS belongs to it.
        at = [*lengths, lengths[-1] + 1]

        def table(spans: Iterable[tuple[Place, Place]]) -> np.ndarray:
            ends = [(n, at[besides]) for span in spans for n, besides in span]
            return np.array(ends, np.int64).reshape(-1, 4).T

        turns = table((low, high) for _, low, high in self.turns)
        return Offsets(table(self.trained), turns, lengths[-1])


class Offsets(NamedTuple):
    """Of spans (4, spans): contents before the start, letters besides; the same of the end."""

    trained: np.ndarray
    turns: np.ndarray
    n_literal: int
    """Letters of all literals."""


class Filled(NamedTuple):
    """A sequence that came from a skeleton: a `Layout` whose spans are not worked out."""

    text: str
    skeleton: Skeleton
    contents: list[str]

    def layout(self) -> Layout:
        """With its spans."""
        of = self.skeleton
        before = list(accumulate(map(len, self.contents), initial=0))
        turns = [(who, (before[a] + b, before[c] + d)) for who, (a, b), (c, d) in of.turns]
        trained = [(before[a] + b, before[c] + d) for (a, b), (c, d) in of.trained]
        return Layout(self.text, turns, trained, of.whole)


class Skeletons:
    """Layouts of clean rows for one tokenizer, one setting and one moment."""

    def __init__(self, tokenizer: Tokenizer, train_on_inputs: bool | str, now: datetime) -> None:  # noqa: FBT001
        self._tokenizer, self._train_on_inputs, self._now = tokenizer, train_on_inputs, now
        self._known: dict[tuple[str, tuple[str, ...]], list[Skeleton] | None] = {}
        self._used: dict[tuple[str, tuple[str, ...]], int] = {}
        self.differed = False
        """Whether a row turned out otherwise than by the short way; those before it may be too."""
        template = tokenizer.template_for(tools=False)
        self._trusted = not _looks_inside(template or "")
        # `lay_out` itself looks for the end of a reasoning.
        self._markers = {"</think>", *(_markers(template) if template else ())}
        self._rare = [c for c in _RARE if any(c in marker for marker in self._markers)]
        self._common = [m for m in self._markers if not any(c in m for c in self._rare)]

    def layouts(self, row: Clean) -> tuple[Layout | Filled, ...]:
        """What `lay_out` gives, or what has the same text and spans. Raises CannotRender."""
        if not self._trusted or row.format in ("instruction", "general"):
            return self._exact(row)
        if "" in row.contents or self._has_marker(row.contents):
            return self._exact(row)
        key = (row.format, row.roles)
        if key not in self._known:
            if len(self._known) >= ORDERS_KEPT:
                return self._exact(row)
            self._known[key] = self._build(row)
        skeletons = self._known[key]
        if skeletons is None or (not skeletons[0].keeps_space and _has_edges(row.contents)):
            return self._exact(row)
        if len(skeletons) == 1:
            made = (skeletons[0].filled(row.contents),)
        else:
            pairs = zip(skeletons, _sequences(row), strict=True)
            made = tuple(skeleton.filled(contents) for skeleton, contents in pairs)
        used = self._used[key] = self._used.get(key, 0) + 1
        if used & (used - 1) == 0 and tuple(one.layout() for one in made) != self._exact(row):
            self._trusted, self.differed = False, True
            return self._exact(row)
        return made

    def _exact(self, row: Clean) -> tuple[Layout, ...]:
        return lay_out(as_row(row), self._tokenizer, self._train_on_inputs, now=self._now)

    def _has_marker(self, contents: list[str]) -> bool:
        """Whether a template could see something in these texts that it acts upon."""
        text = "\n".join(contents)
        # `lay_out` has no characters left to mark contents that use the last plane of Unicode.
        if not text.isascii() and LAST_PLANE in text.encode("utf-8", "surrogatepass"):
            return True
        if any(c in text for c in self._rare) and any(m in text for m in self._markers):
            return True
        return bool(self._common) and any(m in text for m in self._common)

    def _build(self, row: Clean) -> list[Skeleton] | None:
        if len(row.contents) > MOST_CONTENTS:
            return None
        marks = [f"\ue000{chr(0xE100 + i)}{PROBE}\ue001" for i in range(len(row.contents))]
        try:
            found = self._taken(row, marks)
            if None in found:
                return None
            keeps = all(self._keeps(space, row, marks, found) for space in SPACES)
        except TemplateRunsAway:
            raise  # the row itself would take as long
        except CannotRender:
            return None
        return [replace(skeleton, keeps_space=keeps) for skeleton in found]

    def _keeps(self, space: str, row: Clean, marks: list[str], found: list[Skeleton]) -> bool:
        """Whether such white space around the contents stays."""
        padded = row._replace(contents=[f"{space}{mark}{space[::-1]}" for mark in marks])
        sequences = zip(found, _sequences(padded), strict=True)
        made = [skeleton.filled(contents).layout() for skeleton, contents in sequences]
        return tuple(made) == self._exact(padded)

    def _taken(self, row: Clean, marks: list[str]) -> list[Any]:
        marked = row._replace(contents=marks)
        return [
            _taken_apart(layout, contents)
            for layout, contents in zip(self._exact(marked), _sequences(marked), strict=True)
        ]


def _has_edges(contents: list[str]) -> bool:
    return any(not text or text[0].isspace() or text[-1].isspace() for text in contents)


def _sequences(row: Clean) -> tuple[list[str], ...]:
    """The contents of each sequence that a row becomes."""
    texts = row.contents
    if row.format != "preference":
        return (texts,)
    return texts[:-1], [*texts[:-2], texts[-1]]


def _taken_apart(layout: Layout, marks: list[str]) -> Skeleton | None:
    """The literals around the marks; None when a mark is missing, doubled or out of place."""
    literals, rest, starts, position = [], layout.text, [], 0
    for mark in marks:
        if rest.count(mark) != 1:
            return None
        literal, rest = rest.split(mark)
        position += len(literal)
        starts.append(position)
        position += len(mark)
        literals.append(literal)
    literals.append(rest)
    ends = [start + len(mark) for start, mark in zip(starts, marks, strict=True)]

    def place(at: int) -> Place:
        before = sum(end <= at for end in ends)
        return before, at - sum(len(mark) for mark in marks[:before])

    def span(given: Span) -> tuple[Place, Place]:
        return place(given[0]), place(given[1])

    inside = [
        at
        for given in [*layout.trained, *(s for _, s in layout.turns)]
        for at in given
        if any(low < at < high for low, high in zip(starts, ends, strict=True))
    ]
    if inside or layout.weight != 1 or layout.lead or layout.tail:
        return None
    turns = [(who, *span(given)) for who, given in layout.turns]
    return Skeleton(literals, turns, [span(s) for s in layout.trained], layout.whole)


@lru_cache(maxsize=16)
def _markers(template: str) -> frozenset[str]:
    """Texts that a template holds and could look for in a message."""
    try:
        tree = parse(template)
    except CannotRender:
        return frozenset()
    pieces = {piece for text in _texts(tree) for piece in text.split()}
    looked_for = set[str]()
    for asked in tree.find_all((nodes.Call, nodes.Compare, nodes.Filter, nodes.Test)):
        looked_for |= _looked_for(asked)
    return frozenset({piece for piece in pieces if set(_RARE) & set(piece)} | looked_for)


def _looked_for(asked: nodes.Node) -> set[str]:
    """Texts that a call, a comparison, a filter or a test could look for in a content."""
    texts = _texts(asked) - {""}
    words = {text for text in texts if text.strip()} - WORDS
    match asked:
        case nodes.Call(node=nodes.Name(name="raise_exception")):
            return set()  # what it says is for a person
        case nodes.Call(node=nodes.Getattr(attr=name)) if name not in STRIPS:
            return texts - WORDS
        case nodes.Filter(name="replace" | "split"):
            return texts
        case nodes.Compare(ops=operands) if any(_holds(one) for one in operands):
            return texts
    return words  # white space at the edges is looked at by itself


def _holds(operand: nodes.Operand) -> bool:
    """Whether it asks for something within a content."""
    return operand.op in ("in", "notin") and _of_content(operand.expr)


def _texts(node: nodes.Node) -> set[str]:
    return {c.value for c in node.find_all(nodes.Const) if isinstance(c.value, str)}


CASES = {"lower", "upper"}
"""Tests that look at every letter."""
INSIDE = {
    *("length", "count", "wordcount", "truncate", "first", "last", "reverse", "batch"),
    *("int", "float"),
}
"""Filters whose result says something of a text besides what it is."""
METHODS = {"isdigit", "isnumeric", "isalpha", "isupper", "islower", "splitlines", "find", "count"}
NEIGHBOURS = {"previtem", "nextitem"}


@lru_cache(maxsize=16)
def _looks_inside(template: str) -> bool:
    """Whether a template acts on the length or the letters of a content, or compares contents: no
    row of markers shows what it does with another text."""
    try:
        tree = parse(template)
    except CannotRender:
        return False
    attributes = {node.attr for node in tree.find_all(nodes.Getattr)}
    if attributes & (METHODS | NEIGHBOURS):
        return True
    if any(node.name in INSIDE and _of_content(node) for node in tree.find_all(nodes.Filter)):
        return True
    if any(node.name in CASES and _of_content(node) for node in tree.find_all(nodes.Test)):
        return True
    if any(_compares_contents(node) for node in tree.find_all(nodes.Compare)):
        return True
    return any(
        isinstance(node.arg, nodes.Slice) or isinstance(getattr(node.arg, "value", None), int)
        for node in tree.find_all(nodes.Getitem)
        if not isinstance(node.node, nodes.Call) and _of_content(node.node)
    )


def _compares_contents(node: nodes.Compare) -> bool:
    return _of_content(node.expr) and any(_of_content(operand.expr) for operand in node.ops)


def _of_content(node: nodes.Node) -> bool:
    """Whether an expression is made from a message's content."""
    inner = [node, *node.find_all((nodes.Getattr, nodes.Getitem, nodes.Name))]
    return any(
        getattr(one, "attr", None) == "content"
        or getattr(getattr(one, "arg", None), "value", None) == "content"
        or getattr(one, "name", None) in ("content", "text")
        for one in inner
    )
