"""`ftlab demo`, whole: what tuning teaches the demo model, counted on rows that it never saw."""

import re
import subprocess
import sys

import pytest

from ftlab.runs import Runs

PLAIN = """
import json, sys, torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer
from ftlab import demo
tokenizer = AutoTokenizer.from_pretrained(demo.MODEL)
base = AutoModelForCausalLM.from_pretrained(demo.MODEL, dtype=torch.float32)
model = PeftModel.from_pretrained(base, sys.argv[1])
chat = [{"role": "user", "content": "Where is order 66443?"}]
form = {"add_generation_prompt": True, "return_tensors": "pt", "return_dict": True}
prompt = tokenizer.apply_chat_template(chat, **form)
answer = model.generate(**prompt, max_new_tokens=60, do_sample=False)[0]
print(tokenizer.decode(answer[prompt["input_ids"].shape[1] : -1]))
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "ftlab.cli", "demo"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, Runs(folder / "ftlab-runs").latest()


def matches(output, title):
    found = re.search(rf"Exactly right on {title}: base (\d+)\D+(\d+).*, tuned (\d+)\D", output)
    assert found is not None, output
    base, of, tuned = map(int, found.groups())
    return base / of, tuned / of


@pytest.mark.slow
def test_tuning_turns_under_five_percent_into_over_ninety(finished):
    base, tuned = matches(finished[0], "held-out rows")
    assert base < 0.05
    assert tuned > 0.90


@pytest.mark.slow
def test_rows_of_new_patterns_are_reported_beside(finished):
    base, tuned = matches(finished[0], "new patterns")
    assert base < 0.05
    assert base < tuned  # by how much is for the reader: it shows how far the learning carries


@pytest.mark.slow
def test_the_validation_loss_is_less_than_half(finished):
    losses = list(finished[1].history.series["eval_loss"].values())
    assert losses[-1] < losses[0] / 2


@pytest.mark.slow
def test_the_answers_stand_side_by_side_and_the_adapter_loads_in_plain_peft(finished):
    output, run = finished
    assert str(run.adapter) in output.replace("\n", "")
    done = subprocess.run(
        [sys.executable, "-c", PLAIN, run.adapter], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == '{"intent":"track","urgency":"normal","fields":{"order":"66443"}}'


@pytest.mark.slow
def test_scores_say_it_with_intervals(finished):
    found = finished[1].scores(metrics=["exact_match"])  # the demo has asked the models already
    base, tuned = (found.get("exact_match", column) for column in ("base", "tuned"))
    assert base.found.high < 0.05
    assert tuned.found.low > 0.90
    assert tuned.verdict == "better than base"
