"""Arms in turns: who is in memory, and what becomes of all when something goes wrong."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from ftlab.errors import FtlabError
from ftlab.train.turns import Turns

BROKEN = RuntimeError("CUDA error: an illegal memory access was encountered")
FULL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


class World:
    """Arms of ten steps, and the memory that they share."""

    def __init__(self, problem: BaseException, at: int | None = None, n: int = 4) -> None:
        """The problem arises as soon as `at` of them are in memory."""
        self.problem, self.at, self.most = problem, at, 0
        self.arms = [Arm(self, number) for number in range(n)]

    def look(self) -> None:
        here = sum(arm.is_here for arm in self.arms)
        self.most = max(self.most, here)
        if here == self.at:
            raise self.problem

    def turns(self, crowd=None) -> Turns:
        shared = SimpleNamespace(device="none", prepared=None)
        found = Turns(shared, lambda _: None, lambda: None, crowd)
        found._room_for = lambda *_: 9
        return found


class Arm:
    """What a contender says of itself."""

    def __init__(self, world: World, number: int) -> None:
        self.world, self.number, self.step = world, number, 0
        self.is_here = self.has_ended = False
        self.failed = self.hopeless = ""
        self.run = SimpleNamespace(asked=lambda: None)

    def has_reached(self, step):
        return self.step >= 10

    def come(self, *_):
        self.is_here = True
        self.world.look()

    def train(self, _):
        self.world.look()
        self.step += 1

    def rest(self):
        self.is_here = False

    leave = rest

    def fail(self, text):
        self.failed, self.has_ended = text, True


def test_what_is_no_fault_of_an_arm_fails_none():
    world = World(BROKEN, at=3)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        world.turns().all_to(world.arms, None)
    assert not any(arm.failed for arm in world.arms)


@pytest.mark.parametrize("problem", [FtlabError("Its rows are spoiled."), FULL])
def test_what_is_its_own_fails_the_arm_alone(problem):
    world = World(problem, at=1, n=1)
    world.turns().all_to(world.arms, None)
    assert world.arms[0].failed


def test_where_the_memory_does_not_suffice_for_so_many_fewer_go_on():
    world = World(FULL, at=3)
    world.turns().all_to(world.arms, None)
    assert [arm.step for arm in world.arms] == [10] * 4
    assert not any(arm.failed for arm in world.arms)


def test_after_a_kill_half_as_many_are_in_memory(tmp_path):
    crowd = tmp_path / "in_memory.txt"
    for most in (4, 2):
        world = World(KeyboardInterrupt(), at=most)
        with pytest.raises(KeyboardInterrupt):
            world.turns(crowd).all_to(world.arms, None)
        assert crowd.read_text() == str(most)
    world = World(KeyboardInterrupt(), at=2)
    world.turns(crowd).all_to(world.arms, None)
    assert (world.most, [arm.step for arm in world.arms]) == (1, [10] * 4)
