"""How often the doctor is right.

    python tests/benchmarks/doctor.py generated            curves that are made up
    python tests/benchmarks/doctor.py published FOLDER     NeMo AutoModel's curves on H100s
    python tests/benchmarks/doctor.py real [--anew]        runs of ftlab's trainer made for it
    python tests/benchmarks/doctor.py drawn FILE …         those of jobs that were drawn from a seed

What counts as right is in `tests/diagnosis/truth.py`. Thresholds were chosen on the seeds for
tuning (--tuning); the others were looked at afterwards alone.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[2]))

from ftlab.diagnosis import Curve, diagnose
from ftlab.diagnosis.reading import curve_of_file
from tests.diagnosis.generated import generated, healthy
from tests.diagnosis.real_curves import real_curves
from tests.diagnosis.truth import (
    CURVES_OF_A_LABEL,
    HEALTHY_CURVES,
    HELD_OUT,
    LABELS,
    PUBLISHED,
    REAL_HELD_OUT,
    REAL_TUNING,
    TUNING,
)


class Case(NamedTuple):
    name: str
    allowed: Collection[str]
    curve: Curve


class Judged(NamedTuple):
    name: str
    allowed: Collection[str]
    said: str

    @property
    def is_right(self) -> bool:
        return self.said in self.allowed

    @property
    def label(self) -> str:
        """What was said where that is right, and otherwise what would have been."""
        return self.said if self.is_right else sorted(self.allowed)[0]


def generated_cases(seed: int, per_label: int = CURVES_OF_A_LABEL) -> list[Case]:
    return [Case(x.label, {x.label}, x.curve) for x in generated(seed, per_label)]


def healthy_cases(seed: int) -> list[Case]:
    return [Case(x.label, {x.label}, x.curve) for x in healthy(seed, HEALTHY_CURVES)]


def published_cases(folder: Path) -> list[Case]:
    return [
        Case(name, allowed, curve_of_file(folder / f"{name}.jsonl"))
        for name, allowed in PUBLISHED.items()
    ]


def real_cases(seeds: Collection[int]) -> list[Case]:
    return [Case(x.name, x.allowed, x.curve) for x in real_curves() if x.seed in seeds]


def drawn_cases(files: Iterable[Path]) -> list[Case]:
    """Of what `tests/diagnosis/real_drawn.py` has written."""
    return [
        Case(f"{file.stem}: {x.name}", x.allowed, x.curve)
        for file in files
        for x in real_curves(file)
    ]


def judged(cases: Iterable[Case]) -> list[Judged]:
    return [Judged(x.name, x.allowed, diagnose(x.curve).label) for x in cases]


def right_share(found: list[Judged]) -> float:
    return sum(one.is_right for one in found) / len(found)


def false_alarms(found: list[Judged]) -> float:
    """Of the runs that are good and nothing else, the share of which something else is said."""
    healthy = [one for one in found if set(one.allowed) == {"good"}]
    return sum(not one.is_right for one in healthy) / max(len(healthy), 1)


def confusion(found: list[Judged]) -> str:
    """A table: rows are what is right, columns what was said."""
    counts = Counter((one.label, one.said) for one in found)
    columns = [x for x in (*LABELS, "undecided") if any(said == x for _, said in counts)]
    width = max(map(len, LABELS))
    lines = [" " * width + "".join(f"{_initials(x):>6}" for x in columns)]
    for label in LABELS:
        if any(right == label for right, _ in counts):
            cells = (counts[label, said] or "·" for said in columns)
            lines.append(f"{label:<{width}}" + "".join(f"{cell:>6}" for cell in cells))
    return "\n".join(lines)


def _initials(label: str) -> str:
    return ".".join(part[:2] for part in label.split("_"))[-5:]


def report(title: str, cases: list[Case]) -> None:
    began = time.perf_counter()
    found = judged(cases)
    took = (time.perf_counter() - began) / len(found)
    right = sum(one.is_right for one in found)
    print(
        f"{title}: {right} of {len(found)} right ({right_share(found):.1%}), "
        f"{false_alarms(found):.1%} false alarms on good; {1000 * took:.1f} ms each"
    )
    print(confusion(found))
    if len(found) < 200:
        for one in found:
            if not one.is_right:
                print(f"  {one.name}: said {one.said}; right: {', '.join(sorted(one.allowed))}")
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("which", choices=("generated", "published", "real", "drawn"))
    parser.add_argument("paths", nargs="*", type=Path, help="of published or drawn curves")
    parser.add_argument("--tuning", action="store_true", help="only the first ones")
    parser.add_argument("--anew", action="store_true", help="make the real runs first")
    options = parser.parse_args()
    if options.which == "generated":
        seed = TUNING if options.tuning else HELD_OUT
        report(f"Generated, seed {seed}", generated_cases(seed))
        report(f"Healthy, seed {seed}", healthy_cases(seed))
    elif options.which == "published":
        report("Published", published_cases(*options.paths))
    elif options.which == "drawn":
        report("Real, of drawn jobs", drawn_cases(options.paths))
    else:
        if options.anew:
            from tests.diagnosis.real_runs import main as make

            make([])
        report("Real, the first three seeds", real_cases(REAL_TUNING))
        if not options.tuning:
            report("Real, the last that were made", real_cases({REAL_HELD_OUT}))
            report("Real, all", real_cases((*REAL_TUNING, REAL_HELD_OUT)))


if __name__ == "__main__":
    main()
