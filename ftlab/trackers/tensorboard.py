"""TensorBoard: one file of events in the run's folder, written from its beginning by each mirror.

`tensorboard --logdir` over the folder of runs shows them all.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from ftlab.events import Checkpoint, Metrics, Sample
from ftlab.trackers import Line, Told

EVENT_FILES = "*tfevents*"


class Tensorboard:
    rewrites = True

    def __init__(self, told: Told) -> None:
        before = [*told.folder.glob(EVENT_FILES)]
        writers = import_module("tensorboard.summary.writer.event_file_writer")
        self._events = import_module("tensorboard.compat.proto.event_pb2")
        self._summaries = import_module("tensorboard.compat.proto.summary_pb2")
        self._tensors = import_module("tensorboard.util.tensor_util")
        self._texts = import_module("tensorboard.plugins.text.metadata")
        self._writer = writers.EventFileWriter(str(told.folder))
        self.link = f"tensorboard --logdir {shlex.quote(str(told.runs))}"
        self._last = 0.0, 0
        self._start_anew()
        self._text("run", _about(told), 0, None)
        self._writer.flush()
        for file in before:
            file.unlink(missing_ok=True)

    def add(self, lines: Sequence[Line]) -> None:
        """Scalars by step and time, samples and checkpoints as texts."""
        for line in lines:
            match line.event:
                case Metrics(step=step, time=time, values=values):
                    self._scalars(self._known(line, values), step, time)
                case Sample(step=step, time=time, prompt=prompt, text=text):
                    self._text("samples", _table({"prompt": prompt, "text": text}), step, time)
                case Checkpoint(step=step, time=time, ref=ref):
                    self._text("checkpoints", ref, step, time)
        self._writer.flush()

    def close(self, status: str, ending: Mapping[str, str]) -> None:
        self._text("end", _table(ending), self._last[1], self._last[0])
        self._writer.close()

    def _known(self, line: Line, values: Mapping[str, float]) -> dict[str, float]:
        """The axes are told once for each step, with what its training has told."""
        return {**values, **(line.axes if "train_loss" in values else {})}

    def _scalars(self, values: Mapping[str, float], step: int, time: float) -> None:
        value = self._summaries.Summary.Value
        self._write([value(tag=tag, simple_value=x) for tag, x in values.items()], step, time)

    def _text(self, tag: str, text: str, step: int, time: float | None) -> None:
        value = self._summaries.Summary.Value(
            tag=tag,
            tensor=self._tensors.make_tensor_proto(text),
            metadata=self._texts.create_summary_metadata(tag, ""),
        )
        self._write([value], step, time)

    def _write(self, values: list[Any], step: int, time: float | None) -> None:
        summary = self._summaries.Summary(value=values)
        event = self._events.Event(step=step, summary=summary)
        if time is not None:
            event.wall_time, self._last = time, (time, step)
        self._writer.add_event(event)

    def _start_anew(self) -> None:
        """A TensorBoard that is open forgets what it has read of the file before."""
        start = self._events.SessionLog(status=self._events.SessionLog.START)
        self._writer.add_event(self._events.Event(step=0, session_log=start))


def _about(told: Told) -> str:
    known = {"name": told.name, "notes": told.notes, "tags": ", ".join(told.tags)}
    given = {name: text for name, text in known.items() if text}
    return _table({**given, **{n: json.dumps(v) for n, v in told.settings.items()}})


def _table(rows: Mapping[str, str]) -> str:
    """In Markdown, of two columns."""
    cell = lambda text: text.replace("|", "\\|").replace("\n", "<br>")  # noqa: E731
    lines = [f"| {cell(name)} | {cell(text)} |" for name, text in rows.items()]
    return "\n".join(["| | |", "|---|---|", *lines])
