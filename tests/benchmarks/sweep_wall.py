"""Four arms of 200 steps on the demo model: one process, against a process for each.

All start cold, and evaluate ten times; ftlab and TRL take the same rows, the same LoRA and the
same rates, without padding. The contenders take turns.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ftlab import demo
from ftlab.processes import environment, patience
from ftlab.providers import prepare
from ftlab.run import Run
from ftlab.sweeps.folder import Sweep
from ftlab.sweeps.plan import Plan, planned
from tests.benchmarks.trainer_figures import Goal, judge, spread

RATES = (1.3e-3, 4e-3, 1.3e-2, 4e-2)
N_STEPS, N_EVALS = 200, 10
JOB = {**demo.JOB, "max_steps": N_STEPS, "n_evals": N_EVALS, "lora_r": 8, "lora_alpha": 16}
GOALS = {
    "whole / four runs of ftlab": Goal(0.8, at_most=True),
    "whole / four runs of TRL": Goal(0.5, at_most=True),
    "halved / four runs of ftlab": Goal(0.4, at_most=True),
    "peak / that of one run": Goal(1.1, at_most=True),
}

TRL = """
import json, sys
from datasets import load_dataset
from peft import LoraConfig
from trl import SFTConfig, SFTTrainer

job, out = json.loads(sys.argv[1]), sys.argv[2]
config = SFTConfig(
    output_dir=out, per_device_train_batch_size=job["batch_size"], max_steps=job["max_steps"],
    learning_rate=job["learning_rate"], warmup_steps=round(job["warmup_ratio"] * job["max_steps"]),
    lr_scheduler_type="cosine", assistant_only_loss=True, padding_free=True, max_length=None,
    eval_strategy="steps", eval_steps=job["max_steps"] // job["n_evals"], eval_on_start=True,
    gradient_checkpointing=False, use_cpu=True, bf16=False, report_to=[], save_strategy="no",
    disable_tqdm=True, logging_steps=1, model_init_kwargs={"dtype": "float32"},
)
files = {"train": job["training_file"], "test": job["validation_file"]}
rows = load_dataset("json", data_files=files)
trainer = SFTTrainer(
    model=job["folder"], args=config, train_dataset=rows["train"], eval_dataset=rows["test"],
    peft_config=LoraConfig(
        r=job["lora_r"], lora_alpha=job["lora_alpha"], target_modules="all-linear",
        task_type="CAUSAL_LM",
    ),
)
trainer.train()
trainer.save_model(out)
"""


class Took(NamedTuple):
    """What processes took, one after another."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int

    @classmethod
    def of(cls, arguments: Sequence[Sequence[str]], variables: dict[str, str]) -> Took:
        """Run them to their ends."""
        began, cpu, peak = time.perf_counter(), 0.0, 0
        for one in arguments:
            process = subprocess.Popen(
                [sys.executable, *one],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=variables,
            )
            assert process.stderr is not None
            said = process.stderr.read()
            _, status, used = os.wait4(process.pid, 0)
            if status:
                sys.exit(f"{one[:3]} failed:\n{said.decode()[-3000:]}")
            cpu += used.ru_utime + used.ru_stime
            peak = max(peak, used.ru_maxrss * 1024)
        return cls(time.perf_counter() - began, cpu, peak)


def plan(*, halving: bool) -> Plan:
    return planned(prepare(JOB).job, {"learning_rate": RATES}, N_STEPS, halving=halving)


def runs(folder: Path) -> Took:
    """The arms, a process for each."""
    whole = plan(halving=False)
    made = [Run.create(whole.job_of(arm), folder / "runs") for arm in whole.arms]
    return Took.of(
        [("-P", "-m", "ftlab.train", str(run.path)) for run in made], environment() | patience()
    )


def swept(folder: Path, *, halving: bool) -> Took:
    """The arms in one process."""
    sweep = Sweep.of(plan(halving=halving), folder / "sweeps")
    took = Took.of([("-P", "-m", "ftlab.train.sweep", str(sweep.path))], environment() | patience())
    steps = [run.history.last_step for _, run in sweep.arms]
    print(f"    {sweep.state.status}, steps of the arms {steps}")
    return took


def trl(folder: Path) -> Took:
    """The arms with TRL, a process for each."""
    variables = {**os.environ, "HF_DATASETS_CACHE": str(folder / "cache"), "HF_HUB_OFFLINE": "1"}
    jobs = [{**JOB, "folder": str(demo.MODEL), "learning_rate": rate} for rate in RATES]
    arguments = [("-c", TRL, json.dumps(job), str(folder / "trl")) for job in jobs]
    return Took.of(arguments, {**variables, "TOKENIZERS_PARALLELISM": "false"})


def measure(folder: Path, n_rounds: int) -> bool:
    """Print times, peaks and their ratios; returns whether all is as wanted."""
    contenders = {
        "four runs of ftlab": runs,
        "whole": lambda folder: swept(folder, halving=False),
        "halved": lambda folder: swept(folder, halving=True),
        "four runs of TRL": trl,
    }
    found: dict[str, list[Took]] = {name: [] for name in contenders}
    for number in range(n_rounds):
        for name, contender in contenders.items():
            took = contender(folder)
            found[name].append(took)
            used = f"{took.cpu_seconds:7.1f} CPU s {took.peak_bytes / 2**20:5.0f} MiB"
            load = f"load {os.getloadavg()[0]:.1f}"
            print(f"  round {number + 1}, {name:20}{took.seconds:7.1f} s {used}, {load}")
    for name, tooks in found.items():
        print(f"  {name:20}{spread([took.seconds for took in tooks])} s")
    held = [_judged(found, what, goal) for what, goal in GOALS.items()]
    return all(held)


def _judged(found: dict[str, list[Took]], what: str, goal: Goal) -> bool:
    """One ratio by the clock, and beside it by CPU time, which other processes disturb less."""
    if what.startswith("peak"):
        pairs = list(zip(found["whole"], found["four runs of ftlab"], strict=True))
        return judge(what, [a.peak_bytes / b.peak_bytes for a, b in pairs], goal)
    mine, theirs = what.split(" / ")
    pairs = list(zip(found[mine], found[theirs], strict=True))
    judge(f"{what}, CPU time", [a.cpu_seconds / b.cpu_seconds for a, b in pairs], None)
    return judge(what, [a.seconds / b.seconds for a, b in pairs], goal)
