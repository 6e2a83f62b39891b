"""Rows of other tools become ours, word for word; what has no true form is refused and kept."""

from __future__ import annotations

import json
import sys

import datasets
import pandas as pd
import pytest

from ftlab.data import hub
from ftlab.data.foreign import (
    CannotConvert,
    ColumnMapping,
    Conversion,
    convert,
    detect_foreign,
    suggest_mapping,
)
from ftlab.data.formats import detect, row_problems
from ftlab.data.report import scan
from ftlab.errors import MissingExtra, UnreadableData
from tests.small import chat_rows, write_rows


def user(text):
    return {"role": "user", "content": text}


def bot(text, **more):
    return {"role": "assistant", "content": text, **more}


def system(text):
    return {"role": "system", "content": text}


def said(*turns):
    """ShareGPT's turns from (from, value)."""
    return [{"from": who, "value": text} for who, text in turns]


def call(number, name, arguments):
    return {
        "id": f"call_{number}",
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def pair(messages, chosen, rejected, **more):
    return {
        "input": {"messages": messages, **more},
        "preferred_output": [bot(chosen)],
        "non_preferred_output": [bot(rejected)],
    }


def lines_of(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


FIND = {
    "name": "find",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}
TOOL = {"type": "function", "function": FIND}

CASES = {
    "ShareGPT": [
        (
            {"conversations": said(("system", "S"), ("human", "Q"), ("gpt", "A")), "id": "x1"},
            {"messages": [system("S"), user("Q"), bot("A")]},
        ),
        (
            {"system": "S", "conversations": [user("Q"), bot("A")], "tools": "[]"},
            {"messages": [system("S"), user("Q"), bot("A")]},
        ),
        (
            {
                "conversations": said(("human", "Q")),
                "chosen": {"from": "gpt", "value": "good"},
                "rejected": {"from": "gpt", "value": "bad"},
            },
            pair([user("Q")], "good", "bad"),
        ),
        (
            {
                "conversations": said(
                    ("human", "Q"),
                    ("function_call", '{"name": "find", "arguments": {"city": "Ærø"}}'),
                    ("observation", '{"found": 1}'),
                    ("gpt", "One."),
                ),
                "tools": json.dumps([FIND]),
            },
            {
                "messages": [
                    user("Q"),
                    bot("", tool_calls=[call(1, "find", '{"city": "Ærø"}')]),
                    {"role": "tool", "tool_call_id": "call_1", "content": '{"found": 1}'},
                    bot("One."),
                ],
                "tools": [TOOL],
            },
        ),
        (  # two calls at once, answered in their order
            {
                "conversations": [
                    *said(("human", "Q")),
                    {
                        "from": "function_call",
                        "value": '[{"name": "a"}, {"name": "b", "arguments": "{}"}]',
                    },
                    *said(("observation", "1"), ("observation", "2"), ("gpt", "A")),
                ]
            },
            {
                "messages": [
                    user("Q"),
                    bot("", tool_calls=[call(1, "a", "{}"), call(2, "b", "{}")]),
                    {"role": "tool", "tool_call_id": "call_1", "content": "1"},
                    {"role": "tool", "tool_call_id": "call_2", "content": "2"},
                    bot("A"),
                ]
            },
        ),
    ],
    "Alpaca": [
        (
            {"instruction": "Q", "input": "<noinput>", "output": "A"},
            {"messages": [user("Q"), bot("A")]},
        ),
        (
            {"instruction": "Add.", "input": "", "output": "3"},
            {"messages": [user("Add."), bot("3")]},
        ),
        (
            {"instruction": "Add.", "input": "1 2", "output": "3", "text": "all of it"},
            {"messages": [user("Add.\n\n1 2"), bot("3")]},
        ),
        (
            {"instruction": "Q", "output": "A", "system": "S", "history": [["q", "a"]]},
            {"messages": [system("S"), user("q"), bot("a"), user("Q"), bot("A")]},
        ),
        (
            {"instruction": "Who?", "context": "C", "response": "I.", "category": "open_qa"},
            {"messages": [user("Who?\n\nC"), bot("I.")]},
        ),
        (
            {"instruction": "Q", "input": "", "chosen": "good", "rejected": "bad"},
            pair([user("Q")], "good", "bad"),
        ),
    ],
    "TRL preference": [
        ({"prompt": "Q", "chosen": "good", "rejected": "bad"}, pair([user("Q")], "good", "bad")),
        (
            {"prompt": [system("S"), user("Q")], "chosen": [bot("good")], "rejected": [bot("bad")]},
            pair([system("S"), user("Q")], "good", "bad"),
        ),
        (
            {"chosen": [user("Q"), bot("good")], "rejected": [user("Q"), bot("bad")], "score": 1},
            pair([user("Q")], "good", "bad"),
        ),
        (  # the prompt as text, and again in both answers
            {
                "prompt": "Q",
                "chosen": [user("Q"), bot("good")],
                "rejected": [user("Q"), bot("bad")],
            },
            pair([user("Q")], "good", "bad"),
        ),
        (
            {
                "prompt": [user("Q")],
                "chosen": [user("Q"), bot("g")],
                "rejected": [user("Q"), bot("b")],
            },
            pair([user("Q")], "g", "b"),
        ),
        (  # answers that are equal still leave one answer each
            {"chosen": [user("Q"), bot("same")], "rejected": [user("Q"), bot("same")]},
            pair([user("Q")], "same", "same"),
        ),
        (
            {
                "chosen": "\n\nHuman: Q1\n\nAssistant: A1\n\nHuman: Q2\n\nAssistant: good",
                "rejected": "\n\nHuman: Q1\n\nAssistant: A1\n\nHuman: Q2\n\nAssistant: bad",
            },
            pair([user("Q1"), bot("A1"), user("Q2")], "good", "bad"),
        ),
    ],
    "OpenAI functions": [
        (
            {
                "messages": [
                    {"role": "developer", "content": "S"},
                    user("Q"),
                    {
                        "role": "assistant",
                        "content": None,
                        "function_call": {"name": "find", "arguments": '{"city": "B"}'},
                    },
                    {"role": "function", "name": "find", "content": "rain"},
                    bot("Rain.", weight=1.0),
                ],
                "functions": [FIND],
            },
            {
                "messages": [
                    system("S"),
                    user("Q"),
                    bot("", tool_calls=[call(1, "find", '{"city": "B"}')]),
                    {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
                    bot("Rain.", weight=1),
                ],
                "tools": [TOOL],
            },
        )
    ],
}


@pytest.mark.parametrize(
    ("name", "row", "wanted"), [(name, *case) for name, cases in CASES.items() for case in cases]
)
def test_a_row_is_known_and_becomes_ours(name, row, wanted):
    reader = detect_foreign(row)
    assert reader is not None
    assert reader.name == name
    before = json.dumps(row)
    assert reader.convert(row) == wanted
    assert json.dumps(row) == before
    assert [problem.code for problem in row_problems(wanted) if problem.blocks] == []
    assert detect_foreign(wanted) is None


def test_the_name_of_a_function_stays_with_its_result():
    """Where a call's own id is there, the message is kept as it is."""
    tool = {"role": "tool", "tool_call_id": "z", "name": "find", "content": "rain"}
    calls = bot(
        "",
        tool_calls=[
            {"id": "z", "type": "function", "function": {"name": "find", "arguments": "{}"}}
        ],
    )
    row = {"messages": [user("Q"), calls, tool, bot("A")], "functions": []}
    assert detect_foreign(row).convert(row) == {"messages": [user("Q"), calls, tool, bot("A")]}


@pytest.mark.parametrize(
    "row",
    [
        *chat_rows(1),
        {"prompt": "a", "completion": "b"},
        {"text": "a"},
        pair([user("Q")], "a", "b"),
        {},
        {"messages": 5},
        {"messages": [5, None]},
        {"question": "a", "answer": "b"},
    ],
)
def test_our_rows_and_unknown_ones_are_not_foreign(row):
    assert detect_foreign(row) is None


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"conversations": None}, "conversations is None"),
        ({"conversations": []}, "at least one message"),
        ({"conversations": ["hi"]}, "conversations[0]"),
        ({"conversations": said(("alien", "x"))}, "conversations[0].from is 'alien'"),
        ({"conversations": said(("human", None))}, "conversations[0].value is None"),
        ({"conversations": [{"from": ["human"], "value": "x"}]}, "conversations[0].from"),
        ({"conversations": said(("observation", "x"))}, "no call before it"),
        ({"conversations": said(("function_call", "not JSON"))}, "takes JSON"),
        (
            {"conversations": said(("function_call", '{"name": "f", "arguments": "x"}'))},
            "arguments",
        ),
        ({"conversations": said(("function_call", "[]"))}, "at least one call"),
        ({"conversations": said(("human", "q")), "tools": "{"}, "tools is '{'"),
        ({"conversations": said(("human", "q")), "tools": [5]}, "tools[0] is 5"),
        (
            {"conversations": said(("human", "q")), "chosen": {"from": "gpt", "value": "a"}},
            "rejected",
        ),
        ({"conversations": [{"from": "gpt", "value": "a", "weight": 2}]}, "weight is 2"),
        ({"instruction": None, "output": "x"}, "instruction is None"),
        ({"instruction": "q", "output": None}, "output is None"),
        ({"instruction": "q", "output": "x", "history": "h"}, "history is 'h'"),
        ({"instruction": "q", "output": "x", "history": [["a"]]}, "history[0]"),
        ({"chosen": "a", "rejected": "b"}, "no prompt"),
        ({"prompt": "q", "chosen": None, "rejected": "b"}, "chosen is None"),
        ({"prompt": 5.5, "chosen": [bot("a"), bot("b")], "rejected": "b"}, "one answer"),
    ],
)
def test_what_has_no_true_form_is_refused(row, words):
    with pytest.raises(CannotConvert) as caught:
        detect_foreign(row).convert(row)
    assert words in str(caught.value)


# --- columns ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mapping", "row", "wanted"),
    [
        (
            {"prompt": "question", "completion": "n"},
            {"question": "Q", "n": 4},
            {"prompt": "Q", "completion": "4"},
        ),
        (
            {"user": "q", "assistant": "a", "system": "s"},
            {"q": "Q", "a": "A", "s": "S"},
            {"messages": [system("S"), user("Q"), bot("A")]},
        ),
        (
            {"user": "q", "assistant": "a", "system": "s", "context": "c"},
            {"q": "Q", "a": "A", "s": None, "c": "C"},
            {"messages": [user("Q\n\nC"), bot("A")]},
        ),
        ({"text": "body"}, {"body": "T", "id": 1}, {"text": "T"}),
        (
            {"user": "q", "chosen": "a", "rejected": "b"},
            {"q": "Q", "a": "g", "b": "b"},
            pair([user("Q")], "g", "b"),
        ),
        (
            {"messages": "chat"},
            {"chat": said(("human", "Q"), ("gpt", "A"))},
            {"messages": [user("Q"), bot("A")]},
        ),
    ],
)
def test_columns_become_rows(mapping, row, wanted):
    assert ColumnMapping(mapping).convert(row) == wanted
    assert detect(wanted) is not None


def test_tools_come_with_mapped_messages():
    reader = ColumnMapping({"messages": "m", "tools": "t"})
    made = reader.convert({"m": [user("Q"), bot("A")], "t": json.dumps([FIND])})
    assert made == {"messages": [user("Q"), bot("A")], "tools": [TOOL]}
    assert reader.convert({"m": [user("Q"), bot("A")]}) == {"messages": [user("Q"), bot("A")]}


@pytest.mark.parametrize(
    "mapping", [{}, {"user": "q"}, {"question": "q", "answer": "a"}, {"text": "a", "user": "b"}]
)
def test_a_mapping_that_makes_no_row_is_refused(mapping):
    with pytest.raises(UnreadableData, match="a row is made of one of these"):
        ColumnMapping(mapping)


@pytest.mark.parametrize("value", [None, ["x"], True])
def test_a_cell_that_is_no_text_is_refused(value):
    with pytest.raises(CannotConvert, match=r"\ba\b"):
        ColumnMapping({"user": "q", "assistant": "a"}).convert({"q": "Q", "a": value})


@pytest.mark.parametrize(
    ("columns", "wanted"),
    [
        ({"Question": "x", "Answer": "y", "id": 4}, {"user": "Question", "assistant": "Answer"}),
        (
            {"inputs": "x", "targets": "y", "definition": "z"},
            {"user": "inputs", "assistant": "targets", "system": "definition"},
        ),
        (
            {"prompt": "x", "completion": "y", "system": "z"},
            {"prompt": "prompt", "completion": "completion"},
        ),
        (
            {"question": "x", "chosen": "y", "rejected": "z"},
            {"user": "question", "chosen": "chosen", "rejected": "rejected"},
        ),
        (
            {"System Prompt": "s", "query": "x", "response": "y"},
            {"user": "query", "assistant": "response", "system": "System Prompt"},
        ),
        ({"content": "x", "n": 3}, {"text": "content"}),
        ({"question": 5, "answer": "y"}, None),
        ({"frage": "x", "antwort": "y"}, None),
        ({}, None),
    ],
)
def test_a_mapping_is_suggested_where_names_say_it(columns, wanted):
    assert suggest_mapping(columns) == wanted
    if wanted:
        ColumnMapping(wanted)


# --- files -----------------------------------------------------------------------------------


def test_a_file_is_converted_and_what_can_not_be_is_set_aside(tmp_path):
    good = {"conversations": said(("human", "Q"), ("gpt", "A"))}
    bad = {"conversations": said(("alien", "x"))}
    ours = {"messages": [user("q"), bot("a")], "weight": 0.5}
    lines = [json.dumps(row) for row in (good, bad, ours, {"other": 1})]
    file = tmp_path / "shared.jsonl"
    file.write_text("\n".join([lines[0], "", lines[1], "{broken", *lines[2:]]))
    done = convert(file, tmp_path / "ours.jsonl")
    assert done[:5] == (
        tmp_path / "ours.jsonl",
        2,
        tmp_path / "ours.set-aside.jsonl",
        3,
        "ShareGPT",
    )
    assert lines_of(done.path) == [{"messages": [user("Q"), bot("A")]}, ours]
    aside = lines_of(done.set_aside)
    assert [row["line"] for row in aside] == [3, 4, 6]
    assert aside[0]["row"] == bad
    assert "alien" in aside[0]["reason"]
    assert aside[1]["raw"] == "{broken"
    assert "which is no format that is known" in aside[2]["reason"]


def test_nothing_is_written_over_and_nothing_is_left_behind(tmp_path):
    row = {"instruction": "Q", "output": "A"}
    file = write_rows(tmp_path / "a.jsonl", [row, {"instruction": None, "output": "A"}])
    names = [convert(file, file)[0::2][:2] for _ in range(2)]
    assert [[path.name for path in pair] for pair in names] == [
        ["a-2.jsonl", "a.set-aside.jsonl"],
        ["a-3.jsonl", "a.set-aside-2.jsonl"],
    ]
    assert lines_of(file)[0] == row
    assert len(list(tmp_path.iterdir())) == 5


def test_a_source_without_rows_writes_nothing(tmp_path):
    file = write_rows(tmp_path / "a.jsonl", [{"other": 1}])
    done = convert(file, tmp_path / "b.jsonl")
    assert (done.path, done.n_rows, done.n_set_aside) == (None, 0, 1)
    assert not (tmp_path / "b.jsonl").exists()
    missing = convert(tmp_path / "nowhere", tmp_path / "b.jsonl")
    assert missing[:4] == (None, 0, None, 0)
    assert [problem.code for problem in missing.problems] == ["no_file"]


def test_csv_by_mapping_with_progress(tmp_path):
    text = "q,a\n" + "".join(f"Q{i},A{i}\n" for i in range(2500)) + "only one\n"
    file = tmp_path / "t.csv"
    file.write_text(text)
    told = []
    done = convert(
        file, tmp_path / "t.jsonl", {"user": "q", "assistant": "a"}, lambda *at: told.append(at)
    )
    assert (done.n_rows, done.n_set_aside) == (2500, 1)
    assert lines_of(done.path)[2] == {"messages": [user("Q2"), bot("A2")]}
    assert lines_of(done.set_aside)[0]["line"] == 2501
    assert told[-1] == (len(text), len(text))
    assert len(told) == 3


def test_any_table_is_converted(tmp_path):
    frame = pd.DataFrame({"instruction": ["Q", "R"], "input": ["", None], "output": ["A", "B"]})
    done = convert(frame, tmp_path / "t.jsonl")
    assert lines_of(done.path) == [
        {"messages": [user("Q"), bot("A")]},
        {"messages": [user("R"), bot("B")]},
    ]
    assert isinstance(done, Conversion)


def test_hostile_rows_are_set_aside(tmp_path):
    deep = '{"conversations": ' + "[" * 100_000 + "]" * 100_000 + "}"
    file = tmp_path / "h.jsonl"
    file.write_bytes(
        deep.encode() + b'\n{"text": "\xff"}\n{"instruction": "\\ud800", "output": "A"}\n'
    )
    done = convert(file, tmp_path / "o.jsonl")
    assert done.n_rows + done.n_set_aside == 3
    assert [row["line"] for row in lines_of(done.set_aside)][:2] == [1, 2]


# --- data sets of the hub ---------------------------------------------------------------------


HUB_ROWS = {
    "medalpaca/medical_meadow_medqa": (
        [
            {
                "input": "Q:Which nerve?",
                "instruction": "Answer with one option",
                "output": "E: Ulnar",
            }
        ],
        [{"messages": [user("Q:Which nerve?"), bot("E: Ulnar")]}],
    ),
    "databricks/databricks-dolly-15k": (
        [
            {
                "instruction": "When?",
                "context": "In 2000.",
                "response": "2000",
                "category": "closed_qa",
            },
            {"instruction": "Why?", "context": "", "response": "So.", "category": "open_qa"},
        ],
        [
            {"messages": [user("When?\n\nIn 2000."), bot("2000")]},
            {"messages": [user("Why?"), bot("So.")]},
        ],
    ),
    "sahil2801/CodeAlpaca-20k": (
        [{"output": "x = 1", "instruction": "Assign", "input": "1 to x"}],
        [{"messages": [user("Assign\n\n1 to x"), bot("x = 1")]}],
    ),
    "tatsu-lab/alpaca": (
        [{"instruction": "Hi", "input": "", "output": "Ho", "text": "Below is …"}],
        [{"messages": [user("Hi"), bot("Ho")]}],
    ),
    "Salesforce/xlam-function-calling-60k": (
        [
            {
                "id": 0,
                "query": "Where?",
                "answers": '[{"name": "find", "arguments": {"city": "B", "n": 3}}]',
                "tools": json.dumps(
                    [
                        {
                            "name": "find",
                            "description": "Finds.",
                            "parameters": {
                                "city": {"description": "Its name.", "type": "str"},
                                "n": {"description": "How many.", "type": "int", "default": 20},
                                "tags": {"description": "Which.", "type": "List[str], optional"},
                            },
                        }
                    ]
                ),
            }
        ],
        [
            {
                "messages": [
                    user("Where?"),
                    bot("", tool_calls=[call(1, "find", '{"city": "B", "n": 3}')]),
                ],
                "tools": [
                    {
                        "type": "function",
                        "function": {
                            "name": "find",
                            "description": "Finds.",
                            "parameters": {
                                "type": "object",
                                "properties": {
                                    "city": {"type": "string", "description": "Its name."},
                                    "n": {
                                        "type": "integer",
                                        "description": "How many.",
                                        "default": 20,
                                    },
                                    "tags": {"type": "array", "description": "Which."},
                                },
                                "required": ["city"],
                            },
                        },
                    }
                ],
            }
        ],
    ),
    "OpenAssistant/oasst1": (
        [
            {
                "message_id": i,
                "parent_id": p,
                "message_tree_id": t,
                "role": r,
                "text": x,
                "rank": k,
                "deleted": d,
            }
            for i, p, t, r, x, k, d in [
                ("1", None, "1", "prompter", "Q", None, False),
                ("2", "1", "1", "assistant", "second", 1, False),
                ("3", "1", "1", "assistant", "best", 0, False),
                ("4", "3", "1", "prompter", "And?", 0, False),
                ("5", "4", "1", "assistant", "gone", 0, True),
                ("6", "4", "1", "assistant", "That.", 1, False),
                ("7", "6", "1", "prompter", "Thanks", None, False),
                ("8", None, "8", "prompter", "R", None, False),
                ("9", "8", "8", "assistant", "S", None, False),
            ]
        ],
        [
            {"messages": [user("Q"), bot("best"), user("And?"), bot("That.")]},
            {"messages": [user("R"), bot("S")]},
        ],
    ),
    "Open-Orca/SlimOrca": (
        [
            {
                "conversations": [
                    {"from": "system", "value": "S", "weight": None},
                    {"from": "human", "value": "Q", "weight": 0.0},
                    {"from": "gpt", "value": "A", "weight": 1.0},
                ]
            }
        ],
        [{"messages": [system("S"), user("Q"), bot("A", weight=1)]}],
    ),
    "Muennighoff/natural-instructions": (
        [
            {
                "task_name": "t1",
                "id": "t1-0",
                "definition": "Sort.",
                "inputs": "b a",
                "targets": "a b",
            }
        ],
        [{"messages": [system("Sort."), user("b a"), bot("a b")]}],
    ),
}


@pytest.mark.parametrize("name", hub.KNOWN)
def test_known_data_sets_become_chats(tmp_path, name):
    rows, wanted = HUB_ROWS[name]
    data = datasets.Dataset.from_list(rows)
    done = convert(data, tmp_path / "d.jsonl", hub.KNOWN[name].reader)
    assert lines_of(done.path) == wanted
    assert done.set_aside is None
    assert not [problem for row in wanted for problem in row_problems(row) if problem.blocks]


def test_a_tree_without_its_root_is_set_aside(tmp_path):
    rows, _ = HUB_ROWS["OpenAssistant/oasst1"]
    done = convert(rows[1:], tmp_path / "d.jsonl", hub.MessageTrees())
    assert lines_of(done.path) == [{"messages": [user("R"), bot("S")]}]
    assert lines_of(done.set_aside)[0]["line"] == 1
    assert len(lines_of(done.set_aside)[0]["row"]["tree"]) == 6


def test_a_tree_that_loops_ends():
    about = {"message_tree_id": "1", "parent_id": "1", "message_id": "1", "text": "Q"}
    loop = [{**about, "parent_id": None, "role": "prompter"}, {**about, "role": "assistant"}]
    with pytest.raises(CannotConvert, match="no first message with an answer"):
        hub.MessageTrees().convert({"tree": loop})


def test_without_the_package_the_command_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtra, match="pip install"):
        hub.load_hub("tatsu-lab/alpaca")


def test_what_can_not_be_reached_is_said(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UnreadableData, match="nobody/nothing at all"):
        hub.load_hub("nobody/nothing at all")


@pytest.fixture
def no_network(monkeypatch):
    """A hub at a port where nobody listens, and nothing that says so beforehand."""
    import huggingface_hub.constants

    for module, name in ((huggingface_hub.constants, "ENDPOINT"), (datasets.config, "HF_ENDPOINT")):
        monkeypatch.setattr(module, name, "http://127.0.0.1:9")
    for module in (huggingface_hub.constants, datasets.config):
        monkeypatch.setattr(module, "HF_HUB_OFFLINE", False)


def test_without_a_network_a_data_set_is_soon_given_up(no_network, monkeypatch):
    def wait_long(*_, **__):
        raise RuntimeError("asked six times")

    monkeypatch.setattr(datasets, "load_dataset", wait_long)
    with pytest.raises(UnreadableData, match=r"nobody/nothing .*refused.*needs a network"):
        hub.load_hub("nobody/nothing")


def test_what_datasets_has_kept_is_read_without_a_network(no_network, monkeypatch, tmp_path):
    kept = tmp_path / "nobody___nothing" / "default" / "0.0.0" / "a1"
    kept.mkdir(parents=True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: [{"text": "A"}])
    assert hub.load_hub("nobody/nothing").rows == [{"text": "A"}]


def test_where_the_hub_is_not_to_be_asked_the_reason_says_so(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UnreadableData, match="offline mode is enabled"):
        hub.load_hub("nobody/nothing")


def test_columns_without_a_value_are_none_of_the_row(monkeypatch):
    turns = [{**user("Q"), "name": None}, {**bot("A"), "name": None}]
    rows = datasets.Dataset.from_list([{"messages": turns, "source": None}])
    monkeypatch.setattr(hub, "load_hub", lambda name: hub.HubData(rows, None))
    assert list(hub.hub_rows("nobody/nothing")) == [{"messages": [user("Q"), bot("A")]}]


def test_a_stream_that_breaks_off_is_an_issue(monkeypatch):
    def rows():
        yield {"text": "A"}
        raise RuntimeError("connection lost")

    monkeypatch.setattr(hub, "load_hub", lambda name: hub.HubData(rows(), None))
    (issue,) = scan("nobody/nothing").issues
    assert issue.code == "no_hub_data"
    assert "connection lost" in issue.message


def test_a_data_set_in_a_folder_is_read_as_a_stream(tmp_path):
    (tmp_path / "set").mkdir()
    write_rows(tmp_path / "set" / "train.jsonl", [{"instruction": "Q", "output": "A"}])
    data = hub.load_hub(str(tmp_path / "set"))
    assert data.reader is None
    done = convert(data.rows, tmp_path / "d.jsonl", data.reader)
    assert lines_of(done.path) == [{"messages": [user("Q"), bot("A")]}]
