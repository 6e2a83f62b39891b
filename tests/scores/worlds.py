"""Small runs whose models are worth scoring."""

from __future__ import annotations

import json
import random

import ftlab
from ftlab import demo
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
