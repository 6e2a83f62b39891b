"""A contender of `trainer.py`: TRL, on the same tokens in the same order from the same adapter.

    python -m tests.benchmarks.trainer_trl FOLDER BEGAN ASKED

FOLDER holds rows.jsonl, model/ and adapter/. ASKED is JSON: {"method": sft or dpo, "dtype": of the
model, "config": for SFTConfig or DPOConfig}. What is not said is TRL's own.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, set_peft_model_state_dict
from safetensors.torch import load_file
from transformers import TrainerCallback
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from tests.benchmarks.trainer_clock import Clock

TRAINERS = {"sft": (SFTTrainer, SFTConfig), "dpo": (DPOTrainer, DPOConfig)}
ON_THIS_MACHINE: dict[str, Any] = {
    "use_cpu": True,
    "gradient_checkpointing": False,  # ftlab recomputes nothing either
    "report_to": [],
    "save_strategy": "no",
    "disable_tqdm": True,
    "num_train_epochs": 1,
    "lr_scheduler_type": "constant",
}


def main() -> None:
    folder, began, asked = Path(sys.argv[1]), float(sys.argv[2]), json.loads(sys.argv[3])
    adapter = folder / "adapter"
    lora = LoraConfig.from_pretrained(adapter)
    lora.inference_mode = False
    with tempfile.TemporaryDirectory() as output:
        trainer = _trainer(
            asked["method"],
            {
                "output_dir": output,
                "model_init_kwargs": {"dtype": asked["dtype"]},
                **asked["config"],
            },
            model=str(folder / "model"),
            train_dataset=Dataset.from_list(_rows(folder / "rows.jsonl")),
            peft_config=lora,
        )
        weights = load_file(adapter / "adapter_model.safetensors")
        assert not set_peft_model_state_dict(trainer.model, weights).unexpected_keys
        clock = Clock(began)
        trainer.add_callback(StepEnd(clock, trainer))
        trainer.train()
    print(json.dumps(clock.told()))


def _trainer(method: str, config: dict[str, Any], **parts: Any) -> Any:
    """TRL's trainer of that method, which takes the rows as they come and keeps each loss."""
    parent, config_class = TRAINERS[method]

    class InOrder(parent):
        def _prepare_dataset(self, dataset: Any, *more: Any, **named: Any) -> Any:
            if "prompt_ids" in dataset.column_names:  # it would look for the texts of pairs
                return dataset
            return super()._prepare_dataset(dataset, *more, **named)

        def _get_train_sampler(self, *_: Any) -> Any:
            return torch.utils.data.SequentialSampler(self.train_dataset)

        def training_step(self, model: Any, inputs: Any, *more: Any, **named: Any) -> Any:
            places = inputs.get("attention_mask", torch.ones_like(inputs["input_ids"]))
            self.last = int(places.sum()), super().training_step(model, inputs, *more, **named)
            return self.last[1]

    return InOrder(args=config_class(**ON_THIS_MACHINE, **config), **parts)


class StepEnd(TrainerCallback):
    """Notes each optimizer step."""

    def __init__(self, clock: Clock, trainer: Any) -> None:
        self.clock, self.trainer = clock, trainer

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.clock.step(*self.trainer.last)


def _rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


if __name__ == "__main__":
    main()
