"""Sweep: a folder with a plan, its events, and an ordinary run for each arm."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from pydantic import SecretStr

from ftlab.errors import RunError
from ftlab.events import Decision
from ftlab.files import replace_file
from ftlab.job import Job
from ftlab.run import Run
from ftlab.run_folder import RunFolder, new_folder
from ftlab.runs import Runs, attach
from ftlab.spec import JobSpec
from ftlab.sweeps.answer import Answer, answer
from ftlab.sweeps.arm_folders import leads_nowhere, make
from ftlab.sweeps.noise import Losses
from ftlab.sweeps.plan import Arm, Plan
from ftlab.sweeps.promoting import copy_of, has_failed, promoted, why_not
from ftlab.sweeps.shown import sweep_html

PLAN = "sweep.json"
PROCESSES = {"local": "ftlab.train.sweep", "together": "ftlab.sweeps.hosted"}
"""Provider → the module whose process runs the arms of a sweep."""
STAMP = len("20260102-030405")
"""Characters of an id that say when it was made."""


class Sweep(Run):
    """One sweep. Its process, its lock, its log and what is asked of it are as those of a run."""

    processes: ClassVar[Mapping[str, str]] = PROCESSES

    def __init__(self, path: Path | str) -> None:
        super().__init__(path)
        self._runs: dict[int, Run] = {}

    @classmethod
    def of(cls, plan: Plan, folder: Path) -> Sweep:
        """A new folder with the runs of its arms, not started yet; those at a service are made when
        they start."""
        path = new_folder(folder, f"{plan.job.spec.suffix or ''}-sweep", plan.created_at)
        replace_file(path / PLAN, plan.model_dump_json(indent=1).encode())
        found = cls(path)
        if not found.is_hosted:
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
        known = (run.history.n_steps for run in self.runs.values())
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
    def runs(self) -> dict[int, Run]:
        """Arm → its run, of those that have one; an arm keeps its number when another goes."""
        return {
            number: self.run_of(number, arm)
            for number, arm in enumerate(self.all_arms)
            if RunFolder(self._arm_folder(number)).exists
        }

    @property
    def arms(self) -> list[tuple[Arm, Run]]:
        """Each arm that has a run, with it."""
        arms = self.all_arms
        return [(arms[number], run) for number, run in self.runs.items()]

    @property
    def deleted(self) -> set[int]:
        """The arms whose runs were taken away."""
        decided = {n for decision in self.decisions for n in (*decision.kept, *decision.stopped)}
        begun = decided if self.is_hosted else decided | {*range(len(self._planned.arms))}
        gone = (n for n in range(len(self.all_arms)) if not RunFolder(self._arm_folder(n)).exists)
        return {n for n in gone if n in begun or leads_nowhere(self._arm_folder(n))}

    def curves(self) -> dict[int, Losses]:
        """Arm → its validation loss by step."""
        return {n: dict(run.history.series.get("eval_loss", {})) for n, run in self.runs.items()}

    @property
    def answer(self) -> Answer | None:
        """What its arms say until now; None before the first validation loss."""
        steps = {n: run.history.last_step for n, run in self.runs.items()}
        steps[-1] = sum(decision.step for decision in self.decisions if decision.rung < 0)
        failed = {n for n, run in self.runs.items() if has_failed(run)}
        return answer(self.plan, self.all_arms, self.curves(), steps, failed)

    @property
    def winner(self) -> Run | None:
        """The run of the best arm."""
        found = self.answer
        return None if found is None else self.runs[found.best]

    @property
    def winning_spec(self) -> JobSpec:
        """The spec as the person gave it, with what the best arm sets. Raises RunError before there
        is one."""
        found = self._answered
        return JobSpec(**{**self._planned.given, **self.all_arms[found.best].changes})

    @property
    def _answered(self) -> Answer:
        if (found := self.answer) is None:
            raise RunError(
                f"Sweep {self.id} is {self.status} and has no validation loss yet; the best arm is "
                "the one with the lowest. Wait for the first evaluations."
            )
        return found

    @property
    def has_checkpoint(self) -> bool:
        return any(run.has_checkpoint for _, run in self.arms)

    @property
    def leaves_nothing(self) -> bool:
        """What its arms have learned lies in their folders."""
        return False

    @property
    def resumes_from(self) -> str:
        return "from where its arms stand"

    # --- asking ------------------------------------------------------------------------------

    def cancel(self, key: str | SecretStr | None = None) -> None:
        """Ask the sweep to end after the present step and keep nothing of its arms that go on."""
        super().cancel(key)
        if self.status == "cancelled":  # nobody else can tell its arms
            for _, run in self.arms:
                if run.is_paused:
                    run.cancel()

    def promote(self) -> Run:
        """A copy of the best arm as a run of its own among the runs, which can be tried, and
        resumed where it is not at its end; at a service it is one already. Asked again, it is the
        same copy. Raises RunError while that arm goes on, and where it has left nothing."""
        found = self._answered
        arm, run = self.all_arms[found.best], self.runs[found.best]
        if problem := why_not(run):
            raise RunError(f"The best arm of sweep {self.id}, {arm.name}, {problem}")
        if self.is_hosted:
            return run
        name = f"{arm.name}, best of {self.name or self.id}"
        return copy_of(run, self) or promoted(run, self.path.parent, name, self.id)

    # --- being the process -------------------------------------------------------------------

    def run_of(self, number: int, arm: Arm) -> Run:
        """The run of an arm; a new folder where there is none yet. Raises RunError where its run at
        a service was deleted."""
        folder = self._arm_folder(number)
        if not RunFolder(folder).exists:
            self._runs.pop(number, None)
            make(folder, self._planned.job_of(arm), self.path.parent if self.is_hosted else None)
        if number not in self._runs:
            self._runs[number] = Run(folder.resolve())
        return self._runs[number]

    # --- being seen --------------------------------------------------------------------------

    def __repr__(self) -> str:
        found = self.answer
        says = found.headline if found else f"{len(self.arms)} arms"
        return f"<Sweep {self.id}: {self.status}, {says}>"

    def _repr_html_(self) -> str:
        return sweep_html(self)

    def _arm_folder(self, number: int) -> Path:
        return self.path / "arms" / f"{number + 1:02}"


class Sweeps:
    """The sweeps in a folder of runs: `ftlab-runs/` here, or where FTLAB_RUNS says."""

    def __init__(self, folder: Path | str | None = None) -> None:
        self.folder = Runs(folder).folder

    def __iter__(self) -> Iterator[Sweep]:
        """The newest first."""
        for plan in sorted(self.folder.glob(f"*/{PLAN}"), reverse=True):
            with contextlib.suppress(RunError):  # deleted meanwhile
                yield Sweep(plan.parent)

    def __getitem__(self, sweep_id: str) -> Sweep:
        return Sweep(self.folder / sweep_id)


def find(name: str | None = None, folder: Path | str | None = None) -> Run:
    """A run or a sweep by id or path, as `attach` finds runs; without a name the newest of those
    that are alive, or the newest of all."""
    if name is None:
        known: list[Run] = [*Runs(folder), *Sweeps(folder)]
        live = [one for one in known if one.is_alive]
        newest = max(live or known, key=lambda one: one.id[:STAMP], default=None)
        return newest or attach(None, folder)
    path = Path(name) if os.sep in name else Runs(folder).folder / name
    return Sweep(path) if (path / PLAN).is_file() else attach(name, folder)
