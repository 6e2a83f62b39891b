"""Whether a job fits on its device, and what to change when it does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

from ftlab.devices import Device
from ftlab.issues import Issue
from ftlab.local_plan import LocalPlan
from ftlab.memory import GIB, Parts, two_digits
from ftlab.timing import Range

Verdict = Literal["fits", "tight", "does not fit"]
CHECKPOINTING = "gradient_checkpointing"
SHARD = "shard"
SHORTEST = 256  # tokens; below that, another model is better advice


def verdict(memory: Range, device: Device) -> Verdict:
    """ "fits" when all of the range is free now, "does not fit" when even its lower end is more
    than there is."""
    low, high = memory
    if low > device.memory_bytes:
        return "does not fit"
    return "fits" if high <= (device.free_bytes or device.memory_bytes) else "tight"


def memory_advice(plan: LocalPlan, ranged: Callable[[Parts], Range]) -> Issue | None:
    """What to change so that the job fits, with the fix; None when it does.

    `ranged` makes a range of what the formula says. The fix may name the provider's options.
    """
    device, memory = plan.device, ranged(plan.parts)
    found = verdict(memory, device)
    if found == "fits":
        return None
    there = f"the {device.title} has {device.memory_bytes / GIB:.3g} GiB"
    if device.free_bytes and found == "tight":
        there += f", {device.free_bytes / GIB:.3g} of them free"
    takes = f"The job takes {in_gib(memory)}; {there}."
    level = "warning" if found == "does not fit" else "tip"
    for changes, means in _changes(plan):
        after = ranged(plan.changed(**changes).parts)
        if verdict(after, device) == "fits":
            fields = ", ".join(f"{name} to {value}" for name, value in changes.items())
            text = f"{takes} Set {fields}: {means}, {in_gib(after)}."
            return Issue(level, text, "memory", next(iter(changes)), fix=changes)
    return Issue(level, f"{takes} {_nothing_helps(plan, found)}", "memory", "model")


def _changes(plan: LocalPlan) -> Iterator[tuple[dict[str, Any], str]]:
    """Changes and what they mean, the cheapest first."""
    at_once = round(plan.rows.rows_per_piece)
    rows = 1 << (at_once - 1).bit_length()
    while rows > 1:
        rows //= 2
        n_pieces = -(-plan.rows.per_step // rows)
        yield {"micro_batch_size": rows}, f"{n_pieces} pieces per step, the same effective batch"
    alone = {"micro_batch_size": 1} if at_once > 1 else {}
    fewer: dict[str, Any] = {CHECKPOINTING: True}
    if not plan.setup.checkpointing:
        yield fewer, "a third more time, the same result"
        yield {**alone, **fewer}, "a third more time, the same effective batch"
    if plan.may_be_sharded:
        means = "each GPU holds its share of the model, a slower step, the same result"
        yield {SHARD: True}, means
        fewer = {SHARD: True, **fewer}
        yield fewer, means
        yield {**alone, **fewer}, means
    length = max(plan.rows.lengths, default=0)
    while length // 2 >= SHORTEST:
        length //= 2
        n_cut = sum(n for size, n in plan.rows.lengths.items() if size > length)
        means = f"{n_cut / max(sum(plan.rows.lengths.values()), 1):.0%} of the rows lose their end"
        yield {**fewer, "max_seq_length": length}, means
        yield {**alone, **fewer, "max_seq_length": length}, means


def _nothing_helps(plan: LocalPlan, found: Verdict) -> str:
    if found == "tight":
        return "Close other programs before it starts."
    weights = in_gib((plan.parts.weights, plan.parts.weights))
    return f"Its weights alone take {weights}. Choose a smaller model, or train it hosted."


def in_gib(memory: Range) -> str:
    """ "4.8 to 5.4 GiB"."""
    low, high = (two_digits(end / GIB) for end in memory)
    return f"{low} GiB" if low == high else f"{low} to {high} GiB"
