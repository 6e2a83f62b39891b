"""A diagnosis as data, as text and as HTML."""

from __future__ import annotations

import json

import pytest

from ftlab.cli import main
from ftlab.diagnosis import diagnose, shapes
from tests.diagnosis.truth import LABELS

SLOW = shapes.falling(start=2.6, floor=2.57, pace=1.0, noise=0.02, learning_rate=[1e-6] * 400)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "curve.csv"
    lines = [f"{step},{loss},1e-6" for step, loss in zip(SLOW.steps, SLOW.train_loss, strict=True)]
    path.write_text("\n".join(["step,train_loss,learning_rate", *lines]) + "\n")
    return path


def test_json_has_the_documented_keys(file, capsys):
    assert main(["doctor", str(file), "--json", "--recommended-lr", "2e-4"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"label", "confidence", "evidence", "advice", "secondary"} <= set(found)
    assert found["label"] == "lr_too_low"
    assert found["label"] in LABELS
    assert 0.5 <= found["confidence"] <= 1
    assert found["evidence"]["lr_ratio"] == pytest.approx(0.005)
    assert set(found["advice"][0]) == {"text", "source", "changes", "cost"}
    assert found["advice"][0]["changes"] == {"learning_rate": 1e-5}  # ten times, no more at once
    for other in found["secondary"]:
        assert {"label", "confidence", "evidence", "advice"} <= set(other)


def test_the_terminal_says_what_it_is_why_and_what_to_do(file, capsys):
    assert main(["doctor", str(file)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Learning rate too low (")
    assert "drop 0.0" in out
    assert "→ Raise learning_rate from 1e-6 to" in out
    assert "\nNext: " in out


@pytest.mark.parametrize(
    "arguments",
    [
        ["--vocab-size", "0"],
        ["--steps-per-epoch", "many"],
        ["--batch-size", "-1"],
        ["--recommended-lr", "0"],
    ],
)
def test_wrong_options_are_refused(file, arguments, capsys):
    with pytest.raises(SystemExit):
        main(["doctor", str(file), *arguments])
    assert "is given; it takes" in capsys.readouterr().err


def test_another_file_is_refused_in_a_sentence(tmp_path, capsys):
    (tmp_path / "a.csv").write_text("x\n1\n")
    assert main(["doctor", str(tmp_path / "a.csv")]) == 1
    assert "a curve is CSV, JSON or JSONL" in capsys.readouterr().err


def test_html_escapes_and_names_no_colour_of_its_own_for_text():
    html = diagnose(shapes.falling(30, failure="<b>CUDA out of memory</b>"))._repr_html_()
    assert "<b>CUDA" not in html
    assert "&lt;b&gt;CUDA" in html
    assert "color:inherit" in html


def test_too_few_steps_are_said_so():
    found = diagnose(shapes.falling(20))
    assert (found.label, found.needs) == ("undecided", "30 more steps")
    assert str(found) == "No verdict yet: it needs 30 more steps."
    assert not found.is_decided
