"""A contender of `trainer.py`: ftlab, driven by the seam that a run drives it by.

    python -m tests.benchmarks.trainer_ftlab FOLDER BEGAN ASKED

FOLDER holds job.json and adapter/. ASKED is JSON: {"products": whether to measure bare ones}.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path

from ftlab.eventlog import EventWriter
from ftlab.events import Metrics
from ftlab.job import Job
from ftlab.models import tensor_shapes
from ftlab.processes import loading
from tests.benchmarks.trainer_clock import Clock

with loading():
    import torch
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    from ftlab.train.loop import prepared
    from ftlab.train.reading import all_steps

PRODUCT_TOKENS, PRODUCT_ROUNDS = 2048, 5


def main() -> None:
    folder, began, asked = Path(sys.argv[1]), float(sys.argv[2]), json.loads(sys.argv[3])
    job = Job.model_validate_json((folder / "job.json").read_text())
    trainer, training, *_ = prepared(job, "cpu")
    weights = load_file(folder / "adapter" / "adapter_model.safetensors")
    assert not set_peft_model_state_dict(trainer.model, weights).unexpected_keys
    steps = list(all_steps(job.spec, training, job.spec.max_steps))  # all read before, as TRL does
    events, writing = EventWriter(folder / "events.jsonl"), list[float]()
    clock = Clock(began)
    for number, rows in enumerate(steps, start=1):
        values = trainer.step(rows, job.spec.learning_rate)
        ended = time.perf_counter()
        events.append(Metrics(step=number, values=values))
        writing.append(time.perf_counter() - ended)
        clock.step(sum(row.n_tokens for row in rows), values["train_loss"])
    told = clock.told()  # before the products take memory of their own
    products = products_per_second(job) if asked["products"] else None
    print(json.dumps({**told, "writing": writing, "products": products}))


def products_per_second(job: Job) -> float:
    """Operations per second of bare matrix products in the shapes of the model's layers."""
    dtype = getattr(torch, job.options["dtype"])
    named = tensor_shapes(Path(job.spec.model)).items()
    shapes = [shape for name, shape in named if ".layers." in name and len(shape) == 2]
    weights = {shape: torch.randn(shape, dtype=dtype) for shape in set(shapes)}
    inputs = {width: torch.randn(PRODUCT_TOKENS, width, dtype=dtype) for _, width in weights}
    seconds = []
    for _ in range(PRODUCT_ROUNDS):
        began = time.perf_counter()
        for shape in shapes:
            torch.nn.functional.linear(inputs[shape[1]], weights[shape])
        seconds.append(time.perf_counter() - began)
    operations = sum(2 * PRODUCT_TOKENS * height * width for height, width in shapes)
    return operations / statistics.median(seconds)


if __name__ == "__main__":
    main()
