"""The Try panel: two chats side by side, stopped, voted on without knowing whose they are."""

from __future__ import annotations

import json
import shutil
import threading
import time
from pathlib import Path

import pytest

from ftlab.about import change_about
from ftlab.answers.rows import question_of
from ftlab.data.rows import Rows, split
from ftlab.events import Status
from ftlab.job import Job
from ftlab.runs import Run
from ftlab.spec import JobSpec
from ftlab.ui.pump import PUMP
from ftlab.ui.state import State
from ftlab.ui.try_panel import TryPanel
from ftlab.ui.try_rows import ValidationRows
from ftlab.votes import read_votes
from tests.infer.worlds import answering, finished_run, save_adapter, slowly, until
from tests.small import chat_rows, preference_rows, write_rows
from tests.ui.test_state import make_run

LOOKUP = {"type": "function", "function": {"name": "look_up", "arguments": {"order": 7}}}


# --- without a model -------------------------------------------------------------------------


def test_what_is_missing_is_said(state, tmp_path):
    panel = TryPanel(state)
    assert "no run yet" in panel.reason.value
    run = make_run(tmp_path / "runs", Status(status="running"))
    state.find_run()
    assert "has kept nothing yet" in panel.reason.value
    run.adapter.mkdir()
    state.beat += 1
    assert "Type a prompt" in panel.reason.value
    panel.prompt.value = "Hello"
    assert panel.reason.value == ""
    assert not panel.ask.disabled
    assert panel.stop.disabled


def test_the_tuned_side_says_of_which_run_it_is(state, tmp_path):
    run = make_run(tmp_path / "runs", Status(status="completed"))
    run.adapter.mkdir()
    state.find_run()
    left, right = (column.head for column in TryPanel(state).columns)
    assert (left.value, right.value) == ("<h4>base</h4>", f"<h4>{run.id} · tuned</h4>")
    change_about(run.about_file, name="<Orders>")
    state.beat += 1
    assert right.value == "<h4>&lt;Orders&gt; · tuned</h4>"


def test_the_next_validation_row_becomes_the_prompt(state, tmp_path):
    panel = TryPanel(state)
    spec = JobSpec(model="m", validation_file=str(write_rows(tmp_path / "v.jsonl", chat_rows(2))))
    Run.create(Job(spec=spec, provider="local"), tmp_path / "runs")
    state.find_run()
    for place in (0, 1, 0):
        panel.next_row.click()
        until(lambda place=place: panel.prompt.value == f"Where is order {place}?")
        assert f"row {place + 1} of 2" in panel.reference.value


def test_rows_that_were_held_back_are_offered_as_prompts(state, files):
    spec = JobSpec(**files, validation_split=0.3)
    run = Run.create(Job(spec=spec, provider="local"), state.folder.folder)
    state.refresh_runs()
    state.select(run.id)
    panel = TryPanel(state)
    panel.next_row.click()
    rows = Rows(Path(files["training_file"]))
    held_back = [rows[i]["messages"][-2]["content"] for i in split(rows, 0.3)[1]]
    until(lambda: panel.prompt.value == held_back[0])


def test_rows_of_a_run_that_is_shown_no_more_are_not_taken(state, tmp_path):
    files = [write_rows(tmp_path / f"{n}.jsonl", chat_rows(1, start=n)) for n in (1, 2)]
    specs = [JobSpec(model="m", validation_file=str(file)) for file in files]
    jobs = [Job(spec=spec, provider="local") for spec in specs]
    runs = [Run.create(job, tmp_path / "runs") for job in jobs]
    rows, found, seen = ValidationRows(state), [], threading.Event()
    PUMP.post(seen.wait, state.tell)  # so that what is read comes after another run is shown
    for run in runs:
        state.select(run.id)
        rows.next(lambda question, _: found.append(question.prompt))
    seen.set()
    until(lambda: found)
    drained = threading.Event()
    PUMP.post(drained.set, state.tell)
    assert drained.wait(60)
    assert found == ["Where is order 2?"]


LONG_ROW = {
    "messages": [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "Where is order 7?"},
        {"role": "assistant", "content": None, "tool_calls": [LOOKUP]},
        {"role": "tool", "content": "Oslo"},
        {"role": "assistant", "content": "In Oslo."},
        {"role": "user", "content": "And 8?"},
        {"role": "assistant", "tool_calls": [LOOKUP]},
    ],
    "tools": json.dumps([LOOKUP]),
}


@pytest.mark.parametrize(
    ("row", "prompt", "reference", "n_before"),
    [
        (chat_rows(1)[0], "Where is order 0?", "Order 0 left our house on Monday.", 0),
        (preference_rows(1)[0], "Where is order 0?", "Order 0 left us on Monday.", 0),
        ({"prompt": "2 + 2 =", "completion": " 4"}, "2 + 2 =", " 4", 0),
        (LONG_ROW, "And 8?", json.dumps(LOOKUP["function"]), 4),
        ({"messages": LONG_ROW["messages"][:5]}, "", "In Oslo.", 3),
    ],
)
def test_a_row_is_taken_whole(row, prompt, reference, n_before):
    found = question_of(row)
    assert (found.prompt, found.reference, len(found.history)) == (prompt, reference, n_before)
    if row is LONG_ROW:
        assert (found.system, found.tools) == ("Be short.", [LOOKUP])


@pytest.mark.parametrize(
    "row", [{"text": "once"}, {"messages": [{"role": "user", "content": "hm"}]}, {"messages": []}]
)
def test_a_row_without_an_answer_asks_nothing(row):
    assert question_of(row) is None


def test_what_is_typed_comes_back_in_another_kernel(state, tmp_path):
    panel = TryPanel(state)
    panel.prompt.value, panel.settings.temperature.value = "Where <b>?", 0.7
    panel.context.system.value = "Be short."
    again = TryPanel(State(tmp_path / "runs"))
    assert again.prompt.value == "Where <b>?"
    assert again.settings.sampling["temperature"] == 0.7
    assert again.context.system.value == "Be short."
    for damaged in (
        '{"prompt": 3, "seed": "x", "top_p": null}',
        '{"seed": NaN, "top_p": Infinity}',
    ):
        (tmp_path / "runs" / "try.json").write_text(damaged)
        assert TryPanel(State(tmp_path / "runs")).settings.sampling == again.settings.sampling | {
            "temperature": 0.0
        }


def test_tools_that_are_none_are_said(state, tmp_path):
    panel = TryPanel(state)
    make_run(tmp_path / "runs", Status(status="completed")).adapter.mkdir()
    state.find_run()
    panel.prompt.value = "Hello"
    for text in ("{", "{}", "[1]"):
        panel.context.tools.value = text
        panel.ask.click()
        assert "list of objects" in state.message[1]
        assert panel.prompt.value == "Hello"


# --- with one --------------------------------------------------------------------------------

asking = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::FutureWarning")]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("try")
    rows = [{"messages": [{"role": "user", "content": "A"}, {"role": "assistant", "content": "B"}]}]
    file = write_rows(folder / "v.jsonl", rows)
    return finished_run(folder, validation_file=str(file))


@pytest.fixture(scope="module")
def process(run):
    with answering(run) as server:
        yield server


@pytest.fixture
def panel(run, process):
    run.votes_file.unlink(missing_ok=True)
    (run.path.parent / "try.json").unlink(missing_ok=True)
    state = State(run.path.parent)
    state.find_run()
    panel = TryPanel(state)
    panel.settings.max_tokens.value = 12
    return panel


@pytest.fixture
def other(run, panel):
    """Another run of the same model, beside the one that is shown."""
    job = Job(spec=run.job.spec, provider="local", options=run.job.options,
              data_format="conversation")  # fmt: skip
    found = Run.create(job, run.path.parent)
    save_adapter(Path(run.job.spec.model), found.adapter, seed=7)
    found.say("completed")
    panel.state.look()
    yield found
    shutil.rmtree(found.path)


def ask(panel, prompt):
    panel.prompt.value = prompt
    panel.ask.click()
    until(lambda: not panel.is_busy)


class TestAsking:
    pytestmark = asking

    def test_both_answer_and_each_goes_on_with_its_own_chat(self, run, panel):
        ask(panel, "Where is <b>?")
        first = run.ask("Where is <b>?", max_tokens=12)
        left, right = panel.columns
        assert [one.turns[-1]["content"] for one in (left, right)] == [first.base, first.tuned]
        assert "&lt;b&gt;" in left.turns_view.value
        assert "ft-base" in left._dom_classes
        assert panel.prompt.value == ""
        ask(panel, "And 8?")
        chat = [*left.turns[:-1]]
        assert [turn["role"] for turn in chat] == ["user", "assistant", "user"]
        assert left.turns[-1]["content"] == run.ask(chat, max_tokens=12).base
        assert right.turns[-1]["content"] == run.ask(right.turns[:-1], max_tokens=12).tuned
        panel.new_chat.click()
        assert left.turns_view.value == ""
        assert panel.prompt.value == "And 8?"

    def test_a_system_prompt_stands_before_the_chat(self, run, panel):
        panel.context.system.value = "Be short."
        ask(panel, "Hello")
        expected = run.ask("Hello", system="Be short.", max_tokens=12)
        assert panel.columns[1].turns[-1]["content"] == expected.tuned

    def test_a_checkpoint_is_chosen_from_the_list(self, run, panel):
        titles = {title for title, _ in panel.sides.right.options}
        assert titles == {"base", "tuned", "step 2"}
        panel.sides.left.value, panel.sides.right.value = run.id, f"{run.id}:2"
        ask(panel, "Hello")
        expected = [run.ask("Hello", step=step, max_tokens=12).tuned for step in (None, 2)]
        assert [one.turns[-1]["content"] for one in panel.columns] == expected

    def test_a_stop_keeps_what_has_come(self, panel, process):
        panel.settings.max_tokens.value = 400
        with slowly(process.answerer):
            panel.prompt.value = "Hello"
            panel.ask.click()
            until(lambda: panel.columns[0].reply.text)
            assert not panel.stop.disabled
            panel.stop.click()
            assert not panel.is_busy
            assert "Stopped" in panel.columns[0].note.value
            assert panel.columns[0].turns[-1]["role"] == "assistant"
            assert panel.columns[1].turns == []
            until(lambda: not len(process.turns))

    def test_a_page_is_not_told_of_each_token(self, panel):
        panel.settings.max_tokens.value = 300
        panel.settings.temperature.value = 3.0
        seen = []
        panel.columns[0].live.observe(lambda change: seen.append(change.new), "value")
        began = time.monotonic()
        ask(panel, "Hello")
        assert len(seen) <= 13 * (time.monotonic() - began) + 6

    def test_what_goes_wrong_is_said_and_the_prompt_comes_back(self, panel):
        ask(panel, "order " * 900)
        assert all("takes 512" in column.note.value for column in panel.columns)
        assert panel.prompt.value.startswith("order order")
        ask(panel, "Hello")
        assert len(panel.columns[0].turns) == 2

    def test_a_row_brings_its_answer_for_comparison(self, panel):
        panel.next_row.click()
        until(lambda: panel.prompt.value == "A")
        ask(panel, "A")
        assert "reference" in panel.reference.value
        assert ">B<" in panel.reference.value

    def test_votes_are_blind_until_they_are_given_and_counted_after(self, run, panel):
        panel.blind.value = True
        choices = ("left", "right", "tie", "bad", "left")
        won = []
        for number, choice in enumerate(choices):
            panel.prompt.value = f"Order {number}?"
            panel.ask.click()
            assert panel.votes.buttons[choice].disabled
            until(lambda: not panel.is_busy)
            for column, name in zip(panel.columns, "AB", strict=True):
                assert column.head.value == f"<h4>{name}</h4>"
                assert not {"ft-base", "ft-tuned"} & set(column._dom_classes)
            panel.votes.buttons[choice].click()
            titles = [column.head.value for column in panel.columns]
            known = sorted(t.partition("was ")[2] for t in titles)
            assert known == sorted(["base</h4>", f"{run.id} · tuned</h4>"])
            assert panel.votes.buttons[choice].disabled
            vote = read_votes(run.votes_file)[-1]
            assert (vote.choice, vote.prompt) == (choice, f"Order {number}?")
            assert [one.side.key for one in panel.columns] == [vote.left, vote.right]
            assert tuple(vote.answers) == tuple(one.turns[-1]["content"] for one in panel.columns)
            won += [vote.winner] if vote.winner else []
        told = f"{won.count(run.id)} of 3 prompts"
        assert told in panel.votes.said.value
        assert "may still be chance" in panel.votes.said.value
        again = State(run.path.parent)
        again.find_run()
        other = TryPanel(again)
        other.blind.value = True
        assert told in other.votes.said.value

    def test_neither_pace_nor_notes_tell_who_is_who(self, panel, process):
        panel.blind.value = True
        panel.settings.max_tokens.value = 60
        with slowly(process.answerer):
            panel.prompt.value = "Hello"
            panel.ask.click()
            until(lambda: panel.columns[1].reply.text)
            assert {column.live.value for column in panel.columns} == {""}
            assert len({column.note.value for column in panel.columns}) == 1
            assert len({column.turns_view.value for column in panel.columns}) == 1
            assert "at once" in panel.reason.value
        until(lambda: not panel.is_busy)
        until(lambda: not panel.votes.buttons["tie"].disabled)
        for column in panel.columns:
            assert column.turns_view.value.count("ft-turn") == 2

    def test_a_vote_keeps_the_settings_that_its_answers_had(self, run, panel):
        panel.blind.value = True
        panel.settings.temperature.value = 0.5
        ask(panel, "Hello")
        panel.settings.temperature.value = 2.0
        panel.votes.buttons["tie"].click()
        assert read_votes(run.votes_file)[-1].sampling["temperature"] == 0.5

    def test_a_vote_that_can_not_be_written_is_said_and_can_be_given_again(self, run, panel):
        panel.blind.value = True
        ask(panel, "Hello")
        run.votes_file.mkdir()
        panel.votes.buttons["tie"].click()
        assert "Vote again" in panel.state.message[1]
        panel.state.beat += 1
        assert "be read (" in panel.votes.said.value
        assert panel.columns[0].head.value == "<h4>A</h4>"
        run.votes_file.rmdir()
        panel.votes.buttons["tie"].click()
        assert len(read_votes(run.votes_file)) == 1

    def test_two_runs_are_told_apart(self, run, panel, other):
        panel.sides.left.value, panel.sides.right.value = other.id, run.id
        ask(panel, "Hello")
        assert [column.head.value for column in panel.columns] == [
            f"<h4>{other.id} · tuned</h4>",
            f"<h4>{run.id} · tuned</h4>",
        ]
        panel.blind.value = True
        ask(panel, "Hello")
        panel.votes.buttons["left"].click()
        assert f"{other.id} · tuned" in panel.votes.said.value
        heads = sorted(column.head.value.partition("was ")[2] for column in panel.columns)
        assert heads == sorted(f"{one.id} · tuned</h4>" for one in (run, other))

    def test_another_run_that_is_shown_begins_a_new_chat(self, run, panel, other):
        ask(panel, "Hello")
        panel.state.select(other.id)
        assert [column.turns for column in panel.columns] == [[], []]
        assert panel.prompt.value == "Hello"
        panel.ask.click()
        until(lambda: not panel.is_busy)
        assert {column.side.run.id for column in panel.columns} == {other.id}
        panel.state.select(run.id)
        assert panel.sides.chosen[1].run.id == run.id

    def test_a_vote_closes_its_chat(self, panel):
        panel.blind.value = True
        ask(panel, "One?")
        ask(panel, "Two?")
        assert len(panel.columns[0].turns) == 4
        panel.votes.buttons["tie"].click()
        ask(panel, "Three?")
        assert len(panel.columns[0].turns) == 2
