"""Data sets of the Hugging Face hub by id, read as a stream, and how to read those that are known.

A mapping here says which columns hold what; shapes of their own (calls beside a question, trees
of messages) have a reader.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ftlab.data.foreign import CannotConvert, ColumnMapping
from ftlab.data.problems import Row
from ftlab.data.readers import Alpaca, Reader, ShareGPT
from ftlab.data.tables import pruned
from ftlab.data.turns import ROLE_OF, Turns, as_text, in_json, say, tools_of, unfit
from ftlab.errors import MissingExtra, UnreadableData

SECONDS = 5
"""That each attempt to reach the hub may take."""
# Python's names for types, as xLAM writes them, and JSON Schema's.
TYPES = {
    **dict.fromkeys(("str", "string", "text"), "string"),
    **dict.fromkeys(("int", "integer"), "integer"),
    **dict.fromkeys(("float", "number"), "number"),
    **dict.fromkeys(("bool", "boolean"), "boolean"),
    **dict.fromkeys(("list", "array", "tuple", "set"), "array"),
    **dict.fromkeys(("dict", "object"), "object"),
}


class FunctionCalling(Reader):
    """xLAM's {"query", "tools", "answers"}: the tools and the calls are JSON in text."""

    name = "xLAM"

    def matches(self, row: Row) -> bool:
        return {"query", "tools", "answers"} <= row.keys()

    def convert(self, row: Row) -> dict[str, Any]:
        turns = Turns()
        turns.messages.append(say("user", row.get("query"), "query"))
        turns.call(row.get("answers"), "answers")
        tools = in_json(row.get("tools"), "tools")
        if not isinstance(tools, list):
            raise unfit("tools", tools, "a list of functions")
        return {"messages": turns.messages, "tools": tools_of([*map(_with_schema, tools)])}


def _with_schema(tool: Any) -> Any:
    """A function whose parameters are a JSON Schema, from {name: {"type": "str, optional"}}."""
    given = tool.get("parameters") if isinstance(tool, dict) else None
    if not isinstance(given, dict) or given.get("type") == "object":
        return tool
    needed = [name for name, about in given.items() if _is_required(about)]
    properties = {name: _property(about) for name, about in given.items()}
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    return {**tool, "parameters": schema | ({"required": needed} if needed else {})}


def _is_required(about: Any) -> bool:
    if not isinstance(about, dict):
        return True
    return "default" not in about and "optional" not in str(about.get("type", ""))


def _property(about: Any) -> Any:
    """`str, optional` → string; a type that JSON Schema does not have is left out."""
    if not isinstance(about, dict) or not isinstance(about.get("type"), str):
        return about if isinstance(about, dict) else {}
    base = about["type"].partition(",")[0].partition("[")[0].strip().lower()
    others = {key: value for key, value in about.items() if key != "type"}
    return {"type": TYPES[base], **others} if base in TYPES else others


class MessageTrees(Reader):
    """OpenAssistant's rows of one message each, that name their parent: one chat per tree, which
    takes the best ranked answer at each fork and ends with an answer."""

    name = "OpenAssistant"

    def matches(self, row: Row) -> bool:
        return {"message_id", "parent_id", "message_tree_id", "text", "role"} <= row.keys()

    def group(self, rows: Iterator[tuple[int, Row]]) -> Iterator[tuple[int, Row]]:
        """One row per tree; the messages of a tree stand together."""
        first, tree_id, tree = 0, None, []
        for number, row in rows:
            if tree and row.get("message_tree_id") != tree_id:
                yield first, {"tree": tree}
                tree = []
            if not tree:
                first, tree_id = number, row.get("message_tree_id")
            tree.append(row)
        if tree:
            yield first, {"tree": tree}

    def convert(self, row: Row) -> dict[str, Any]:
        replies: dict[Any, list[Row]] = defaultdict(list)
        for message in row.get("tree", [row]):
            if not message.get("deleted"):
                replies[_id(message.get("parent_id"))].append(message)
        messages: list[dict[str, Any]] = []
        seen: set[str] = set()
        following = replies[""]
        while following:
            best = min(following, key=_rank)
            messages.append(_one_message(best))
            seen.add(_id(best.get("message_id")))
            following = [
                m
                for m in replies[_id(best.get("message_id"))]
                if _id(m.get("message_id")) not in seen
            ]
        while messages and messages[-1]["role"] != "assistant":
            messages.pop()
        if not messages:
            raise CannotConvert(
                "The tree of messages has no first message with an answer; a chat needs both. "
                "Sort the rows by message_tree_id where its messages stand apart, or leave it out."
            )
        return {"messages": messages}


def _id(value: Any) -> str:
    return "" if value is None else str(value)


def _rank(message: Row) -> float:
    """0 is best; a message that was not ranked comes last."""
    rank = message.get("rank")
    return rank if isinstance(rank, (int, float)) else float("inf")


def _one_message(message: Row) -> dict[str, Any]:
    role = ROLE_OF.get(str(message.get("role")))
    if role not in ("user", "assistant"):
        raise unfit("role", message.get("role"), "prompter or assistant")
    return {"role": role, "content": as_text(message.get("text"), "text")}


class Known(NamedTuple):
    """A data set whose columns are known."""

    reader: Reader
    about: str


KNOWN: Mapping[str, Known] = {
    "medalpaca/medical_meadow_medqa": Known(
        ColumnMapping({"user": "input", "assistant": "output"}), "medical questions, 10,000 rows"
    ),
    "databricks/databricks-dolly-15k": Known(
        ColumnMapping({"user": "instruction", "context": "context", "assistant": "response"}),
        "instructions, 15,000 rows",
    ),
    "sahil2801/CodeAlpaca-20k": Known(Alpaca(), "code, 20,000 rows"),
    "tatsu-lab/alpaca": Known(Alpaca(), "instructions, 52,000 rows"),
    "Salesforce/xlam-function-calling-60k": Known(FunctionCalling(), "tool calls, 60,000 rows"),
    "OpenAssistant/oasst1": Known(MessageTrees(), "chats, 85,000 messages"),
    "Open-Orca/SlimOrca": Known(ShareGPT(), "instructions, 518,000 rows"),
    "Muennighoff/natural-instructions": Known(
        ColumnMapping({"system": "definition", "user": "inputs", "assistant": "targets"}),
        "tasks with their definitions, 800,000 rows and more",
    ),
}


class HubData(NamedTuple):
    """A data set, as `convert(data.rows, to, data.reader)` takes it."""

    rows: Any
    reader: Reader | None
    """None where the rows must show what they are."""


def is_hub_id(name: str) -> bool:
    """Whether a name that is no file may be a data set's: owner/name, without a file's suffix."""
    return re.fullmatch(r"[\w.-]+/[\w-]+(\.\d+[\w.-]*)?", name) is not None


def hub_rows(name: str) -> Iterator[Any]:
    """The training split of a data set, its rows in our formats where their reader is known.

    A row that can't be converted comes as it is. Raises what `load_hub` raises, also where the
    stream breaks off.
    """
    found = load_hub(name)
    rows = _unbroken(found.rows, name)
    if found.reader is None:
        yield from rows
        return
    for _, row in found.reader.group(enumerate(rows, start=1)):
        try:
            yield found.reader.convert(row)
        except CannotConvert:
            yield row


def _unbroken(rows: Iterable[Any], name: str) -> Iterator[Any]:
    try:
        yield from map(pruned, rows)
    except Exception as exc:  # the hub's client raises a dozen unrelated kinds
        raise _unreadable(name, "train", _reason(exc)) from exc


def load_hub(name: str, split: str = "train") -> HubData:
    """A split of a data set by its id, read as a stream.

    Raises MissingExtra without the package `datasets`, UnreadableData where it can't be reached.
    """
    try:
        import datasets
    except ImportError as exc:
        raise MissingExtra("datasets", "hub") from exc
    silence = "" if Path(name).is_dir() else _silence(name)
    if silence and not _is_kept(name):
        raise _unreadable(name, split, silence)
    try:
        rows = datasets.load_dataset(name, split=split, streaming=True)
    except Exception as exc:  # as above
        raise _unreadable(name, split, _reason(exc)) from exc
    known = KNOWN.get(name)
    return HubData(rows, known.reader if known else None)


def _silence(name: str) -> str:
    """Why the hub does not answer; empty where it does, if only to refuse.

    `datasets` would find out in six attempts and 23 seconds.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.utils import HfHubHTTPError

    try:
        HfApi().dataset_info(name, timeout=SECONDS)
    except (HfHubHTTPError, ValueError):  # an answer; or no id, which `datasets` explains
        return ""
    except Exception as exc:  # as above
        return _reason(exc)
    return ""


def _is_kept(name: str) -> bool:
    """Whether `datasets` has the data set from an earlier time, and so needs no hub."""
    from datasets.load import CachedDatasetModuleFactory

    try:
        CachedDatasetModuleFactory(name).get_module()
    except Exception:  # as above
        return False
    return True


def _reason(exc: Exception) -> str:
    return " ".join(str(exc).split())[:200].rstrip(".") or type(exc).__name__


def _unreadable(name: str, split: str, reason: str) -> UnreadableData:
    return UnreadableData(
        f"The data set {name} (split {split}) can't be read from the hub ({reason}); that needs a "
        "network, an id that exists, and access to it. Check these, or download its files and "
        "give their path."
    )
