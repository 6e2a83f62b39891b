"""lm-evaluation-harness itself, on a task made here, beside our own figures of the same rows."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest

from ftlab.answers import client_of
from ftlab.data.chat import tokenise
from ftlab.data.tokens import load_tokenizer
from ftlab.errors import MissingExtra, RunError
from ftlab.job import Job
from ftlab.processes import environment
from ftlab.run import Run
from ftlab.scores.columns import identity_of
from ftlab.scores.harness import Figure, Line, evaluate, kept_lines, read_results
from ftlab.scores.scoring import kept_scores
from ftlab.scores.tables import summary_html
from ftlab.spec import JobSpec
from tests.exchange.oracles import FOLDER, LM_EVAL
from tests.scores.worlds import keep, learned
from tests.small import write_rows

TASK = """\
task: {name}
dataset_path: json
dataset_kwargs:
  data_files: {file}
test_split: train
output_type: {kind}
doc_to_text: "{{{{prompt}}}}"
doc_to_target: "{{{{completion}}}}"
target_delimiter: ""
metric_list:
"""
ANSWERS = """\
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
generation_kwargs:
  until: ["</s>"]
  max_gen_toks: 16
  do_sample: false
"""
LIKELIHOOD = """\
  - metric: perplexity
    aggregation: perplexity
    higher_is_better: false
"""


def test_worse_and_better_only_beyond_the_standard_error():
    def line(base, tuned, stderr=0.01, *, higher_is_better=True):
        figures = (Figure(value, stderr, higher_is_better) for value in (base, tuned))
        return Line("task", "acc", *figures)

    assert line(0.60, 0.57).verdict == "worse than base"  # 0.03 > 1.96 × 0.0141
    assert line(0.60, 0.58).verdict == "no better than base"
    assert line(0.60, 0.63).verdict == "better than base"
    assert line(5.0, 6.0, 0.1, higher_is_better=False).verdict == "worse than base"
    assert line(0.60, 0.10, None).verdict == ""


def test_without_the_package_the_command_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match=r'pip install "ftlab\[eval\]"'):
        evaluate(None, ["task"])


def test_what_is_none_of_its_files_says_so(tmp_path):
    file = tmp_path / "results_x.json"
    file.write_text("[]")
    with pytest.raises(RunError, match="as lm-eval writes them"):
        read_results(file)


def harness_results(run, tasks, **values):
    """What it would have written of both models: task → value."""
    for name, value in values.items():
        folder = run.score_folder / "lm-eval" / tasks
        output = folder / (name if name == "base" else f"tuned-{identity_of(run.adapter)[:12]}")
        output.mkdir(parents=True)
        told = {"results": {tasks: {"acc,none": value, "acc_stderr,none": 0.01}}}
        (output / "results_1.json").write_text(json.dumps(told))


def test_what_it_found_stands_with_the_scores_whoever_asked_for_it(tmp_path):
    """Also in the panel, which shows what is kept; a damaged file hides nothing else."""
    run = Run.create(Job(spec=JobSpec(model="m", training_file="t"), provider="local"), tmp_path)
    run.adapter.mkdir()
    keep(run)
    harness_results(run, "hellaswag", base=0.5, tuned=0.4)
    harness_results(run, "mmlu", base=0.5, tuned=0.5)
    (damaged,) = run.score_folder.glob("lm-eval/mmlu/base/*.json")
    damaged.write_text("{")
    html = summary_html(kept_scores(run)[0])
    assert "hellaswag" in html
    assert "▼ worse than base" in html
    assert "mmlu" not in html


@pytest.mark.slow
def test_both_say_the_same_of_the_same_rows(tmp_path, monkeypatch):
    """Prompt and completion: answers that equal theirs, and the probability of the completion."""
    rows = [{"prompt": f"Order {i}?", "completion": " It left."} for i in range(32)]
    held_out = [*rows[:6], *({"prompt": f"Day {i}?", "completion": " No."} for i in range(4))]
    run = learned(
        tmp_path,
        training_file=str(write_rows(tmp_path / "t.jsonl", rows)),
        validation_file=str(write_rows(tmp_path / "v.jsonl", held_out)),
    )
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    kinds = {"answers": ("generate_until", ANSWERS), "likely": ("loglikelihood", LIKELIHOOD)}
    for name, (kind, more) in kinds.items():
        head = TASK.format(name=name, file=run.job.spec.validation_file, kind=kind)
        (tasks / f"{name}.yaml").write_text(head + more)
    ours = run.scores(max_tokens=16)
    _install(monkeypatch)
    said: list[str] = []
    options = ["--include_path", str(tasks), "--batch_size", "4"]
    lines = evaluate(run, list(kinds), more=options, told=said.append)
    found = {(line.task, line.metric): line for line in lines}
    for column in ("base", "tuned"):
        theirs = getattr(found["answers", "exact_match"], column)
        assert theirs.value == pytest.approx(ours.get("exact_match", column).found.value)
        likely = getattr(found["likely", "perplexity"], column)
        assert likely.value == pytest.approx(math.exp(_mean_loss(run, column)), rel=1e-6)
    assert "better than base" in {line.verdict for line in lines}
    assert any(text.startswith("lm-eval, tuned: ") for text in said)
    monkeypatch.setattr("ftlab.scores.harness._run", None)
    assert evaluate(run, list(kinds), more=options) == lines == kept_lines(run)
    assert json.loads(json.dumps(run.scores(max_tokens=16).as_dict()["harness"]))


def _mean_loss(run, column):
    """Of the completions by themselves: with theirs no EOS counts."""
    tokenizer = load_tokenizer(Path(run.job.spec.model))
    rows = []
    for line in Path(run.job.spec.validation_file).read_text().splitlines():
        (tokens,) = tokenise(json.loads(line), tokenizer)
        rows.append({"ids": tokens.ids, "labels": [*tokens.labels[:-1], -100]})
    model = "base" if column == "base" else str(run.adapter)
    with client_of(run) as client:
        told = client.post("/v1/losses", json={"model": model, "rows": rows}).json()["rows"]
    return sum(one["loss"] for one in told) / len(told)


def _install(monkeypatch):
    """Let processes that start from now on find it."""
    folder = str(FOLDER / LM_EVAL)
    own = os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), folder)))
    told = {**environment(), "PYTHONPATH": own, "HF_DATASETS_OFFLINE": "1"}
    monkeypatch.setattr("ftlab.scores.harness.environment", lambda: told)
    monkeypatch.syspath_prepend(folder)
