"""The trainer against TRL's SFTTrainer on the same file, model and adapter."""

from __future__ import annotations

import copy
from datetime import datetime
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer

from ftlab.course import rate_at
from ftlab.data.tokens import load_tokenizer
from ftlab.job import LocalOptions
from ftlab.rules import resolve
from ftlab.train.batches import order
from ftlab.train.finding import scorer_for
from ftlab.train.model import load_model, make_optimizer
from ftlab.train.reading import all_steps, read_examples
from ftlab.train.trainer import Trainer
from tests.small import chat_rows, save_model, write_rows

pytestmark = [
    pytest.mark.slow,
    # transformers 5.23 and TRL 1.16 warn about each other's names.
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
N_ROWS, BATCH, EPOCHS = 40, 8, 4
N_STEPS = N_ROWS // BATCH * EPOCHS


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    """A resolved spec on a small random model, and the rows of its file."""
    folder = tmp_path_factory.mktemp("trl")
    rows = chat_rows(N_ROWS)
    for i, row in enumerate(rows):  # rows of different lengths, some of several turns
        if i % 3 == 0:
            row["messages"] += chat_rows(1, start=i + 900)[0]["messages"]
        if i % 5 == 0:
            row["messages"].insert(0, {"role": "system", "content": "Be brief, please. " * (i % 4)})
    values = {
        "model": str(save_model(folder / "model")),
        "training_file": str(write_rows(folder / "train.jsonl", rows)),
        "learning_rate": 5e-3,
        "batch_size": BATCH,
        "n_epochs": EPOCHS,
        "warmup_ratio": 0.1,
        "weight_decay": 0.01,
        "lora_r": 4,
        "max_seq_length": 512,
    }
    return resolve(values).spec, rows


def trl_trainer(spec, rows, model, folder):
    """TRL on our rows in our order, with our adapter already on the model."""
    in_order = [rows[i] for e in range(EPOCHS) for i in order(N_ROWS, spec.random_seed, e)]
    config = SFTConfig(
        output_dir=str(folder),
        per_device_train_batch_size=BATCH,
        num_train_epochs=1,
        learning_rate=spec.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=int(spec.warmup_ratio * N_STEPS),
        weight_decay=spec.weight_decay,
        max_grad_norm=spec.max_grad_norm,
        assistant_only_loss=True,
        gradient_checkpointing=False,
        max_length=512,
        use_cpu=True,
        bf16=False,
        logging_steps=1,
        report_to=[],
        save_strategy="no",
        shuffle_dataset=False,
        disable_tqdm=True,
    )

    class Recorder(SFTTrainer):
        def _get_train_sampler(self, *_):
            return torch.utils.data.SequentialSampler(self.train_dataset)

        def training_step(self, *args, **kwargs):
            loss = super().training_step(*args, **kwargs)
            seen["losses"].append(loss.item())
            return loss

        def log(self, logs, *args, **kwargs):
            if "grad_norm" in logs:
                seen["norms"].append(float(logs["grad_norm"]))
            super().log(logs, *args, **kwargs)

    seen = {"losses": [], "norms": []}
    tokenizer = PreTrainedTokenizerFast.from_pretrained(spec.model)
    trainer = Recorder(
        model=model,
        args=config,
        train_dataset=Dataset.from_list([{"messages": row["messages"]} for row in in_order]),
        processing_class=tokenizer,
    )
    return trainer, seen


def their_steps(spec, rows, model, folder):
    """TRL's losses and gradient norms."""
    trainer, seen = trl_trainer(spec, rows, model, folder)
    trainer.train()
    return seen


def our_steps(spec, model):
    """What our trainer says of each step, on the same rows in the same order."""
    tokenizer = load_tokenizer(Path(spec.model))
    training, _ = read_examples(spec, tokenizer, datetime.now())
    model.train()
    scorer = scorer_for(model, tokenizer.pad_id, "cpu")
    ours = Trainer(spec, LocalOptions(), scorer, make_optimizer(model, spec))
    return [
        ours.step(examples, rate_at(spec, step, N_STEPS))
        for step, examples in enumerate(all_steps(spec, training, N_STEPS))
    ]


def test_ids_labels_losses_and_gradients_equal_trl(setting, tmp_path):
    spec, rows = setting
    torch.manual_seed(0)
    model = load_model(spec, LocalOptions(), "cpu")
    with torch.no_grad():  # B starts at 0, where a wrong gradient of A would not show
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.02)
    theirs, seen = trl_trainer(spec, rows, copy.deepcopy(model), tmp_path)

    tokenizer = load_tokenizer(Path(spec.model))
    training, _ = read_examples(spec, tokenizer, datetime.now())
    places = [i for epoch in range(EPOCHS) for i in order(N_ROWS, spec.random_seed, epoch)]
    for place, their_row in zip(places, theirs.train_dataset, strict=True):
        batch = theirs.data_collator([their_row])
        assert list(training[place].ids) == batch["input_ids"][0].tolist()
        assert list(training[place].labels) == batch["labels"][0].tolist()

    theirs.train()
    steps = our_steps(spec, model)
    losses = [values["train_loss"] for values in steps]
    assert len(losses) == N_STEPS
    assert losses == pytest.approx(seen["losses"], rel=1e-4)
    assert [v["grad_norm"] for v in steps] == pytest.approx(seen["norms"], rel=1e-4)
    assert losses[-1] < losses[0] - 0.2  # it learned, so the comparison is of a moving model


def test_cutting_a_step_into_pieces_changes_nothing(setting):
    spec, _ = setting
    whole, cut = (_losses(spec, LocalOptions(micro_batch_size=rows)) for rows in (None, 3))
    assert cut == pytest.approx(whole, rel=1e-5)


def test_accumulation_equals_a_larger_batch(setting):
    spec, _ = setting
    whole = _losses(spec, LocalOptions())
    accumulated = _losses(
        spec.changed(batch_size=BATCH // 4, gradient_accumulation_steps=4), LocalOptions()
    )
    assert accumulated == pytest.approx(whole, rel=1e-5)


def test_gradient_checkpointing_changes_nothing(setting):
    spec, _ = setting
    plain, checkpointed = (
        _losses(spec, LocalOptions(gradient_checkpointing=on)) for on in (False, True)
    )
    assert checkpointed == pytest.approx(plain, rel=1e-5)


def _losses(spec, options):
    model = load_model(spec, options, "cpu")
    model.train()
    tokenizer = load_tokenizer(Path(spec.model))
    training, _ = read_examples(spec, tokenizer, datetime.now())
    scorer = scorer_for(model, tokenizer.pad_id, "cpu")
    trainer = Trainer(spec, options, scorer, make_optimizer(model, spec))
    return [
        trainer.step(examples, rate_at(spec, step, N_STEPS))["train_loss"]
        for step, examples in enumerate(all_steps(spec, training, 6))
    ]
