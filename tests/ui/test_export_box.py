"""Taking away what a run has tuned, by its buttons."""

from __future__ import annotations

import json

import pytest

from ftlab.errors import RunError
from ftlab.exports.kept import Exported, keep
from ftlab.exports.proof import Proof
from ftlab.job import Job, LocalOptions
from ftlab.manifest import manifest_of
from ftlab.run import Run
from ftlab.spec import JobSpec
from ftlab.ui import export_box
from ftlab.ui.export_box import ExportBox
from ftlab.ui.state import State


@pytest.fixture
def run(tmp_path):
    spec = JobSpec(model="demo", training_file="rows.jsonl")
    job = Job(spec=spec, provider="local", options=LocalOptions().model_dump())
    run = Run.create(job, tmp_path / "runs")
    run.adapter.mkdir()
    return run


@pytest.fixture
def box(run, tmp_path):
    state = State(tmp_path / "runs")
    state.refresh_runs()
    state.select(run.id)
    box = ExportBox(state)
    box.head.value = True
    return box


def proof(**changes):
    return Proof(**{"passed": True, "kind": "merged", "dtype": "bf16", "base": "m", **changes})


def test_a_run_that_kept_nothing_has_no_box(box, run):
    run.adapter.rmdir()
    box.state.beat += 1
    assert box.layout.display == "none"


def test_it_offers_what_the_run_has(box, run):
    assert [form for _, form in box.form.options] == ["adapter", "merged", "gguf"]
    assert (box.step.options, box.step.value) == ((("the end", 0),), 0)
    run.checkpoint(3).mkdir(parents=True)
    box.state.beat += 1
    assert (box.step.options, box.step.value) == ((("the end", 0), ("3", 3)), 0)
    assert "Nothing was exported yet" in box.past.value
    assert box.cancel.layout.display == "none"


def test_exports_of_earlier_are_there_with_their_proofs(box, run):
    keep(run, Exported(place=run.exports / "merged-bf16", proof=proof(n_agreed=3, n_greedy=4)))
    keep(
        run, Exported(place=None, proof=proof(passed=False, problems=("its logits are <2> off.",)))
    )
    box.state.beat += 1
    assert "3 of 4 tokens are the same" in box.past.value
    assert "no longer there" in box.past.value
    assert "its logits are &lt;2&gt; off" in box.past.value
    assert box.past.value.index("ft-error") < box.past.value.index("ft-warning")


def test_a_place_that_holds_something_else_by_now_is_not_green(box, run):
    place = run.exports / "merged-bf16"
    place.mkdir(parents=True)
    files = {"model.safetensors": "0" * 64}
    for n_agreed in (3, 4):
        last = proof(n_agreed=n_agreed, n_greedy=4, files=files)
        keep(run, Exported(place=place, proof=last))
    (place / "proof.json").write_text(last.model_dump_json(indent=1))
    (place / "model.safetensors").write_bytes(b"weights")
    (place / "manifest.json").write_text(manifest_of(place))
    box.state.beat += 1
    assert box.past.value.count("ft-good") == 1
    assert box.past.value.count("holds something else by now") == 1
    for changed in (b"wei9hts", b"weight"):
        (place / "model.safetensors").write_bytes(b"weights")
        box.state.beat += 1
        assert box.past.value.count("ft-good") == 1
        (place / "model.safetensors").write_bytes(changed)
        box.state.beat += 1
        assert "ft-good" not in box.past.value


class Made:
    """Stands for an export, which takes processes of its own."""

    asked: dict

    def __init__(self, run, form, **asked):
        Made.asked = {"run": run.id, "form": form, **asked}

    def make(self):
        self.asked["told"](0.5, "writing")
        if self.asked["path"] == "full":
            raise RunError("The disk is full. Make room.")
        return Exported(place=None, proof=proof())


def finished(box, monkeypatch):
    """Press the button and do what the threads would do, here."""
    monkeypatch.setattr(export_box, "Export", Made)
    monkeypatch.setattr("ftlab.ui.task.PUMP.post", lambda function, _tell: function())

    def work(function, done, tell):
        try:
            done(function())
        except RunError as exc:
            tell("error", str(exc))

    monkeypatch.setattr("ftlab.ui.task.PUMP.work", work)
    box.start.click()


def test_the_button_asks_for_what_was_chosen_and_shows_what_came_of_it(box, run, monkeypatch):
    box.form.value, box.dtype.value = "merged", "bf16"
    box.repo.value = "me/tuned"
    finished(box, monkeypatch)
    wanted = {"form": "merged", "dtype": "bf16", "path": None, "step": None, "repo": "me/tuned"}
    assert {name: Made.asked[name] for name in wanted} == wanted
    assert (Made.asked["private"], Made.asked["replace"]) == (True, True)
    assert "ft-good" in box.task.said.value
    assert box.start.layout.display is None


def test_what_went_wrong_is_said_at_the_button(box, monkeypatch):
    box.place.value = "full"
    finished(box, monkeypatch)
    assert Made.asked["replace"] is False
    assert "The disk is full. Make room." in box.task.said.value


def test_no_record_that_is_damaged_hides_the_others(box, run):
    keep(run, Exported(place=None, proof=proof()))
    (run.exports / "20000101.json").write_text(json.dumps({"place": 3}))
    box.state.beat += 1
    assert box.past.value.count("ft-good") == 1
