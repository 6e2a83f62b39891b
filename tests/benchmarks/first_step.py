"""From Train to the first loss, against TRL in a fresh process, on the demo model and its data.

    python tests/benchmarks/first_step.py [PAIRS]

Both start a process, import, read 2,000 chats, load the model, put the same LoRA on it, and make
one optimizer step of 16 rows without padding. Ours is timed from `submit()` to the first train_loss
event, without validation data, so that no evaluation comes first. The two take turns.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from itertools import count, islice
from pathlib import Path

from ftlab import demo
from ftlab.data.report import scan
from ftlab.demo.text import data_files
from ftlab.providers import submit
from tests.benchmarks.trainer_figures import Goal, judge, spread
from tests.small import write_rows

N_ROWS = 2000
WANTED = Goal(0.65, at_most=True)

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
    warmup_steps=15, lr_scheduler_type="cosine", assistant_only_loss=True,
    padding_free=True, max_length=None,
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


def chats(folder: Path) -> Path:
    """The demo's chats and as many others of its kind."""
    drawn = (row for seed in count() for row in data_files(seed)["train.jsonl"])
    return write_rows(folder / "train.jsonl", islice(drawn, N_ROWS))


def ours(train: Path, folder: Path) -> float:
    """Seconds from submit() to the first train_loss event."""
    values = {k: v for k, v in demo.JOB.items() if k not in ("validation_file", "n_evals")}
    values["training_file"] = str(train)
    report = scan(train, "demo")  # the form has it by the time that Train is pressed
    began = time.time()
    run = submit(values, report=report, folder=folder)
    while not (points := run.history.times):
        if run.state.ended:
            sys.exit(f"The run ended before its first step: {run.state}")
        time.sleep(0.005)
    run.cancel()
    run.wait(60)
    while run.is_alive:
        time.sleep(0.02)
    return next(iter(points.values())) - began


def theirs(train: Path, folder: Path) -> float:
    """Seconds from the start of TRL's process to the end of its first step."""
    environment = {**os.environ, "HF_DATASETS_CACHE": str(folder), "HF_HUB_OFFLINE": "1"}
    arguments = [sys.executable, "-c", TRL, str(demo.MODEL), str(train), str(folder)]
    began = time.time()
    process = subprocess.Popen(
        arguments,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        text=True,
    )
    try:
        for line in process.stdout:
            if line.startswith("first step"):
                return time.time() - began
    finally:
        process.kill()
        process.wait()
    sys.exit("TRL ended before its first step.")


def measure(n_pairs: int) -> bool:
    """Print the times and their ratio; returns whether that is as wanted."""
    print(f"start: the demo model, {N_ROWS:,} chats")
    pairs = []
    for number in range(n_pairs + 1):
        with tempfile.TemporaryDirectory() as made:
            folder, train = Path(made), chats(Path(made))
            pair = ours(train, folder / "runs"), theirs(train, folder / "trl")
        if number:  # file caches and byte code are warm after the first
            pairs.append(pair)
    for name, seconds in zip(("ftlab", "TRL"), zip(*pairs, strict=True), strict=True):
        print(f"  {name:20}{spread(seconds)} s to the first step")
    return judge("ratio", [a / b for a, b in pairs], WANTED)


def main() -> None:
    sys.exit(not measure(int(sys.argv[1]) if len(sys.argv) > 1 else 5))


if __name__ == "__main__":
    main()
