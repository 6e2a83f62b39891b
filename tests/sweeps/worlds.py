"""Small worlds for sweeps: plans without files, and losses that are known."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import NamedTuple

from ftlab.eventlog import EventWriter
from ftlab.events import Decision, Event, Metrics, Status
from ftlab.job import Job
from ftlab.run import Run
from ftlab.schedule import evaluation_steps
from ftlab.spec import JobSpec
from ftlab.sweeps.answer import Answer, answer
from ftlab.sweeps.folder import Sweep
from ftlab.sweeps.plan import Arm, Plan, grid, planned
from ftlab.sweeps.rungs import Standing, decide, ending

N_STEPS = 240


def job(**changes) -> Job:
    """A resolved job, as `prepare` would make it of the demo data."""
    values = {
        **{"model": "demo", "training_file": "train.jsonl", "validation_split": 0.05},
        **{"learning_rate": 1e-3, "batch_size": 16, "lora_r": 16, "lora_alpha": 32},
        **{"random_seed": 42, "n_evals": 5, **changes},
    }
    return Job(spec=JobSpec(**values), provider="local", reasons={"lora_alpha": "twice the rank"})


def plan(n: int = 7, n_steps: int = N_STEPS, middle: float = 1e-3, **options) -> Plan:
    changes = options.pop("changes", {})
    varied = options.pop("varied", {"learning_rate": grid(middle, n)})
    return planned(job(**changes), varied, n_steps, recommended=middle, **options)


def valley(rate: float, step: int, *, best=1e-3, seed=0, noise=0.002, n_steps=N_STEPS) -> float:
    """A loss that falls from 4 with a speed and to a level that depend on the rate; far above the
    best it explodes. The noise is that of one seed, and five times as large above the best."""
    distance = math.log10(rate / best)
    level = 2 + 0.15 * distance**2 * (1 if distance < 0 else 2)
    speed = 12 * (rate / best) ** 0.8
    fallen = 1 - math.exp(-speed * step / n_steps)
    if distance > 1.2:
        return 4 + 4 * step / n_steps
    spread = noise * (5 if distance > 0.1 else 1)
    drawn = random.Random(f"{rate:.3e} {step} {seed}").gauss(0, spread)
    return 4 - (4 - level) * fallen + (drawn if step else 0.0)


class Played(NamedTuple):
    """A sweep as its process would carry it out."""

    plan: Plan
    arms: list[Arm]
    curves: dict[int, dict[int, float]]
    decisions: list[Decision]

    @property
    def answer(self) -> Answer:
        found = answer(self.plan, self.arms, self.curves)
        assert found is not None
        return found


def played(of: Plan, loss: Callable[[Arm, int], float]) -> Played:
    """Carry a plan out with losses that are known for each arm and step."""
    arms, live = [*of.arms], [*range(len(of.arms))]
    curves: dict[int, dict[int, float]] = {}
    decisions: list[Decision] = []
    steps = [0, *evaluation_steps(of.n_steps, of.job.spec.n_evals or 1)]
    rung = 0
    while rung < len(of.rungs):
        for n in live:
            curve = curves.setdefault(n, {})
            for step in steps:
                if step <= of.rungs[rung] and step not in curve and not ending(curve):
                    curve[step] = loss(arms[n], step)
        found = [Standing(n, max(curves[n]), curves[n]) for n in live]
        decision = decide(of, arms, rung, found)
        decisions.append(decision)
        live = [*decision.kept]
        for new in decision.added:
            live.append(len(arms))
            arms.append(Arm(**new))
        rung += not decision.added
    return Played(of, arms, curves, decisions)


def tell(run: Run, *events: Event) -> None:
    """Write events into the log of a run."""
    writer = EventWriter(run.event_file)
    for event in events:
        writer.append(event)
    writer.close()


def carry_out(sweep: Sweep, loss: Callable[[Arm, int], float]) -> None:
    """Write into a sweep's folder what its process would, with losses that are known."""
    found = played(sweep.plan, loss)
    tell(sweep, Status(status="running"), *found.decisions)
    for n, arm in enumerate(found.arms):
        losses = found.curves[n].items()
        metrics = (Metrics(step=s, values={"train_loss": v, "eval_loss": v}) for s, v in losses)
        run = sweep.run_of(n, arm)
        tell(run, Status(status="running", n_steps=found.plan.n_steps), *metrics)
        tell(run, Status(status="completed"))
    tell(sweep, Status(status="completed"))
