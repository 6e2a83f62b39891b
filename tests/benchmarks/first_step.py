"""From Train to the first loss, against TRL in a fresh process, on the demo model and its data.

    python tests/benchmarks/first_step.py [PAIRS]

Both start a process, import, read the 1,200 chats, load the model, put the same LoRA on it, and
make one optimizer step of 16 rows. Ours is timed from `submit()` to the first train_loss event,
without validation data, so that no evaluation comes first. The two take turns.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ftlab import demo
from ftlab.data.report import scan
from ftlab.providers import submit

TRL = """
import sys
from datasets import load_dataset
from peft import LoraConfig
from transformers import TrainerCallback
from trl import SFTConfig, SFTTrainer

class FirstStep(TrainerCallback):
    def on_step_end(self, *_, **__):
        print("first step", flush=True)
        sys.stdin.read()

model, train, out = sys.argv[1:]
config = SFTConfig(
    output_dir=out, per_device_train_batch_size=16, num_train_epochs=4, learning_rate=4e-3,
    warmup_steps=15, lr_scheduler_type="cosine", assistant_only_loss=True, max_length=128,
    gradient_checkpointing=False, use_cpu=True, bf16=False, report_to=[], save_strategy="no",
    disable_tqdm=True, model_init_kwargs={"dtype": "float32"},
)
trainer = SFTTrainer(
    model=model, args=config, train_dataset=load_dataset("json", data_files=train, split="train"),
    peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
    callbacks=[FirstStep()],
)
trainer.train()
"""


def ours(folder: Path) -> float:
    """Seconds from submit() to the first train_loss event."""
    values = {k: v for k, v in demo.JOB.items() if k not in ("validation_file", "n_evals")}
    report = scan(demo.TRAIN, "demo")  # the form has it by the time that Train is pressed
    began = time.time()
    run = submit(values, report=report, folder=folder)
    while not (points := run.history.times):
        time.sleep(0.005)
    run.cancel()
    run.wait(60)
    while run.is_alive:
        time.sleep(0.02)
    return next(iter(points.values())) - began


def theirs(folder: Path) -> float:
    """Seconds from the start of TRL's process to the end of its first step."""
    environment = {**os.environ, "HF_DATASETS_CACHE": str(folder), "HF_HUB_OFFLINE": "1"}
    arguments = [sys.executable, "-c", TRL, str(demo.MODEL), str(demo.TRAIN), str(folder)]
    began = time.time()
    process = subprocess.Popen(
        arguments,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        text=True,
    )
    for line in process.stdout:
        if line.startswith("first step"):
            seconds = time.time() - began
            break
    process.kill()
    process.wait()
    return seconds


def main() -> None:
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    ratios, ftlab, trl = [], [], []
    for pair in range(pairs + 1):
        with tempfile.TemporaryDirectory() as folder:
            a, b = ours(Path(folder) / "runs"), theirs(Path(folder) / "trl")
        if pair == 0:
            continue  # file caches and byte code are warm from here on
        print(f"ftlab {a:.2f} s   TRL {b:.2f} s   ratio {a / b:.2f}")
        ratios.append(a / b)
        ftlab.append(a)
        trl.append(b)
    print(
        f"median: ftlab {statistics.median(ftlab):.2f} s, TRL {statistics.median(trl):.2f} s, "
        f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    )


if __name__ == "__main__":
    main()
