"""Packing: which rows share a sequence, so that little of its length stays empty.

Best fit, the longest first: each row goes where it leaves the least room (Johnson, 1973). It
depends on nothing but the lengths, and rows of one length change places freely.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class _Rooms:
    """Packs, found by the room that is left in them."""

    def __init__(self, longest: int) -> None:
        self.n_packs = 0
        self._longest = longest
        self._packs: dict[int, list[int]] = {}
        self._free = 0  # bit r is set while some pack has room for r tokens

    def put(self, size: int) -> int:
        """The number of the pack that a row of that size goes into; a new one where none has
        room."""
        fitting = self._free >> size
        if fitting:
            room = size + (fitting & -fitting).bit_length() - 1
            pack = self._packs[room].pop()
            self._free ^= (not self._packs[room]) << room
        else:
            room, pack = self._longest, self.n_packs
            self.n_packs += 1
        left = room - size
        self._packs.setdefault(left, []).append(pack)
        self._free |= 1 << left
        return pack


def packed(lengths: Sequence[int], longest: int) -> list[list[int]]:
    """The rows of each pack, by their places in `lengths`; a row longer than `longest` counts as
    one of that length. Among rows of one length, those that come first are placed first."""
    rooms, packs = _Rooms(longest), list[list[int]]()
    for place in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        pack = rooms.put(min(lengths[place], longest))
        if pack == len(packs):
            packs.append([])
        packs[pack].append(place)
    return packs


def count_packs(lengths: Mapping[int, int], longest: int) -> int:
    """How many packs rows make; `lengths` is length → rows."""
    rooms = _Rooms(longest)
    for length in sorted(lengths, reverse=True):
        for _ in range(lengths[length]):
            rooms.put(min(length, longest))
    return rooms.n_packs
