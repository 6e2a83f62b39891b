"""What a list of runs says of each."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ftlab.errors import RunError
from ftlab.html import escaped, short, table
from ftlab.units import age, in_bytes

if TYPE_CHECKING:
    from ftlab.run import Run

TITLES = ("run", "status", "model", "step", "loss", "validation", "age", "size")


class Overview(NamedTuple):
    """One run in a list."""

    id: str
    name: str
    tags: tuple[str, ...]
    status: str
    model: str
    step: int
    n_steps: int | None
    train_loss: float | None
    """The newest, as the validation loss."""
    eval_loss: float | None
    created_at: float | None
    """Seconds since the epoch; None when the job can't be read."""
    bytes_on_disk: int

    def cells(self) -> tuple[str, ...]:
        """In words, in the order of TITLES."""
        of = f" of {self.n_steps:,}" if self.n_steps else ""
        losses = ("" if n is None else short(n) for n in (self.train_loss, self.eval_loss))
        step = f"{self.step:,}{of}"
        return (
            self.title,
            self.status,
            self.model,
            step,
            *losses,
            age(self.created_at),
            in_bytes(self.bytes_on_disk),
        )

    @property
    def title(self) -> str:
        """Its name, or its id where it has none."""
        return self.name or self.id


def overview(run: Run) -> Overview:
    """What a list says of a run; a damaged job leaves gaps."""
    about, history = run.about, run.history
    try:
        spec, created = run.job.spec, run.job.created_at.timestamp()
        model = Path(spec.model or spec.from_checkpoint or "").name
    except RunError:
        model, created = "", None
    return Overview(
        id=run.id,
        name=about.name,
        tags=about.tags,
        status=run.status,
        model=model,
        step=history.last_step,
        n_steps=history.n_steps,
        train_loss=history.latest("train_loss"),
        eval_loss=history.latest("eval_loss"),
        created_at=created,
        bytes_on_disk=run.bytes_on_disk,
    )


def overview_html(found: Iterable[Overview]) -> str:
    """A table without scripts."""
    rows = ([escaped(cell) for cell in one.cells()] for one in found)
    return table(TITLES, rows)
