"""score(): real runs, scored by the process that holds their models."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import psutil
import pytest

import ftlab
from ftlab import devices
from ftlab.cli import main
from ftlab.errors import RunError
from ftlab.scores import Scores
from ftlab.scores.filling import Filling
from ftlab.scores.scoring import STOPPED, kept_scores
from ftlab.scores.sheet import Kept, kept_sheets, read_sheet
from tests.scores.worlds import answered, learned, shuffled
from tests.small import chat_rows, write_rows

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return learned(tmp_path_factory.mktemp("scores"))


@pytest.fixture(scope="module")
def found(run):
    return run.scores(shots=2, checkpoints=True)


def test_tuned_is_better_than_base_by_its_interval(found):
    base, tuned = found.get("exact_match", "base"), found.get("exact_match")
    assert (base.found.value, tuned.found.value) == (0.0, 8 / 12)
    assert tuned.found.low < 8 / 12 < tuned.found.high
    assert tuned.apart.low > 0
    assert tuned.verdict == "better than base"
    assert repr(found).startswith("Exact match is 0.0% with the base and 66.7% tuned")
    assert "few rows" in repr(found)


def test_every_checkpoint_and_the_base_with_examples_are_columns(run, found):
    steps = [f"step {step:,}" for step in run.steps_on_disk]
    assert len(steps) >= 2
    assert list(found.columns) == ["base", "tuned", "base with 2 examples", *steps]
    last = found.columns[steps[-1]]
    assert last.answers == found.columns["tuned"].answers
    assert found.columns["base with 2 examples"].answers != found.columns["base"].answers
    assert "With 2 examples in the prompt the base reaches 0.0%: that does not" in repr(found)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_losses_are_those_of_torch_with_plain_peft(run, found):
    """Row by row without a batch, by the tokenizer of transformers and its chat template."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(run.job.spec.model)
    rows = list(map(json.loads, Path(run.job.spec.validation_file).read_text().splitlines()))
    plain = AutoModelForCausalLM.from_pretrained(run.job.spec.model, dtype=torch.float32)
    for column in ("base", "tuned"):
        if column == "tuned":
            plain = PeftModel.from_pretrained(plain, str(run.adapter))
        sums = []
        for row in rows:
            told = tokenizer.apply_chat_template(
                row["messages"], return_dict=True, return_assistant_tokens_mask=True
            )
            ids = torch.tensor([told["input_ids"]])
            labels = ids.masked_fill(~torch.tensor([told["assistant_masks"]]).bool(), -100)
            with torch.no_grad():
                logits = plain(input_ids=ids).logits[0, :-1]
            sums.append(
                torch.nn.functional.cross_entropy(
                    logits.double(), labels[0, 1:], ignore_index=-100, reduction="sum"
                ).item()
            )
        assert [one.loss for (one,) in found.columns[column].losses] == pytest.approx(
            sums, rel=1e-6
        )
        n = sum(one.n_trained for (one,) in found.columns[column].losses)
        assert found.get("loss", column).found.value == pytest.approx(sum(sums) / n, rel=1e-6)


def test_the_loss_is_the_validation_loss_of_the_run(run, found):
    expected = run.history.latest("eval_loss")
    assert found.get("loss").found.value == pytest.approx(expected, rel=1e-4)


def test_rows_that_gained_and_lost(found):
    gained = found.gained()
    assert {change.tuned for change in gained} == {1.0}
    assert all(change.answers[1] == "It left." for change in gained)
    assert {change.row.line % 3 for change in gained} == {0, 2}
    assert {change.metric for change in found.lost()} <= {"loss"}


def test_rows_are_a_frame_and_all_is_plain_data(found):
    frame = found.rows
    assert len(frame) == 12
    assert frame["exact_match: tuned"].sum() == 8
    told = json.loads(json.dumps(found.as_dict()))
    assert told["headline"] in repr(found)
    assert {one["verdict"] for one in told["scores"] if one["column"] == "tuned"} == {
        "better than base"
    }
    assert "<script" not in found._repr_html_()


def test_what_is_kept_gives_the_same_and_nothing_is_asked_again(run, found, monkeypatch):
    monkeypatch.setattr("ftlab.scores.asking.client_of", None)
    assert repr(run.scores(shots=2, checkpoints=True)) == repr(found)
    (kept,) = kept_scores(run)
    assert repr(kept) == repr(found)
    assert kept.table == found.table


def test_in_the_terminal(run, found, monkeypatch, capsys):
    monkeypatch.setenv("FTLAB_RUNS", str(run.path.parent))
    assert main(["score", run.id, "--shots", "2", "--checkpoints"]) == 0
    out = capsys.readouterr().out
    assert "exact match" in out
    assert "66.7% (39.1 to 86.2) ▲" in out
    assert "Gained most" in out
    assert main(["score", "--json", "--metrics", "exact_match"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["scores"][1]["value"] == pytest.approx(8 / 12)


def test_a_scoring_that_is_stopped_goes_on_where_it_was(run, tmp_path):
    file = write_rows(tmp_path / "more.jsonl", [answered(r, "It left.") for r in chat_rows(70)])
    seen = []

    def progress(done, of, what):
        seen.append((done, of, what))

    stopped = run.scores(file, progress=progress, given_up=lambda: bool(seen) and seen[-1][0] > 30)
    assert stopped.notes == (STOPPED,)
    assert stopped.get("exact_match") is None
    done = seen[-1][0]
    seen.clear()
    whole = run.scores(file, progress=progress)
    assert seen[0][1] <= 4 * 70 - done
    said = [text for _, _, text in seen]
    assert said[-1] == "tuned, losses: 70 of 70 rows"
    assert "tuned, answers: 0 of 70 rows" in said
    assert whole.get("exact_match").n == 70


def test_a_kill_loses_little(run, tmp_path, monkeypatch):
    """What was asked for before the process that scores dies is in its file."""
    monkeypatch.setattr("ftlab.scores.sheet.SAVE_SECONDS", 0.0)
    file = write_rows(tmp_path / "kill.jsonl", [answered(r, "It left.") for r in chat_rows(64)])

    def die(*_):
        raise MemoryError

    monkeypatch.setattr(Filling, "_measure", die)
    monkeypatch.setattr(Kept, "save", _only_now_and_then(Kept.save))
    with pytest.raises(MemoryError):
        run.scores(file)
    sheet = read_sheet(kept_sheets(run.score_folder)[0])
    assert None not in sheet.columns["tuned"].answers


def _only_now_and_then(save):
    """As a kill would: the last saving never happens."""
    return lambda self, *, now=True: None if now else save(self, now=False)


def test_the_process_of_the_models_may_die(run, tmp_path):
    file = write_rows(tmp_path / "dies.jsonl", [answered(r, "No.") for r in chat_rows(40)])
    run.scores(metrics=["exact_match"])
    mine = str(devices.lease_folder())

    def kill():
        for process in psutil.process_iter(["cmdline"]):
            if mine in " ".join(process.info["cmdline"] or []):
                process.kill()

    killer = threading.Timer(0.2, kill)
    killer.start()
    assert run.scores(file, metrics=["exact_match"]).get("exact_match").n == 40
    killer.join()


def test_a_checkpoint_that_changed_is_scored_anew(run, tmp_path):
    import shutil

    copy = ftlab.Run(shutil.copytree(run.path, tmp_path / run.id))
    before = copy.scores(metrics=["exact_match"])
    assert before.get("exact_match").found.value == 8 / 12
    shutil.rmtree(copy.adapter)
    shutil.copytree(copy.checkpoint(copy.steps_on_disk[0]), copy.adapter)
    after = copy.scores(metrics=["exact_match"], checkpoints=True)
    first = after.columns[f"step {copy.steps_on_disk[0]:,}"]
    assert after.columns["tuned"].answers == first.answers


def test_rows_that_are_none_are_told(run, tmp_path):
    file = tmp_path / "mixed.jsonl"
    write_rows(file, [answered(row, "It left.") for row in chat_rows(3)])
    with file.open("a") as stream:
        stream.write('not json\n{"messages": []}\n')
    found = run.scores(file, metrics=["exact_match"])
    assert found.get("exact_match").n == 3
    assert "2 rows can't be scored, the first on line 4" in " ".join(found.said)
    file.write_text("not json\n")
    with pytest.raises(RunError, match=r"mixed\.jsonl: 1 row can't be scored"):
        run.scores(file)


def test_a_file_that_it_trained_on_says_so(run):
    found = run.scores(run.job.spec.training_file, max_rows=5, metrics=["loss"])
    assert "trained on this file" in found.said[0]
    assert "5 of its 64 rows, drawn by the seed 0." in found.said[1]
    assert isinstance(found, Scores)


def test_two_at_once_don_t_write_over_each_other(run):
    from ftlab.scores.sheet import alone

    with alone(run.score_folder), pytest.raises(RunError, match="is being scored by another"):
        run.scores(metrics=["loss"])


def test_a_run_that_waits_for_the_device_gets_it(run, tmp_path):
    file = write_rows(tmp_path / "way.jsonl", [answered(r, "No.") for r in chat_rows(40, 200)])
    said, started = [], []

    def progress(done, _of, _what):
        if done and not started:
            values = {**run.job.spec.model_dump(), "n_epochs": 1, "n_checkpoints": 1}
            started.append(ftlab.submit(values, folder=tmp_path / "runs"))
            while not devices.is_wanted("cpu"):
                assert started[0].is_alive
                time.sleep(0.05)

    found = run.scores(file, metrics=["exact_match"], told=said.append, progress=progress)
    assert found.get("exact_match").n == 40
    assert any(text.startswith(("Giving cpu to a run", "Loading the model")) for text in said)
    assert started[0].wait(120).status == "completed"


def test_a_run_on_shuffled_answers_is_no_better_than_base(tmp_path):
    found = shuffled(tmp_path, 20).scores(max_rows=16)
    assert found.lead.metric == "exact_match"
    assert found.lead.verdict == "no better than base"
    assert "no better than base" in repr(found)
    assert "learned what answers look like, and not which one is right" in repr(found)
