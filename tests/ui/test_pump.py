"""The pump: whatever else it has to do, it ticks."""

from __future__ import annotations

import threading
import time

from ftlab.ui.pump import TICK, Pump


class Ticking:
    def __init__(self):
        self.ticks = 0

    def tick(self):
        self.ticks += 1

    def tell(self, level, text):
        raise AssertionError(text)


def test_it_ticks_while_much_is_posted():
    pump, ticking, end = Pump(), Ticking(), threading.Event()
    pump.add(ticking)

    def post():
        while not end.wait(TICK / 10):
            pump.post(lambda: None, ticking.tell)

    busy = threading.Thread(target=post)
    busy.start()
    time.sleep(5 * TICK)
    end.set()
    busy.join()
    assert ticking.ticks >= 2


def test_what_is_removed_ticks_no_more():
    pump, ticking = Pump(), Ticking()
    pump.add(ticking)
    pump.remove(ticking)
    time.sleep(2 * TICK)
    assert ticking.ticks == 0
