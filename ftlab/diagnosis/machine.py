"""What a curve may show of the machine: its speed, its memory, its use."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from ftlab.diagnosis import shapes
from ftlab.diagnosis.advising import NEMO, PRACTICE
from ftlab.diagnosis.findings import Advice
from ftlab.diagnosis.medians import median
from ftlab.diagnosis.registry import OBSERVATIONS, Hit, detector
from ftlab.diagnosis.statistics import Statistics

SOME, MANY = 50, 100
"""Steps before which a detector says nothing."""
RECENT = 100
"""Steps: what was waited for before is over."""
WAITED = 0.3
"""Share of a step; on a CPU a model of 100,000 parameters waits for a fifth while rows are new."""
GROWN = 0.2
"""Share by which memory grows to the end; rows that are kept once they are read take less."""


@detector(
    OBSERVATIONS,
    meaning="The steps have become slower than they were.",
    source=PRACTICE,
    advise=lambda _: (
        Advice("See who else uses the device (`ftlab queue`), and whether it is hot.", PRACTICE),
    ),
    example=lambda: shapes.falling(tokens_per_second=[9e3] * 250 + [4e3] * 150),
    least_steps=SOME,
)
def throughput_drop(facts: Statistics) -> Hit | None:
    speeds = [x for x in facts.curve.tokens_per_second if math.isfinite(x)]
    if len(speeds) < SOME:
        return None
    tail = max(len(speeds) // 5, 10)
    before, after = median(speeds[5:-tail]), median(speeds[-tail:])
    if after > 0.7 * before:
        return None
    return Hit(0.8, {"tokens_per_second_before": before, "tokens_per_second": after})


@detector(
    OBSERVATIONS,
    meaning="A large part of each step is spent waiting for its rows.",
    source=PRACTICE,
    advise=lambda _: (
        Advice("Keep the training file on a disk of this machine.", PRACTICE),
        Advice("Later epochs do not wait: rows are kept once they are read.", PRACTICE),
    ),
    example=lambda: shapes.falling(seconds=[1.0] * 400, loader_seconds=[0.4] * 400),
    least_steps=20,
)
def loader_bound(facts: Statistics) -> Hit | None:
    pairs = zip(facts.curve.loader_seconds, facts.curve.seconds, strict=False)
    shares = [waited / whole for waited, whole in pairs if whole > 0]
    if not shares or (share := median(shares[-RECENT:])) < WAITED:
        return None
    return Hit(0.9, {"share_waited": share})


@detector(
    OBSERVATIONS,
    meaning="The memory grows from step to step.",
    source=PRACTICE,
    advise=lambda _: (
        Advice(
            "Pause and resume: a new process begins with empty memory.", PRACTICE, {}, "no step"
        ),
    ),
    example=lambda: shapes.falling(memory_gib=[4 + 0.01 * i for i in range(400)]),
    least_steps=MANY,
)
def memory_creep(facts: Statistics) -> Hit | None:
    """Of the process or of the GPU; what is there at the end follows from the pace."""
    for of, held in (("gpu_", facts.curve.gpu_memory_gib), ("", facts.curve.memory_gib)):
        levels = _levels([x for x in held if math.isfinite(x)])
        rises = [b - a for a, b in pairwise(levels)]
        if not rises or min(rises) < 0.2 * max(rises) or levels[0] <= 0:
            continue
        per_run = (levels[-1] - levels[0]) / (0.2 * len(rises))  # levels are a fifth apart
        last = levels[-1] + per_run * (1 / max(facts.curve.share_done, 0.01) - 1)
        if last / levels[0] - 1 >= GROWN:
            evidence = {f"{of}gib_before": levels[0], f"{of}gib": levels[-1]}
            return Hit(0.7, {**evidence, f"{of}gib_at_the_end": last})
    return None


def _levels(held: Sequence[float]) -> list[float]:
    """Medians of the fifths but the first, in which a run fills its memory."""
    fifth = len(held) // 5 if len(held) >= MANY else 0
    return [median(held[k * fifth : (k + 1) * fifth]) for k in range(1, 5)] if fifth else []


@detector(
    OBSERVATIONS,
    meaning="The device is used for a small part of what it can do.",
    source=NEMO,
    advise=lambda facts: (
        Advice("More rows at once: raise micro_batch_size; rows a step stay as they are.", NEMO),
        Advice("Pack short rows (packing).", NEMO, {} if facts.curve.spec.packing else
               {"packing": True}),
    ),
    example=lambda: shapes.falling(utilization=[12.0] * 400),
    least_steps=20,
)  # fmt: skip
def low_utilization(facts: Statistics) -> Hit | None:
    used = [x for x in facts.curve.utilization if math.isfinite(x)]
    if not used or (share := median(used)) >= 30:
        return None
    return Hit(0.7, {"percent": share})


@detector(
    OBSERVATIONS,
    meaning="The memory did not suffice.",
    source=NEMO,
    advise=lambda _: (
        Advice("Half the micro_batch_size; rows a step stay as they are.", NEMO),
        Advice("Then gradient_checkpointing, nf4 quantization, shorter sequences.", NEMO,
               {"quantization": "nf4"}),
    ),
    example=lambda: shapes.falling(30, failure="CUDA out of memory. Tried to allocate 2.00 GiB"),
    least_steps=0,
)  # fmt: skip
def out_of_memory(facts: Statistics) -> Hit | None:
    text = facts.curve.failure.lower()
    if "out of memory" not in text and "memory did not suffice" not in text:
        return None
    return Hit(0.97, {"said": facts.curve.failure[:120]})
