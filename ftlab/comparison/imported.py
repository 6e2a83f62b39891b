"""Runs of other tools, read from the files that they leave."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ftlab.comparison.columns import track_of_rows
from ftlab.comparison.event_files import EVENT_FILES, tracks_of_events
from ftlab.comparison.track import Track
from ftlab.diagnosis.tables import read_csv, read_json
from ftlab.errors import UnreadableData

TAKES = (
    "what can be compared is a trainer_state.json of transformers, a CSV of W&B's charts or of its "
    "run.history(), a folder with TensorBoard's event files, and a CSV, JSON or JSONL with columns "
    "such as step, train_loss and eval_loss"
)
TRAINER_STATE = "trainer_state.json"
OF_SETTINGS = {"num_train_epochs": "n_epochs", "train_batch_size": "rows per device"}


def read_tracks(path: str | Path) -> list[Track]:
    """The runs in a file or folder of another tool. Raises UnreadableData when it holds none."""
    path = Path(path).expanduser()
    found = _read_folder(path) if path.is_dir() else _read_file(path)
    found = [track for track in found if track.series]
    if not found:
        raise UnreadableData(f"{path} holds no curve; {TAKES}. Name one of these.")
    return found


def _read_folder(folder: Path) -> list[Track]:
    """Checkpoints of transformers hold the history until then: the newest one holds it whole."""
    states = [folder / TRAINER_STATE, *folder.glob(f"checkpoint-*/{TRAINER_STATE}")]
    if states := [state for state in states if state.is_file()]:
        return _read_file(max(states, key=_steps_in))
    return tracks_of_events(folder)


def _steps_in(state: Path) -> int:
    steps = _object(read_json(state, TAKES)).get("global_step")
    return steps if isinstance(steps, int) else 0


def _read_file(file: Path) -> list[Track]:
    if file.suffix == ".wandb":
        raise UnreadableData(
            f"{file} is W&B's own log, which no other tool reads; its history can be read. Write "
            "it with wandb.Api().run(PATH).history().to_csv(FILE), or export the chart as CSV."
        )
    if EVENT_FILES in file.name:
        return tracks_of_events(file)
    if file.suffix == ".csv":
        return list(_of_csv(file))
    return [_of_json(read_json(file, TAKES), file)]


def _of_json(whole: Any, file: Path) -> Track:
    """A history as transformers keeps it, rows, or columns."""
    if isinstance(whole, Mapping) and isinstance(whole.get("log_history"), list):
        told = {ours: whole[theirs] for theirs, ours in OF_SETTINGS.items() if whole.get(theirs)}
        return track_of_rows(_objects(whole["log_history"]), _named(file), "Hugging Face", told)
    rows = whole if isinstance(whole, list) else _turned(_object(whole))
    return track_of_rows(_objects(rows), _named(file), "a table")


def _turned(columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of columns: {"step": [1, 2], "loss": [3.0, 2.0]}."""
    lists = {name: values for name, values in columns.items() if isinstance(values, list)}
    longest = max(map(len, lists.values()), default=0)
    return [{n: v[i] for n, v in lists.items() if i < len(v)} for i in range(longest)]


def _objects(rows: list[Any]) -> Iterator[Mapping[str, Any]]:
    return (row for row in rows if isinstance(row, Mapping))


def _object(whole: Any) -> Mapping[str, Any]:
    return whole if isinstance(whole, Mapping) else {}


def _named(file: Path) -> str:
    """A folder says more than a name that every run has."""
    if file.name != TRAINER_STATE:
        return file.stem
    folder = file.absolute().parent
    return folder.parent.name if folder.name.startswith("checkpoint-") else folder.name


# --- CSV -----------------------------------------------------------------------------------------


def _of_csv(file: Path) -> Iterator[Track]:
    rows = read_csv(file, TAKES)
    columns = list(rows[0]) if rows else []
    runs = _runs_of_chart(columns)
    if not runs:
        is_history = any(name in ("_step", "_runtime", "_timestamp") for name in columns)
        yield track_of_rows(rows, file.stem, "W&B" if is_history else "a table")
    axis = columns[0] if columns else ""
    for run, metrics in runs.items():
        told = ({name: row[column] for name, column in metrics.items()} for row in rows)
        on_axis = ({_axis(axis): row[axis], **cells} for row, cells in zip(rows, told, strict=True))
        yield track_of_rows((r for r in on_axis if _says(r)), run, "W&B")


def _runs_of_chart(columns: list[str]) -> dict[str, dict[str, str]]:
    """Run → metric → column, where the columns are those of a chart that W&B has exported: first
    the axis, then "RUN - METRIC", and the same with __MIN and __MAX, the ends of what it drew."""
    found: dict[str, dict[str, str]] = {}
    for column in columns[1:]:
        run, dash, metric = str(column).rpartition(" - ")
        if dash and not metric.endswith(("__MIN", "__MAX")):
            found.setdefault(run, {})[metric] = column
    return found


def _axis(column: str) -> str:
    """What the first column of a chart stands for."""
    return {"step": "step", "wall time": "time"}.get(column.lower(), column)


def _says(row: Mapping[str, Any]) -> bool:
    """Whether a run has logged anything there; in a chart of several, most rows are of others."""
    return any(value not in ("", None) for value in list(row.values())[1:])
