"""Small runs whose models are worth scoring."""

from __future__ import annotations

import json
import random

import ftlab
from ftlab import demo
from ftlab.scores.metrics import Loss, Seen, chosen
from ftlab.scores.sheet import Column, Kept, ScoredRow, Sheet
from tests.small import chat_rows, save_model, write_rows


def answered(row, text):
    return {"messages": [row["messages"][0], {"role": "assistant", "content": text}]}


def learned(folder, **changes):
    """A finished run that has learned one answer by heart, which is right for 8 of 12 rows."""
    held_out = [
        answered(row, "It left." if place % 3 else "It did not.")
        for place, row in enumerate(chat_rows(12, start=80))
    ]
    values = {
        "model": str(save_model(folder / "model")),
        "training_file": str(
            write_rows(folder / "train.jsonl", [answered(r, "It left.") for r in chat_rows(64)])
        ),
        "validation_file": str(write_rows(folder / "held_out.jsonl", held_out)),
        "learning_rate": 2e-2,
        "batch_size": 8,
        "n_epochs": 20,
        "n_checkpoints": 2,
        **changes,
    }
    run = ftlab.submit(values, folder=folder / "runs")
    assert run.wait(250).status == "completed", run.state
    return run


def shuffled(folder, n_steps):
    """A short run of the demo's model on its rows, each with the answer to another one."""
    rows = [json.loads(line) for line in demo.TRAIN.read_text().splitlines()]
    answers = [row["messages"][-1] for row in rows]
    random.Random(1).shuffle(answers)
    mixed = [
        {"messages": [*row["messages"][:-1], answer]}
        for row, answer in zip(rows, answers, strict=True)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    values = {**demo.JOB, "training_file": str(write_rows(folder / "shuffled.jsonl", mixed))}
    run = ftlab.submit({**values, "max_steps": n_steps, "n_evals": 0}, folder=folder / "runs")
    assert run.wait(250).status == "completed", run.state
    return run


def keep(run, n=20, n_lost=0, identity="tuned", **changes):
    """Scores of a run whose answers are all right but for some, and those of the base all wrong but
    for these. `identity` is that of its weights, `changes` are fields of the sheet."""
    rows = [ScoredRow(line=i, prompt=f"Question {i}", reference="Yes") for i in range(1, n + 1)]
    about = {"run": run.id, "file": run.job.spec.training_file, "sha256": run.job.data_sha256}
    sheet = Sheet(**{**about, "settings": {}, "rows": rows, **changes})
    for name, right in (("base", range(n_lost)), ("tuned", range(n_lost, n))):
        column = Column.empty(name, name, identity if name == "tuned" else name, 0, n)
        column.answers = ["Yes" if i in right else "No" for i in range(n)]
        column.losses = [(Loss(1.0 if i in right else 4.0, 2, 1),) for i in range(n)]
        column.seconds = 2.0
        sheet.columns[name] = column
        seen = [
            Seen(reference="Yes", answer=answer, losses=losses)
            for answer, losses in zip(column.answers, column.losses, strict=True)
        ]
        for metric in chosen(["exact_match", "loss"]):
            sheet.traits[metric.name] = metric.traits
            column.values[metric.name] = list(metric.over(seen, {}))
    run.score_folder.mkdir(exist_ok=True)
    Kept(run.score_folder, sheet).save()
