"""The pump: whatever else it has to do, it ticks."""

from __future__ import annotations

import threading

from ftlab.ui.pump import Pump

TICK = 0.01
LONGEST = 60  # seconds, for a machine that has much else to do


class Ticking:
    def __init__(self):
        self.ticks = 0
        self._changed = threading.Condition()

    def tick(self):
        with self._changed:
            self.ticks += 1
            self._changed.notify_all()

    def tell(self, level, text):
        raise AssertionError(text)

    def wait(self, more):
        """Until it has ticked so many times more."""
        with self._changed:
            wanted = self.ticks + more
            assert self._changed.wait_for(lambda: self.ticks >= wanted, LONGEST)


def test_it_ticks_while_much_is_posted():
    pump, ticking = Pump(TICK), Ticking()
    goes_on = True

    def post():  # so that something is always waiting
        if goes_on:
            pump.post(post, ticking.tell)

    post()
    pump.add(ticking)
    ticking.wait(3)
    goes_on = False


def test_what_is_removed_ticks_no_more():
    pump, removed, kept = Pump(TICK), Ticking(), Ticking()
    pump.add(removed)
    pump.add(kept)
    pump.remove(removed)
    kept.wait(2)  # a round that had begun is over
    before = removed.ticks
    kept.wait(3)
    assert removed.ticks == before
