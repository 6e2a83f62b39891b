"""Files of other tools, made by those tools where they are here."""

from __future__ import annotations

import json

import pytest

from ftlab.comparison.imported import read_tracks
from ftlab.errors import MissingExtra, UnreadableData
from tests.exchange.oracles import ask

TENSORBOARD = "tensorboard-2.21.0"
HISTORY = [
    {"loss": 2.5, "grad_norm": 1.5, "learning_rate": 1e-4, "epoch": 0.5, "step": 10},
    {"eval_loss": 2.25, "eval_runtime": 3.0, "epoch": 0.5, "step": 10},
    {"loss": 2.0, "grad_norm": 1.25, "learning_rate": 5e-5, "epoch": 1.0, "step": 20},
    {"train_runtime": 61.5, "train_loss": 2.25, "total_flos": 1e9, "epoch": 1.0, "step": 20},
]


def trainer_state(folder, steps=20, **more):
    """As transformers writes it beside a checkpoint."""
    from transformers.trainer_callback import TrainerState

    folder.mkdir(parents=True)
    history = [row for row in HISTORY if row["step"] <= steps]
    state = TrainerState(global_step=steps, num_train_epochs=1, log_history=history, **more)
    state.save_to_json(str(folder / "trainer_state.json"))
    return folder


def write_csv(file, text):
    file.write_text("\n".join(line.strip() for line in text.strip().splitlines()) + "\n")
    return file


def test_a_history_of_transformers(tmp_path):
    (track,) = read_tracks(trainer_state(tmp_path / "mine", train_batch_size=8))
    assert (track.name, track.source) == ("mine", "Hugging Face")
    # The mean of the whole run, in the last row, is no point of the curve.
    assert track.series["train_loss"] == {10: 2.5, 20: 2.0}
    assert track.series["eval_loss"] == {10: 2.25}
    assert track.series["learning_rate"] == {10: 1e-4, 20: 5e-5}
    assert track.settings == {"n_epochs": 1, "rows per device": 8}


def test_of_several_checkpoints_the_newest_is_read(tmp_path):
    for steps in (10, 20):
        trainer_state(tmp_path / "run" / f"checkpoint-{steps}", steps)
    (track,) = read_tracks(tmp_path / "run")
    assert track.name == "run"
    assert list(track.series["train_loss"]) == [10, 20]


def test_a_history_that_counts_tokens(tmp_path):
    rows = [{"step": n, "loss": 1.0, "num_tokens": 500.0 * n} for n in (10, 20)]
    file = tmp_path / "trainer_state.json"
    file.write_text(json.dumps({"log_history": rows}))
    (track,) = read_tracks(file)
    assert track.along("train_loss", "tokens")[0] == [5000, 10_000]


def exported(column):
    """What W&B makes of a column: its mean, and the ends of what it stands for."""
    return f'"{column}","{column}__MIN","{column}__MAX"'


def test_a_chart_that_wandb_has_exported(tmp_path):
    file = write_csv(
        tmp_path / "wandb_export.csv",
        f"""
        "Step",{exported("brisk-1 - train/loss")},{exported("calm - 2 - train/loss")}
        "1","3.5","3.0","4.0","","",""
        "2","2.5","2.0","3.0","2.75","2.5","3.0"
        "3","","","","2.25","2.0","2.5"
        """,
    )
    brisk, calm = read_tracks(file)
    assert (brisk.name, brisk.source) == ("brisk-1", "W&B")
    assert brisk.series == {"train_loss": {1: 3.5, 2: 2.5}}
    assert calm.name == "calm - 2"
    assert calm.series == {"train_loss": {2: 2.75, 3: 2.25}}


def test_a_history_of_wandb_as_csv(tmp_path):
    file = write_csv(
        tmp_path / "history.csv",
        """
        ,_step,_runtime,_timestamp,train/loss,train/global_step,eval/loss,train/learning_rate
        0,0,12.5,1700000012.5,3.5,10,,0.0001
        1,1,14.0,1700000014.0,,10,3.25,
        2,2,25.0,1700000025.0,3.0,20,,5e-05
        """,
    )
    (track,) = read_tracks(file)
    assert track.source == "W&B"
    assert track.series["train_loss"] == {10: 3.5, 20: 3.0}
    assert track.series["eval_loss"] == {10: 3.25}
    assert track.along("train_loss", "time")[0] == [14.0, 25.0]


def test_rows_of_json(tmp_path):
    file = tmp_path / "training.jsonl"
    rows = [
        {"step": 0, "timestamp": "2026-04-01T16:05:18Z", "loss": 5.0, "num_label_tokens": 100},
        {"step": 1, "timestamp": "2026-04-01T16:05:20Z", "loss": 3.0, "num_label_tokens": 150},
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (track,) = read_tracks(file)
    assert track.series["train_loss"] == {0: 5.0, 1: 3.0}
    assert (track.tokens, track.seconds) == ({0: 100, 1: 250}, {0: 0.0, 1: 2.0})


def test_columns_of_json_without_a_step(tmp_path):
    file = tmp_path / "curve.json"
    file.write_text(json.dumps({"train_loss": [3.0, 2.0], "eval_loss": [None, 2.5]}))
    (track,) = read_tracks(file)
    assert track.series == {"train_loss": {1: 3.0, 2: 2.0}, "eval_loss": {2: 2.5}}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("empty.csv", "", "holds no curve"),
        ("other.csv", "a,b\n1,2\n", "holds no curve"),
        ("broken.json", "{", "is no JSON"),
        ("deep.json", "[" * 100_000, "is no JSON"),
        ("text.csv", "step,loss,text\n1,2," + "x" * 200_000, "a cell has up to"),
        ("number.json", "3", "holds no curve"),
        ("run.wandb", "x", "history\\(\\).to_csv"),
    ],
)
def test_what_holds_no_curve_says_what_would(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(UnreadableData, match=message):
        read_tracks(tmp_path / name)


def test_a_folder_without_anything(tmp_path):
    with pytest.raises(UnreadableData, match="holds no curve"):
        read_tracks(tmp_path)


WRITE = """
import json, sys
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
folder = json.load(sys.stdin)
for run, losses in {"one": [3.0, 2.5], "two": [2.0]}.items():
    writer = EventFileWriter(f"{folder}/{run}")
    for step, loss in enumerate(losses, start=1):
        value = Summary.Value(tag="train/loss", simple_value=loss)
        event = Event(wall_time=1000.0 + 2 * step, step=step, summary=Summary(value=[value]))
        writer.add_event(event)
    writer.close()
print("null")
"""
READ = """
import json, sys
sys.path.insert(0, {root!r})
from ftlab.comparison.imported import read_tracks
print(json.dumps([[t.name, t.series, t.seconds] for t in read_tracks(json.load(sys.stdin))]))
"""


def test_event_files_of_tensorboard(tmp_path):
    """Written and read by TensorBoard itself, which lives apart from ftlab's environment."""
    from pathlib import Path

    import ftlab

    folder = tmp_path / "logs"
    ask(TENSORBOARD, WRITE, str(folder))
    one, two = ask(TENSORBOARD, READ.format(root=str(Path(ftlab.__file__).parents[1])), str(folder))
    assert one == ["logs/one", {"train_loss": {"1": 3.0, "2": 2.5}}, {"1": 0.0, "2": 2.0}]
    assert two == ["logs/two", {"train_loss": {"1": 2.0}}, {"1": 0.0}]


def test_event_files_without_tensorboard_name_what_to_install(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "tensorboard.backend.event_processing.event_accumulator", None)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    file = tmp_path / "events.out.tfevents.1.host"
    file.write_bytes(b"")
    with pytest.raises(MissingExtra, match=r"ftlab\[tensorboard\]"):
        read_tracks(file)
