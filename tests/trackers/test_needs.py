"""What a tracker lacks is said before a run starts, and nothing is loaded to find it."""

from __future__ import annotations

import json
import sys

import pytest

import ftlab
from ftlab.cli import main
from ftlab.errors import RunError
from ftlab.job import LocalOptions
from ftlab.providers import get_provider, option_issues
from ftlab.spec import JobSpec
from ftlab.trackers.hidden import MOST_SHOWN, in_words, without_secrets
from ftlab.trackers.needs import problem_with
from ftlab.trackers.shown import reports_of
from ftlab.trackers.states import Mirrored, MirrorFolder
from tests.trackers.world import made

SPEC = JobSpec(model="demo", training_file="train.jsonl")


@pytest.fixture
def libraries(tmp_path, monkeypatch):
    """Stand-ins that can be found, and would fail if anything loaded them."""
    for name in ("wandb", "mlflow", "tensorboard", "trackio"):
        (tmp_path / "libraries" / name).mkdir(parents=True)
        (tmp_path / "libraries" / name / "__init__.py").write_text("raise SystemError")
    monkeypatch.syspath_prepend(tmp_path / "libraries")


def test_names_in_a_terminal_and_in_code_are_the_same():
    assert LocalOptions.model_validate({"track": " wandb, mlflow,wandb"}).track == (
        *("wandb", "mlflow"),
    )
    assert LocalOptions.model_validate({"track": ["trackio"]}).track == ("trackio",)
    [issue] = option_issues(get_provider("local"), {"track": "comet"}, SPEC)
    assert "'wandb', 'mlflow', 'tensorboard', 'trackio'" in issue.message


def test_a_library_that_is_missing_is_named_with_its_cure(monkeypatch, tmp_path):
    local = get_provider("local")
    (tmp_path / "trackio").mkdir()  # as W&B leaves a folder wandb beside a notebook
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    [issue] = option_issues(local, {"track": ["trackio"]}, SPEC)
    assert issue.blocks == ("local",)
    assert issue.where == "track"
    assert issue.fix == {"track": None}
    assert 'pip install "ftlab[track]"' in issue.message


def test_a_key_for_w_and_b_may_lie_in_three_places(libraries, tmp_path):
    nobody = {"NETRC": str(tmp_path / "netrc")}
    assert "WANDB_API_KEY" in problem_with("wandb", nobody)
    assert not problem_with("wandb", {**nobody, "WANDB_API_KEY": "k" * 40})
    assert not problem_with("wandb", {**nobody, "WANDB_MODE": "offline"})
    (tmp_path / "netrc").write_text("machine w.example login user password secret\n")
    (tmp_path / "netrc").chmod(0o600)
    assert problem_with("wandb", nobody)
    assert not problem_with("wandb", {**nobody, "WANDB_BASE_URL": "https://w.example"})
    assert not problem_with("mlflow", {"MLFLOW_TRACKING_URI": "http://127.0.0.1:1"})


def test_a_job_whose_tracker_is_missing_is_refused_whole(tmp_path):
    with pytest.raises(ftlab.FtlabError, match="track"):
        ftlab.submit({"model": "demo"}, folder=tmp_path, track=["wandb"], track_project="a b")
    with pytest.raises(RunError, match="knows wandb"):
        made(tmp_path).track("comet")
    assert not [*tmp_path.glob("*/trackers")]


def test_how_far_a_mirror_is_and_how_to_go_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FTLAB_RUNS", str(tmp_path))
    run = made(tmp_path)
    assert main(["track", run.id]) == 0
    assert f"ftlab track {run.id} --to wandb" in capsys.readouterr().out
    folder = MirrorFolder(run, "mlflow")
    folder.path.mkdir(parents=True)
    folder.say(Mirrored(step=5, link="http://127.0.0.1:1/run"))
    assert main(["track", run.id, "--json"]) == 1
    [told] = json.loads(capsys.readouterr().out)
    assert (told["step"], told["last_step"], told["is_alive"]) == (5, 8, False)
    assert "steps 6 to 8" in told["problem"]
    assert f"`ftlab track {run.id} --to mlflow` goes on" in told["text"]
    folder.say(folder.state._replace(step=8, is_whole=True))
    assert reports_of(run)[0].text == "MLflow: all is there, up to step 8 · http://127.0.0.1:1/run"
    assert main(["track", run.id]) == 0


def test_secrets_of_the_environment_and_users_in_addresses_are_hidden():
    variables = {"WANDB_API_KEY": "abcdef0123", "HOME": "/home/somebody"}
    said = "no entry at http://me:pw@host/x with abcdef0123 in /home/somebody"
    assert without_secrets(said, variables) == "no entry at http://host/x with … in /home/somebody"
    asked = "https://host/api?write_token=abc123&run=1 says no"
    assert without_secrets(asked, {}) == "https://host/api?write_token=…&run=1 says no"


def test_no_part_of_a_secret_is_left_where_a_text_is_cut(monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "abcdef0123")
    said = in_words(OSError("x" * (MOST_SHOWN - 14) + "abcdef0123"))
    assert len(said) <= MOST_SHOWN
    assert "abc" not in said
