"""Answers by prompt and step, read from the events of a run."""

from __future__ import annotations

import os

from ftlab.events import Sample
from ftlab.job import Job
from ftlab.run import Run
from ftlab.spec import JobSpec
from ftlab.ui.samples_box import NOT_ASKED, NOT_YET, SamplesBox, answers_of, stretches
from ftlab.ui.state import State

PROMPTS = ("Where is it, my order?", "Hello\n<b>there</b>")


def new_run(folder, prompts=PROMPTS):
    spec = JobSpec(model="m", sample_prompts=prompts)
    return Run.create(Job(spec=spec, provider="local"), folder)


def answer(run, step, *texts):
    writer = run.writer()
    for prompt, text in zip(PROMPTS, texts, strict=True):
        writer.append(Sample(step=step, prompt=prompt, text=text))
    writer.close()


def test_a_run_without_prompts_says_how_to_have_some(state, tmp_path):
    box = SamplesBox(state)
    assert box.layout.display == "none"
    new_run(tmp_path / "runs", ()).say("running")
    state.find_run()
    assert box.layout.display is None
    assert NOT_ASKED in box.empty.value
    assert box.bar.layout.display == "none"


def test_the_first_and_the_newest_stand_side_by_side(state, tmp_path):
    box = SamplesBox(state)
    run = new_run(tmp_path / "runs")
    lock = run.lock()
    run.say("running")
    state.find_run()
    assert NOT_YET in box.empty.value
    answer(run, 0, "first", "<i>")
    state.tick()
    assert box.step.layout.display == "none"
    answer(run, 5, "second", "two")
    answer(run, 10, "third", "")
    state.tick()
    assert [value for _, value in box.prompt.options] == list(PROMPTS)
    assert "first" in box.view.value
    assert "third" in box.view.value
    side_by_side, _, history = box.view.value.partition("<details")
    assert "second" not in side_by_side
    assert [history.index(text) for text in ("first", "second", "third")] == sorted(
        history.index(text) for text in ("first", "second", "third")
    )
    box.prompt.value = PROMPTS[1]
    assert "&lt;i&gt;" in box.view.value
    assert "(nothing)" in box.view.value
    os.close(lock)


def test_a_chosen_step_stays_and_the_newest_is_followed(state, tmp_path):
    box = SamplesBox(state)
    run = new_run(tmp_path / "runs")
    for step in (0, 5, 10):
        answer(run, step, f"a{step}", f"b{step}")
    state.find_run()
    assert box.step.value == 10
    answer(run, 15, "a15", "b15")
    state.tick()
    assert box.step.value == 15
    box.step.value = 5
    assert "a5<" in box.view.value
    answer(run, 20, "a20", "b20")
    state.tick()
    assert box.step.value == 5
    assert "a20" not in box.view.value.partition("<details")[0]
    box.prompt.value = PROMPTS[1]
    assert "b5<" in box.view.value


def test_another_kernel_and_another_run_show_what_is_theirs(state, tmp_path):
    run = new_run(tmp_path / "runs")
    answer(run, 0, "old", "older")
    again = State(tmp_path / "runs")
    again.find_run()
    box = SamplesBox(again)
    assert "old" in box.view.value
    other = new_run(tmp_path / "runs")
    other.say("running")
    again.refresh_runs()
    again.select(other.id)
    assert box.view.layout.display == "none"
    again.select(run.id)
    assert box.view.layout.display is None
    assert "old" in box.view.value


def test_what_a_later_attempt_answers_anew_counts_once():
    first, again = (Sample(step=0, prompt="p", text=text) for text in ("a", "b"))
    later = Sample(step=7, prompt="p", text="c")
    assert answers_of([later, first, again]) == {"p": {0: "b", 7: "c"}}


def test_answers_that_stay_the_same_stand_once():
    texts = {0: "?", 5: "yes", 10: "yes", 15: "no", 20: "yes"}
    assert stretches(texts) == [([0], "?"), ([5, 10], "yes"), ([15], "no"), ([20], "yes")]
