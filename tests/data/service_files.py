"""Files as people upload them, right and wrong, for a comparison with the service's own check.

Single faults come with the rule that they break; the rest is made by chance from a seed: values
replaced, taken out and doubled in good rows, and bytes put where they do not belong.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any, NamedTuple

PIXEL = "data:image/png;base64,iVBORw0KGgo="
IMAGE_LIMIT = 13_981_036  # characters: 23 of header and 4/3 of 10 MiB, cut to a whole number
ASK, ANSWER = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Good day."}
CALL = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": "{}"}}
CALLS = {"role": "assistant", "content": None, "tool_calls": [CALL]}
TOOL = {"role": "tool", "content": "4", "tool_call_id": "c1"}


class ServiceFile(NamedTuple):
    name: str
    data: bytes


class Fault(NamedTuple):
    """A line that one rule refuses."""

    rule: str
    format: str
    line: bytes


def text(value: str = "a") -> dict[str, Any]:
    return {"type": "text", "text": value}


def image(url: Any = PIXEL) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def chat(*messages: Any, **more: Any) -> dict[str, Any]:
    return {"messages": list(messages), **more}


def asked(content: Any, **more: Any) -> dict[str, Any]:
    """A conversation whose question has that content, and whose answer is of the same kind."""
    kind = [text("b")] if isinstance(content, list) else "b"
    return chat({"role": "user", "content": content, **more}, {**ANSWER, "content": kind})


def pair(**changes: Any) -> dict[str, Any]:
    row = {
        "input": {"messages": [ASK]},
        "preferred_output": [ANSWER],
        "non_preferred_output": [{**ANSWER, "content": "What?"}],
    }
    return {**row, **changes}


GOOD: dict[str, list[dict[str, Any]]] = {
    "conversation": [
        chat(ASK, ANSWER),
        chat({"role": "system", "content": "Be short."}, ASK, ANSWER, ASK, ANSWER),
        chat(ASK, CALLS, TOOL, ANSWER, tools=[{"type": "function", "function": {"name": "find"}}]),
        chat(ASK, {"role": "assistant", "tool_calls": [CALL]}, TOOL, ANSWER),
        chat(ASK, {**ANSWER, "weight": 0}, ASK, {**ANSWER, "weight": 1}),
        chat(ASK, {**ANSWER, "weight": True}),
        chat(ASK, {**ANSWER, "reasoning": "Easy."}),
        chat(ASK, {**ANSWER, "reasoning_content": "Easy.", "name": "me", "mood": 3}),
        chat(ASK, ASK, ANSWER, ANSWER),
        chat(ANSWER, ASK),
        chat(ANSWER),
        chat(ASK, ANSWER, {"role": "system", "content": "late"}),
        chat(TOOL, ASK, ANSWER),
        chat(ASK, {**ANSWER, "content": ""}),
        chat(ASK, {**ANSWER, "content": None}),
        chat(ASK, {"role": "assistant", "tool_calls": []}),
        chat(ASK, {"role": "assistant", "tool_calls": None}),
        asked(0),
        asked(content=False),
        asked({}),
        asked(""),
        asked([]),
        asked([text()]),
        asked([image()]),
        asked(
            [text(), image(), image("data:image/jpeg;base64,AA"), image("data:image/webp;base64,")]
        ),
        asked([image()] * 10),
        asked([image()], weight=0),
        asked([image()], weight=False),
        asked([text()], weight=1),
        chat(ASK, ANSWER, tools=None),
        chat(ASK, ANSWER, tools="find"),
    ],
    "instruction": [
        {"prompt": "Where is it?", "completion": " Here."},
        {"prompt": "", "completion": ""},
        {"prompt": [text(), image()], "completion": "b"},
        {"prompt": [], "completion": [text()]},
        {"prompt": "é\ud83d", "completion": "b"},
    ],
    "general": [
        {"text": "Plain text."},
        {"text": ""},
        {"text": [text(), image()]},
        {"text": "\u2028 \x85 \x0b and \r\n too"},
        {"text": []},
    ],
    "preference": [
        pair(),
        pair(input={"messages": [ASK, ANSWER, ASK], "tools": [], "more": 1}),
        pair(input={"messages": [ASK, CALLS, TOOL]}),
        pair(preferred_output=[{"role": "assistant", "tool_calls": [CALL]}]),
        pair(preferred_output=[{"role": "assistant", "tool_calls": None}]),
        pair(preferred_output=[{**ANSWER, "content": ""}]),
        pair(preferred_output=[{**ANSWER, "content": []}]),
        pair(preferred_output=[{**ANSWER, "content": [text()], "weight": 7}]),
        pair(input={"messages": [{"role": "user", "content": [text(), image()]}]}),
        pair(input={"messages": [{"role": "tool", "content": "x"}]}),
    ],
}

ROWS: list[tuple[str, str, Any]] = [
    ("J5", "conversation", {}),
    ("J5", "conversation", {"dialogue": 1}),
    ("J5", "conversation", {"conversations": [{"from": "human", "value": "a"}]}),
    ("J5", "instruction", {"prompt": "a"}),
    ("J5", "instruction", {"instruction": "a", "input": "", "output": "b"}),
    ("J5", "preference", {"input": {"messages": [ASK]}, "preferred_output": [ANSWER]}),
    ("J6", "conversation", chat(ASK, ANSWER, id=1)),
    ("J6", "conversation", chat(ASK, ANSWER, parallel_tool_calls=True)),
    ("J6", "instruction", {"prompt": "a", "completion": "b", "tools": []}),
    ("J6", "preference", pair(tools=[])),
    ("J6", "general", {"text": "a", "id": 1}),
    ("J6", "conversation", chat(ASK, ANSWER, weight=-1)),
    ("J6", "general", {"text": "a", "weight": "1"}),
    ("J6", "general", {"text": "a", "weight": None}),
    ("J6", "general", {"text": "a", "weight": True}),
    ("J6", "general", {"text": "a", "weight": float("nan")}),
    ("J7", "general", {"text": "a", **chat(ASK, ANSWER)}),
    ("J7", "conversation", chat(ASK, ANSWER, prompt="a", completion="b")),
    ("J7", "preference", pair(text="a")),
    ("J8", "conversation", {"text": "a"}),
    ("J8", "general", chat(ASK, ANSWER)),
    ("J8", "general", {"prompt": "a", "completion": "b"}),
    ("J8", "instruction", pair()),
    *[("C1", "conversation", {"messages": value}) for value in (5, None, True, "hi", {"a": 1})],
    *[("C2", "conversation", {"messages": value}) for value in ([], "", {})],
    *[("C3", "conversation", chat(value, ANSWER)) for value in ("hi", None, 1, [])],
    ("C4", "conversation", chat({"content": "x"}, ANSWER)),
    ("C5", "conversation", chat({"role": "user"}, ANSWER)),
    ("C5", "conversation", chat({"role": "user", "tool_calls": [CALL]}, ANSWER)),
    ("C5", "conversation", chat(ASK, {"role": "assistant"})),
    ("C5", "conversation", chat(ASK, CALLS, {"role": "tool", "tool_call_id": "c1"}, ANSWER)),
    *[
        ("C6", "conversation", chat({"role": role, "content": "a"}, ANSWER))
        for role in ("bot", "User", "developer", "function", "", None, 7, ["user"], {}, True)
    ],
    *[
        ("C8", "conversation", chat(ASK, {**ANSWER, "weight": weight}))
        for weight in (2, -1, 1.0, 0.5, "1", None, [], 10**30)
    ],
    ("C8", "preference", pair(input={"messages": [{**ASK, "weight": 2}]})),
    *[("C9", "conversation", asked(value)) for value in (7, 1.5, True, {"a": 1})],
    ("C9", "conversation", chat(ASK, {**CALLS, "content": 7})),
    ("C10", "conversation", chat(ASK)),
    ("C10", "conversation", chat({"role": "system", "content": "a"}, ASK, TOOL)),
    *[
        ("M1", "conversation", asked([part]))
        for part in ({"text": "x"}, "x", None, {"type": "video"}, {"type": ["a"]}, {"type": None})
    ],
    ("M1", "general", {"text": ["a"]}),
    ("M2", "conversation", asked([{"type": "text", "text": 5}])),
    ("M2", "conversation", asked([{"type": "text"}])),
    ("M2", "instruction", {"prompt": "a", "completion": [{"type": "text", "text": None}]}),
    *[
        ("M3", "conversation", chat({"role": role, "content": [image()]}, asked([])["messages"][1]))
        for role in ("system", "assistant", "tool")
    ],
    ("M3", "instruction", {"prompt": "a", "completion": [image()]}),
    ("M3", "preference", pair(preferred_output=[{**ANSWER, "content": [image()]}])),
    ("M4", "conversation", asked([{"type": "image_url", "image_url": PIXEL}])),
    ("M4", "conversation", asked([{"type": "image_url"}])),
    *[("M4", "conversation", asked([image(url)])) for url in ("", None, 5, [])],
    ("M4", "general", {"text": [image(7)]}),
    *[
        ("M5", "conversation", asked([image(url)]))
        for url in (
            "https://example.com/a.png",
            "data:image/gif;base64,AA",
            "data:image/jpg;base64,AA",
            "data:image/png,AA",
            " " + PIXEL,
        )
    ],
    ("M7", "conversation", asked([image()] * 11)),
    ("M7", "instruction", {"prompt": [image()] * 11, "completion": "b"}),
    ("M7", "conversation", chat(*asked([image()] * 6)["messages"] * 2)),
    ("M8", "conversation", asked([image()], weight=1)),
    ("M8", "conversation", asked([image()], weight=True)),
    ("M9", "conversation", chat({"role": "user", "content": [text()]}, ANSWER)),
    ("M9", "conversation", chat({"role": "system", "content": "a"}, *asked([text()])["messages"])),
    ("M9", "preference", pair(input={"messages": [ASK, asked([text()])["messages"][0]]})),
    *[("P1", "preference", pair(input=value)) for value in ("hi", None, [], {}, {"message": []})],
    ("P2", "preference", pair(input={"messages": []})),
    ("P2", "preference", pair(input={"messages": None})),
    ("P2", "preference", pair(input={"messages": [{"role": "user"}]})),
    ("P3", "preference", pair(input={"messages": [ASK, ANSWER]})),
    *[
        ("P4", "preference", pair(preferred_output=value))
        for value in (None, [], ANSWER, "b", [ANSWER, ANSWER], ["b"], [None])
    ],
    ("P5", "preference", pair(preferred_output=[{"content": "b"}])),
    ("P5", "preference", pair(non_preferred_output=[ASK])),
    ("P6", "preference", pair(preferred_output=[{"role": "assistant"}])),
    *[
        ("P6", "preference", pair(non_preferred_output=[{**ANSWER, "content": value}]))
        for value in (None, 0, 7, False, {})
    ],
    ("P6", "preference", pair(preferred_output=[CALLS])),
    *[("I1", "general", {"text": value}) for value in (5, None, True, 0, {}, 1.5)],
    *[("I1", "instruction", {"prompt": value, "completion": "b"}) for value in (5, None, {})],
    ("I1", "instruction", {"prompt": "a", "completion": None}),
]

LINES: list[tuple[str, str, bytes]] = [
    ("F6", "general", b'{"text": "\xff"}'),
    ("F6", "general", b'{"text": "\xed\xa0\x80"}'),
    ("F6", "general", b'{"text": "\xc0\xaf"}'),
    ("F6", "general", "{}".encode("utf-16")),
    ("J1", "general", b'{"text": "a"} x'),
    ("J1", "general", b'{"text": "a"}{"text": "b"}'),
    ("J1", "general", b'\xef\xbb\xbf{"text": "a"}'),
    ("J1", "general", b'{"text": "a\x00"}'),
    ("J1", "general", b'{"text": "a\tb"}'),
    ("J1", "general", b'{"text": "\\x"}'),
    ("J1", "general", b"{'text': 'a'}"),
    ("J1", "general", b'{"text": "a",}'),
    ("J1", "general", b'{"text": "a'),
    ("J1", "general", b'{"text": True}'),
    ("J1", "general", b'{"text": "a", "n": %s}' % (b"1" * 10_000)),
    ("J1", "general", b"{" * 100_000),
    ("J1", "general", b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    ("J1", "general", b"[" * 100_000),
    ("J1", "general", b'{"text":\r"a"}'),
    ("J1", "conversation", json.dumps(chat(ASK, ANSWER), indent=1).replace("\n", "\r").encode()),
    ("J1", "general", b'{"text": "a\rb"}'),
    *[
        ("J3", "general", value)
        for value in (b"[1]", b"null", b"7", b'"a"', b"true", b"[]", b"NaN")
    ],
]


def faults() -> list[Fault]:
    """One line for each way to break each rule of a line."""
    written = [Fault(rule, kind, json.dumps(row).encode()) for rule, kind, row in ROWS]
    return written + [Fault(*line) for line in LINES]


def heavy_faults() -> list[tuple[bool, bytes]]:
    """Images of just the allowed length and of one character more: (refused, line)."""
    header = "data:image/jpeg;base64,"
    sizes = [(False, IMAGE_LIMIT), (True, IMAGE_LIMIT + 1)]
    return [
        (refused, json.dumps(asked([image(header + "A" * (size - len(header)))])).encode())
        for refused, size in sizes
    ]


def file_of(fault: Fault, draw: random.Random) -> bytes:
    """The fault in a file with good rows before and, mostly, after it."""
    good = [json.dumps(draw.choice(GOOD[fault.format])).encode() for _ in range(draw.randint(1, 4))]
    place = draw.randint(1, len(good))
    return b"\n".join([*good[:place], fault.line, *good[place:]]) + b"\n"


def good_files() -> Iterator[ServiceFile]:
    for kind, rows in GOOD.items():
        for index, row in enumerate(rows):
            yield ServiceFile(f"good-{kind}-{index}.jsonl", json.dumps(row).encode() + b"\n")


# --- by chance -------------------------------------------------------------------------------

VALUES: list[Any] = [
    *[None, True, False, 0, 1, 2, -1, 0.0, 1.0, 0.5, "", " ", "a", "0", "1", "é", "\ud83d", "\x00"],
    *[[], {}, [[]], [{}], {"a": 1}, float("nan"), float("inf"), -0.0, 10**25, "user", "assistant"],
    *["tool", "system", "bot", ["user"], text(), [text()], [image()], [text(), image()], image()],
    *[ASK, ANSWER, CALLS, TOOL, [ASK], [ANSWER], {"messages": [ASK]}, [ASK, ANSWER], [CALL], PIXEL],
]
KEYS = ["role", "content", "weight", "tools", "tool_calls", "messages", "text", "prompt", "type"]
KEYS += ["completion", "input", "preferred_output", "image_url", "url", "name", "id", "reasoning"]


def _holders(value: Any) -> Iterator[Any]:
    """All objects and lists in a value that hold something."""
    if value and isinstance(value, (dict, list)):
        yield value
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _holders(inner)


def mutated(row: dict[str, Any], draw: random.Random) -> dict[str, Any]:
    """A copy in which one to three things are otherwise."""
    row = copy.deepcopy(row)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        holders = list(_holders(row))
        if not holders:
            break
        _mutate(draw.choice(holders), draw)
    return row


def _mutate(holder: Any, draw: random.Random) -> None:
    value = copy.deepcopy(draw.choice(VALUES))
    key = draw.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
    match draw.choice(("replace", "replace", "take out", "add", "double")):
        case "replace":
            holder[key] = value
        case "take out":
            del holder[key]
        case "add" if isinstance(holder, dict):
            holder[draw.choice(KEYS)] = value
        case "double" if isinstance(holder, list):
            holder.insert(key, copy.deepcopy(holder[key]))
        case _ if isinstance(holder, list):
            holder.insert(key, value)


def mutated_file(kind: str, draw: random.Random) -> bytes:
    rows = [draw.choice(GOOD[kind]) for _ in range(draw.choice((1, 1, 2, 4)))]
    place = draw.randrange(len(rows))
    rows[place] = mutated(rows[place], draw)
    return "".join(json.dumps(r, ensure_ascii=draw.random() < 0.5) + "\n" for r in rows).encode(
        "utf-8", "surrogatepass" if draw.random() < 0.1 else "backslashreplace"
    )


NEWLINES = ["\n", "\n", "\n", "\r\n", "\r", "\n\n", "\n \t\n", "\n\r\n", "\n\u00a0\n", "\r\r\n"]
NEWLINES += ["\n\f\n", "\u2028\n", "\x1c\n", " \n\x85 ", "\u2028", "\x0b"]
MARKS = [b"\xef\xbb\xbf", b"\x00", b" ", b"\xc2\xa0", b"\xff", b"\\", b'"', b"}", b",", b"1", b"\r"]
MARKS += [b"\n", b"\xe2\x80\xa8", b"\xf0\x9f\x98\x80", b"\xc3", b"NaN", b'"text":"b",']


def scrambled_file(kind: str, draw: random.Random) -> bytes:
    """Good rows with unusual ends of lines, or with bytes put in or taken out somewhere."""
    parts = []
    for _ in range(draw.choice((1, 2, 3))):
        separators = (", ", ": ") if draw.random() < 0.5 else (",", ":")
        parts.append(json.dumps(draw.choice(GOOD[kind]), separators=separators))
        parts.append(draw.choice(NEWLINES))
    data = "".join(parts[: len(parts) - draw.choice((0, 1))]).encode()
    for _ in range(draw.choice((0, 0, 1, 1, 2))):
        place = draw.choice((0, len(data), draw.randint(0, len(data))))
        taken = draw.choice((0, 0, 0, 1, 5))
        data = data[:place] + draw.choice([b"", *MARKS]) + data[place + taken :]
    return data or b" "


def chance_files(seed: int = 3, n_mutated: int = 250, n_scrambled: int = 75) -> list[ServiceFile]:
    """So many files of each format, the same for the same seed."""
    draw = random.Random(seed)
    makers = [("mutated", mutated_file, n_mutated), ("scrambled", scrambled_file, n_scrambled)]
    return [
        ServiceFile(f"{name}-{kind}-{index}.jsonl", make(kind, draw))
        for name, make, n in makers
        for kind in GOOD
        for index in range(n)
    ]


ROW = b'{"text": "a"}\n'
WHOLE_FILES: list[tuple[str, ServiceFile]] = [
    ("F3", ServiceFile("empty.jsonl", b"")),
    *[
        ("F4", ServiceFile(name, ROW))
        for name in ("a.JSONL", "a.json", "a.txt", "a", ".jsonl", "a.jsonl.bak", "a.jsonl ")
    ],
    ("F5", ServiceFile("a.csv", b"text\na\n")),
    ("F6", ServiceFile("utf16.jsonl", ROW.decode().encode("utf-16"))),
    ("J1", ServiceFile("mark.jsonl", b"\xef\xbb\xbf" + ROW)),
    ("J1", ServiceFile("marks.jsonl", b"\xef\xbb\xbf" * 2 + ROW)),
    ("J1", ServiceFile("only-mark.jsonl", b"\xef\xbb\xbf")),
    ("J1", ServiceFile("pretty.jsonl", json.dumps({"text": "a"}, indent=1).encode())),
    ("J1", ServiceFile("pretty-array.jsonl", json.dumps([{"text": "a"}], indent=1).encode())),
    ("J3", ServiceFile("array.jsonl", b'[{"text": "a"}]')),
    *[
        ("J4", ServiceFile(f"blank-{index}.jsonl", data))
        for index, data in enumerate((b"\n", b"\n\n", b" \t\n", b"\xc2\xa0\n", b"\r\r", b"\x0c"))
    ],
]
