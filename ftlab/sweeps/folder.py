"""Sweep: a folder with a plan, its events, and an ordinary run for each arm."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from ftlab.errors import RunError
from ftlab.events import Decision
from ftlab.files import replace_file
from ftlab.job import Job
from ftlab.run import Run
from ftlab.run_folder import new_folder
from ftlab.runs import Runs
from ftlab.sweeps.noise import Losses
from ftlab.sweeps.plan import Arm, Plan

PLAN = "sweep.json"
PROCESSES = {"local": "ftlab.train.sweep"}
"""Provider → the module whose process runs the arms of a sweep."""


class Sweep(Run):
    """One sweep. Its process, its lock, its log and what is asked of it are as those of a run."""

    processes: ClassVar[Mapping[str, str]] = PROCESSES

    def __init__(self, path: Path | str) -> None:
        super().__init__(path)
        self._runs: dict[int, Run] = {}

    @classmethod
    def of(cls, plan: Plan, folder: Path) -> Sweep:
        """A new folder with the runs of its arms, not started yet."""
        path = new_folder(folder, f"{plan.job.spec.suffix or ''}-sweep", plan.created_at)
        replace_file(path / PLAN, plan.model_dump_json(indent=1).encode())
        found = cls(path)
        for number, arm in enumerate(plan.arms):
            found.run_of(number, arm)
        return found

    # --- reading -----------------------------------------------------------------------------

    @property
    def _job_file(self) -> Path:
        return self.path / PLAN

    @cached_property
    def _planned(self) -> Plan:
        try:
            return Plan.model_validate_json(self._job_file.read_bytes())
        except (OSError, ValueError) as exc:
            raise RunError(
                f"{self._job_file} can't be read ({type(exc).__name__}); it holds a plan as this "
                "ftlab or an older one writes it. Read it with the ftlab that wrote it, or move "
                "the sweep's folder away."
            ) from exc

    @property
    def plan(self) -> Plan:
        """What its arms share and when they are compared, by the steps that they really have where
        one has begun."""
        known = (run.history.n_steps for _, run in self.arms)
        n_steps = next((n for n in known if n), self._planned.n_steps)
        return self._planned if n_steps == self._planned.n_steps else self._planned.over(n_steps)

    @cached_property
    def job(self) -> Job:  # pyright: ignore[reportIncompatibleVariableOverride]
        """All that its arms share."""
        return self._planned.job

    @property
    def decisions(self) -> list[Decision]:
        """Which arms went on at each rung until now."""
        return self.history.decisions

    @property
    def all_arms(self) -> list[Arm]:
        """Those that it started with, and those that were added, in this order."""
        added = (Arm(**arm) for decision in self.decisions for arm in decision.added)
        return [*self._planned.arms, *added]

    @property
    def arms(self) -> list[tuple[Arm, Run]]:
        """Each arm with its run."""
        found: list[tuple[Arm, Run]] = []
        for number, arm in enumerate(self.all_arms):
            if number not in self._runs and (self._arm_folder(number) / "job.json").is_file():
                self._runs[number] = Run(self._arm_folder(number))
            if run := self._runs.get(number):
                found.append((arm, run))
        return found

    def curves(self) -> dict[int, Losses]:
        """Arm → its validation loss by step."""
        return {
            n: dict(run.history.series.get("eval_loss", {})) for n, (_, run) in enumerate(self.arms)
        }

    # --- being the process -------------------------------------------------------------------

    def run_of(self, number: int, arm: Arm) -> Run:
        """The run of an arm; a new folder where there is none yet."""
        folder = self._arm_folder(number)
        job = folder / "job.json"
        if not job.is_file():
            os.makedirs(folder, mode=0o700, exist_ok=True)
            replace_file(job, self._planned.job_of(arm).model_dump_json(indent=1).encode())
        return self._runs.setdefault(number, Run(folder))

    def _arm_folder(self, number: int) -> Path:
        return self.path / "arms" / f"{number + 1:02}"


class Sweeps:
    """The sweeps in a folder of runs: `ftlab-runs/` here, or where FTLAB_RUNS says."""

    def __init__(self, folder: Path | str | None = None) -> None:
        self.folder = Runs(folder).folder

    def __iter__(self) -> Iterator[Sweep]:
        """The newest first."""
        for plan in sorted(self.folder.glob(f"*/{PLAN}"), reverse=True):
            yield Sweep(plan.parent)
