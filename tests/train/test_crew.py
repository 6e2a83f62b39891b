"""Arms side by side, in workers of this machine: what comes of them is what comes of one process,
whoever dies."""

from __future__ import annotations

import random
from concurrent.futures import Future

import pytest

from ftlab.errors import FtlabError
from ftlab.events import Log, Status
from ftlab.sweeps.folder import Sweep
from ftlab.train.cluster import needs_of
from ftlab.train.crew import Away, Crew, WorkerDied
from tests.sweeps.worlds import plan as planned
from tests.sweeps.worlds import tell
from tests.train.test_sweeping import HALVED, LONG, comes_to, files, plan
from tests.train.warm import KILLED

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
__all__ = ["files", "plan"]
BESIDE = {"device": "cpu", "n_gpus": 2}


@pytest.fixture(scope="module")
def halved(plan):
    """A plan with rungs, at which arms end and one is added."""
    return plan(HALVED, halving=True, **LONG)


@pytest.fixture(scope="module")
def undisturbed(warm, halved, tmp_path_factory):
    sweep = Sweep.of(halved, tmp_path_factory.mktemp("whole"))
    assert warm.carry_out(sweep) == 0, sweep.log_file.read_text()
    return comes_to(sweep)


def beside(made):
    """The same plan for two workers."""
    options = {**made.job.options, **BESIDE}
    return made.model_copy(update={"job": made.job.model_copy(update={"options": options})})


# --- on this machine -------------------------------------------------------------------------


def test_workers_come_to_what_one_process_does(warm, halved, undisturbed, tmp_path):
    sweep = Sweep.of(beside(halved), tmp_path)
    assert warm.carry_out(sweep) == 0, sweep.log_file.read_text()
    assert comes_to(sweep) == undisturbed


POINTS = {"step": 14, "rename": 5, "joining": 3}


@pytest.mark.parametrize("at", POINTS)
def test_where_a_worker_dies_another_goes_on(warm, halved, undisturbed, tmp_path, at):
    sweep = Sweep.of(beside(halved), tmp_path)
    assert warm.carry_out(sweep, once={"at": at, "n": POINTS[at]}) == 0, sweep.log_file.read_text()
    assert (sweep.path / "killed").exists()
    assert comes_to(sweep) == undisturbed
    (said,) = sweep.history.logs
    assert "died (signal 9). The arm goes on from" in said.text


def test_when_its_process_is_killed_nothing_is_lost(warm, halved, undisturbed, tmp_path):
    draw, sweep = random.Random(3), Sweep.of(beside(halved), tmp_path)
    for _ in range(3):
        if warm.carry_out(sweep, kill={"after": draw.uniform(0.3, 1.5)}) != KILLED:
            break
    else:
        assert warm.carry_out(sweep) == 0, sweep.state
    assert comes_to(sweep) == undisturbed


@pytest.mark.parametrize("how", ["pause", "signal"])
def test_it_is_paused_and_goes_on(warm, halved, undisturbed, tmp_path, how):
    sweep = Sweep.of(beside(halved), tmp_path)
    assert warm.carry_out(sweep, **{how: 12}) == 0, sweep.log_file.read_text()
    assert sweep.status == "paused"
    assert {run.status for _, run in sweep.arms} == {"paused"}
    assert warm.carry_out(sweep) == 0, sweep.log_file.read_text()
    assert comes_to(sweep) == undisturbed


def test_what_is_wrong_with_an_arm_fails_it_alone_and_a_range_test_spares_others(
    warm, plan, tmp_path
):
    rates = {"learning_rate": [1e-3, 1e-2, 0.1, 1.0]}
    values = {"lora": False, "lora_dropout": 0.0, "n_epochs": 8, "batch_size": 2}
    made = plan(rates, range_test=True, **values)
    one, two = Sweep.of(made, tmp_path / "one"), Sweep.of(beside(made), tmp_path / "two")
    assert warm.carry_out(one) == 0, one.log_file.read_text()
    assert warm.carry_out(two) == 0, two.log_file.read_text()
    assert two.decisions[0].rung == -1
    assert [d.model_dump(exclude={"time"}) for d in two.decisions] == [
        d.model_dump(exclude={"time"}) for d in one.decisions
    ]


# --- small worlds ----------------------------------------------------------------------------


class Told:
    """Workers that do as they are told: die, or say what they found."""

    def __init__(self, *says) -> None:
        self.says, self.tasks = [*says], []

    def submit(self, task):
        self.tasks.append(task)
        future = Future()
        future.set_result(self.says.pop(0))
        return future

    def reply(self, future):
        found = future.result()
        if found == "dies":
            raise WorkerDied("signal 9")
        return found


def world(tmp_path, *says, asked=lambda: None):
    sweep, told, workers = Sweep.of(planned(1), tmp_path), [], Told(*says)
    ((_, run),) = sweep.arms
    return Crew(sweep, workers, asked, told.append), Away(0, run, asked), workers, told


REACHED = {"place": [20, 240, True], "has_ended": False, "failed": ""}


def test_an_arm_has_a_few_lives(tmp_path):
    crew, arm, workers, told = world(tmp_path, "dies", "dies", REACHED)
    crew.all_to([arm], 20)
    assert arm.has_reached(20)
    assert [task["step"] for task in workers.tasks] == [20] * 3
    assert [type(one) for one in told] == [Log] * 2
    crew, arm, *_ = world(tmp_path, "dies", "dies", "dies")
    with pytest.raises(FtlabError, match=r"has died 3 times after step 0 \(signal 9\)"):
        crew.all_to([arm], 20)


def test_an_arm_that_waits_has_not_failed_and_one_that_was_ended_is_left(tmp_path):
    crew, arm, workers, _ = world(tmp_path)
    assert arm.run.state == ("paused", "waits for its turn")
    tell(arm.run, Status(status="completed", detail="stopped by hand"))
    crew.all_to([arm], 20)
    assert (arm.has_ended, workers.tasks) == (True, [])


def test_a_problem_of_a_worker_is_that_of_the_sweep(tmp_path, capsys):
    crew, arm, *_ = world(tmp_path, {"problem": "The disk is full.", "trace": "a trace"})
    with pytest.raises(FtlabError, match="The disk is full"):
        crew.all_to([arm], 20)
    assert "a trace" in capsys.readouterr().out


def test_what_an_arm_takes_of_a_cluster():
    cores, gpus = {"CPU": 8.0}, {"CPU": 64.0, "GPU": 4.0}
    assert needs_of("auto", [cores, gpus]) == {"num_gpus": 1}
    assert needs_of("cpu", [cores, gpus]) == {"num_cpus": 8}
    assert needs_of("auto", [{"memory": 1e9}]) == {"num_cpus": 1}
