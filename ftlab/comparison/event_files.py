"""TensorBoard's event files, by TensorBoard's own reader."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from ftlab.comparison.columns import track_of_rows
from ftlab.comparison.track import Track
from ftlab.errors import MissingExtra

EVENT_FILES = "events.out.tfevents."


def tracks_of_events(path: Path) -> list[Track]:
    """The run of each folder that holds event files, as TensorBoard itself counts runs; or that of
    one file. Raises MissingExtra without the package tensorboard."""
    if path.is_file():
        return [_track(path, path.parent.name)]
    folders = sorted({file.parent for file in path.rglob(f"*{EVENT_FILES}*")})
    return [_track(folder, _named(folder, path)) for folder in folders]


def _track(path: Path, name: str) -> Track:
    return track_of_rows(_rows(_read(path)), name, "TensorBoard")


def _read(path: Path) -> Any:
    try:
        reader = import_module("tensorboard.backend.event_processing.event_accumulator")
    except ImportError as exc:
        raise MissingExtra("tensorboard", "tensorboard") from exc
    everything = {"scalars": 0, "tensors": 0}
    return reader.EventAccumulator(str(path), size_guidance=everything).Reload()


def _rows(found: Any) -> Iterator[dict[str, Any]]:
    """One for each value."""
    for tag in found.Tags()["scalars"]:
        for one in found.Scalars(tag):
            yield {"step": one.step, "wall_time": one.wall_time, tag: one.value}
    yield from _of_tensors(found)


def _of_tensors(found: Any) -> Iterator[dict[str, Any]]:
    """Scalars as TensorFlow 2 writes them."""
    if not (tags := found.Tags()["tensors"]):
        return
    as_array = import_module("tensorboard.util.tensor_util").make_ndarray
    for tag in tags:
        for one in found.Tensors(tag):
            value = as_array(one.tensor_proto)
            if value.ndim == 0 and value.dtype.kind == "f":
                yield {"step": one.step, "wall_time": one.wall_time, tag: float(value)}


def _named(folder: Path, root: Path) -> str:
    return root.name if folder == root else f"{root.name}/{folder.relative_to(root)}"
