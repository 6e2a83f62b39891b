"""How the best learning rate goes with lora_alpha, on the demo model: five minutes on one core.

    python tests/benchmarks/alpha.py [RANK]

100 steps of 16 rows, cosine, for alpha 8, 32 and 128 and seven rates a factor of two apart. Prints
the loss on the held-out rows and the lowest point of the parabola through the best three.
"""

from __future__ import annotations

import json
import math
import random
import sys
from pathlib import Path

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from ftlab import demo
from ftlab.schedule import lr_share

ALPHAS = (8, 32, 128)
RATES = [5e-4 * 2**i for i in range(7)]
STEPS, ROWS, WARMUP, HELD_OUT = 100, 16, 0.05, 100

Row = tuple[list[int], int]  # token ids, and how many of them are the question


def read(file: Path, tokenizer: object, most: int | None = None) -> list[Row]:
    rows = []
    for line in file.read_text().splitlines()[:most]:
        messages = json.loads(line)["messages"]
        whole = tokenizer.apply_chat_template(messages, return_dict=False)
        asked = tokenizer.apply_chat_template(
            messages[:-1], add_generation_prompt=True, return_dict=False
        )
        rows.append((whole, len(asked)))
    return rows


def batch(rows: list[Row]) -> tuple[torch.Tensor, torch.Tensor]:
    length = max(len(ids) for ids, _ in rows)
    ids = torch.zeros(len(rows), length, dtype=torch.long)
    labels = torch.full_like(ids, -100)
    for i, (row, asked) in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        labels[i, asked : len(row)] = ids[i, asked : len(row)]
    return ids, labels


def loss_of(rate: float, rank: int, alpha: int, train: list[Row], held_out: list[Row]) -> float:
    torch.manual_seed(0)
    chance = random.Random(0)
    base = AutoModelForCausalLM.from_pretrained(demo.MODEL, dtype=torch.float32)
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules="all-linear")
    model = get_peft_model(base, config)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=rate, weight_decay=0)
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = rate * lr_share(step / STEPS, warmup_ratio=WARMUP)
        ids, labels = batch(chance.sample(train, ROWS))
        model(ids, labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
    ids, labels = batch(held_out)
    with torch.no_grad():
        return model.eval()(ids, labels=labels).loss.item()


def lowest(losses: list[float]) -> float:
    """The rate at the bottom of the parabola through the best three, in logarithms of both."""
    place = min(max(int(np.argmin(losses)), 1), len(losses) - 2)
    near = slice(place - 1, place + 2)
    a, b, _ = np.polyfit(np.log(RATES[near]), np.log(losses[near]), 2)
    return math.exp(-b / (2 * a))


def main() -> None:
    rank = int(sys.argv[1]) if len(sys.argv) > 1 else 16
    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(demo.MODEL)
    train, held_out = read(demo.TRAIN, tokenizer), read(demo.HELD_OUT, tokenizer, HELD_OUT)
    for alpha in ALPHAS:
        losses = [loss_of(rate, rank, alpha, train, held_out) for rate in RATES]
        shown = "  ".join(f"{rate:.0e} {y:.4f}" for rate, y in zip(RATES, losses, strict=True))
        print(f"alpha {alpha}: best {lowest(losses):.1e}   {shown}", flush=True)


if __name__ == "__main__":
    main()
