"""Every way of training, on three architectures, exported in every form: what is right is proved,
and what is wrong is not.

    python -m tests.benchmarks.exports [FOLDER]

prints a line for each export and for each planted fault, and ends with 1 where one of them came out
otherwise than it should.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

from ftlab.exports.proof import Proof
from ftlab.run import Run
from tests.exports.making import FAULTS, Made, exported, planted, proved, trained
from tests.small import save_architecture

FAMILIES = ("qwen3", "gpt2", "gemma3_text")
WAYS: dict[str, dict[str, Any]] = {
    "LoRA": {},
    "rsLoRA": {"use_rslora": True},
    "DoRA": {"use_dora": True},
    "full": {"lora": False, "learning_rate": 2e-3},
    "DPO after SFT": {"training_method": "dpo"},
}
DTYPES = ("fp32", "bf16")


# --- the table -------------------------------------------------------------------------------


def exports_of(folder: Path, family: str) -> dict[tuple[str, str, str], Made]:
    """(way, form, dtype) → an export of a model of this family."""
    model = save_architecture(folder / "base", family)
    runs, found = dict[str, Run](), dict[tuple[str, str, str], Made]()
    for way, changes in WAYS.items():
        more = {"from_checkpoint": str(runs["LoRA"].path)} if "DPO" in way else {}
        runs[way] = trained(folder, model, **changes, **more)
        for form in ("merged",) if way == "full" else ("adapter", "merged"):
            for dtype in DTYPES:
                found[way, form, dtype] = exported(runs[way], form, dtype)
    return found


def line(cells: tuple[str, ...], proof: Proof, *, is_right: bool) -> str:
    figures = (proof.difference, proof.bound, proof.changed)
    numbers = "".join(f"{'—' if x is None else f'{x:.2e}':>10}" for x in figures)
    agreed = f"{proof.n_agreed}/{proof.n_greedy}"
    said = {True: "proved", False: "refused", None: "unproved"}[proof.passed]
    mark = "" if is_right else "  WRONG"
    return f"{''.join(f'{cell:<20}' for cell in cells)}{numbers}{agreed:>10}  {said}{mark}"


def measured(folder: Path, family: str) -> tuple[int, int, int]:
    """Exports that were proved, faults that were caught, and what came out wrong."""
    made = exports_of(folder, family)
    wrong = [
        (fault, made[fault.way, fault.form, dtype], dtype) for fault in FAULTS for dtype in DTYPES
    ]
    folders = [planted(fault, one, i) for i, (fault, one, _) in enumerate(wrong)]
    right = [(one, one.folder) for one in made.values()]
    proofs = proved([*right, *((one, f) for (_, one, _), f in zip(wrong, folders, strict=True))])
    for key, proof in zip(made, proofs, strict=False):
        print(line((family, *key), proof, is_right=proof.passed is True))
    for (fault, _, dtype), proof in zip(wrong, proofs[len(right) :], strict=True):
        cells = (family, fault.kind, fault.name, f"{fault.form} {dtype}")
        print(line(cells, proof, is_right=proof.passed is False), flush=True)
    n_proved = sum(proof.passed is True for proof in proofs[: len(right)])
    n_caught = sum(proof.passed is False for proof in proofs[len(right) :])
    return n_proved, n_caught, len(proofs) - n_proved - n_caught


def main() -> int:
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(sys.argv[1] if len(sys.argv) > 1 else temporary)
        totals = [0, 0, 0]
        for family in FAMILIES:
            folder = root / family
            folder.mkdir(parents=True)
            totals = [a + b for a, b in zip(totals, measured(folder, family), strict=True)]
    print(f"{totals[0]} exports proved, {totals[1]} faults caught, {totals[2]} came out wrong")
    return 1 if totals[2] else 0


if __name__ == "__main__":
    sys.exit(main())
