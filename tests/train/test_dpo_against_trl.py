"""Preference training against TRL's DPOTrainer on the same file, model and adapter."""

from __future__ import annotations

import copy
import math
from datetime import datetime
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerFast
from trl import DPOConfig, DPOTrainer

from ftlab.course import rate_at
from ftlab.data.chat import IGNORED
from ftlab.data.tokens import load_tokenizer
from ftlab.errors import UnreadableData
from ftlab.job import Job, LocalOptions
from ftlab.rules import resolve
from ftlab.train.batches import order
from ftlab.train.finding import scorer_for
from ftlab.train.loop import train
from ftlab.train.model import load_model, make_optimizer
from ftlab.train.reading import all_steps, read_examples
from ftlab.train.trainer import Trainer
from tests.small import chat_rows, preference_rows, save_model, write_rows

pytestmark = [
    pytest.mark.slow,
    # transformers 5.23 and TRL 1.16 warn about each other's names.
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
N_ROWS, BATCH, EPOCHS = 20, 4, 4
N_STEPS = N_ROWS // BATCH * EPOCHS
VARIANTS = {
    "dpo": ({}, {}),
    "large beta": ({"dpo_beta": 0.5}, {"beta": 0.5}),
    "length-normalised": (
        {"dpo_normalize_logratios_by_length": True},
        {"loss_type": ["sigmoid_norm"]},
    ),
    "rpo": ({"rpo_alpha": 0.7}, {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 0.7]}),
    "all weights": ({"lora": False, "learning_rate": 2e-4}, {"learning_rate": 2e-4}),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dpo")
    return {
        "model": str(save_model(folder / "model")),
        "training_file": str(write_rows(folder / "train.jsonl", preference_rows(N_ROWS))),
        "training_method": "dpo",
        "learning_rate": 5e-3,
        "batch_size": BATCH,
        "n_epochs": EPOCHS,
        "warmup_ratio": 0.1,
        "weight_decay": 0.01,
        "max_seq_length": 512,
    }


def spec_of(files, **changes):
    rank = {} if changes.get("lora") is False else {"lora_r": 4}
    return resolve({**files, **rank, **changes}).spec


def model_of(spec, *, moved=True):
    """A model whose adapter does something already, so that its reference is another model; or one
    that stands where it starts, which TRL takes for the reference."""
    torch.manual_seed(0)
    model = load_model(spec, LocalOptions(), "cpu")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if moved and "lora_B" in name:
                parameter.normal_(0, 0.02)
    return model


def pairs_of(spec):
    training, _ = read_examples(spec, load_tokenizer(Path(spec.model)), datetime.now())
    return training


def our_steps(spec, model, options=None):
    options = options or LocalOptions()
    training = pairs_of(spec)
    pad = load_tokenizer(Path(spec.model)).pad_id
    ours = Trainer(spec, options, scorer_for(model, pad, "cpu"), make_optimizer(model, spec))
    if spec.lora is False:  # as a run does
        for rows in all_steps(spec, training, N_STEPS):
            ours.refer(rows)
    model.train()
    return [
        ours.step(rows, rate_at(spec, step, N_STEPS))
        for step, rows in enumerate(all_steps(spec, training, N_STEPS))
    ]


def in_their_words(pair):
    """A pair as TRL's collator takes it: the trained tokens are all behind the prompt. What the
    template writes after them changes nothing, and is left out."""
    answers = []
    for answer in (pair.chosen, pair.rejected):
        trained = [i for i, label in enumerate(answer.labels) if label != IGNORED]
        start, end = trained[0], trained[-1] + 1
        assert list(answer.labels[start:end]) == list(answer.ids[start:end])
        answers.append((list(answer.ids[:start]), list(answer.ids[start:end])))
    (prompt, chosen), (same, rejected) = answers
    assert prompt == same
    return {"prompt_ids": prompt, "chosen_ids": chosen, "rejected_ids": rejected}


def their_steps(spec, model, folder, **changes):
    """TRL on our tokens in our order. Pairs go one by one where its loss is a mean over tokens."""
    training = pairs_of(spec)
    places = [i for e in range(EPOCHS) for i in order(N_ROWS, spec.random_seed, e)]
    alone = "loss_weights" in changes
    config = DPOConfig(
        **{
            "output_dir": str(folder),
            "per_device_train_batch_size": 1 if alone else BATCH,
            "gradient_accumulation_steps": BATCH if alone else 1,
            "num_train_epochs": 1,
            "learning_rate": spec.learning_rate,
            "lr_scheduler_type": "cosine",
            "warmup_steps": int(spec.warmup_ratio * N_STEPS),
            "weight_decay": spec.weight_decay,
            "max_grad_norm": spec.max_grad_norm,
            "gradient_checkpointing": False,
            "precompute_ref_log_probs": spec.lora is False,
            "max_length": 512,
            "use_cpu": True,
            "bf16": False,
            "logging_steps": 1,
            "report_to": [],
            "save_strategy": "no",
            "disable_tqdm": True,
            **changes,
        }
    )
    seen = {"losses": [], "norms": [], "accuracies": [], "chosen": []}

    class Recorder(DPOTrainer):
        def _prepare_dataset(self, dataset, *_, **__):
            return dataset

        def _get_train_sampler(self, *_):
            return torch.utils.data.SequentialSampler(self.train_dataset)

        def log(self, logs, *args, **kwargs):
            super().log(logs, *args, **kwargs)
            said = self.state.log_history[-1]
            if "grad_norm" in said:
                seen["losses"].append(float(said["loss"]))
                seen["norms"].append(float(said["grad_norm"]))
                seen["accuracies"].append(float(said["rewards/accuracies"]))
                seen["chosen"].append(float(said["rewards/chosen"]))

    trainer = Recorder(
        model=model,
        args=config,
        train_dataset=Dataset.from_list([in_their_words(training[i]) for i in places]),
        processing_class=PreTrainedTokenizerFast.from_pretrained(spec.model),
    )
    trainer.train()
    return seen


@pytest.mark.parametrize("variant", VARIANTS)
def test_losses_gradients_and_rewards_equal_trl(files, tmp_path, variant):
    changes, theirs = VARIANTS[variant]
    spec = spec_of(files, **changes)
    model = model_of(spec, moved=False)
    seen = their_steps(spec, copy.deepcopy(model), tmp_path, **{"beta": 0.1, **theirs})
    steps = our_steps(spec, model)
    losses = [values["train_loss"] for values in steps]
    assert len(losses) == N_STEPS
    assert losses == pytest.approx(seen["losses"], rel=1e-4)
    assert [v["grad_norm"] for v in steps] == pytest.approx(seen["norms"], rel=1e-4)
    assert [v["rewards_accuracy"] for v in steps] == pytest.approx(seen["accuracies"])
    assert [v["rewards_chosen"] for v in steps] == pytest.approx(seen["chosen"], rel=1e-3, abs=1e-5)
    assert losses[-1] < losses[0] - 0.015  # it learned, so the comparison is of a moving model


def test_simpo_and_reference_free_by_worked_numbers(files):
    """Against the papers' formulas, on log-probabilities of the model itself."""
    spec = spec_of(files)
    model = model_of(spec).eval()
    pair = pairs_of(spec)[3]
    logps = []
    for answer in (pair.chosen, pair.rejected):
        ids = torch.tensor([list(answer.ids)])
        with torch.no_grad():
            logits = model(input_ids=ids).logits[0, :-1].log_softmax(-1)
        trained = [i for i, label in enumerate(answer.labels[1:]) if label != IGNORED]
        logps.append(sum(logits[i, ids[0, i + 1]].item() for i in trained))
    n = [pair.chosen.n_trained, pair.rejected.n_trained]
    wanted = {
        "free": ({"dpo_reference_free": True}, 0.1 * (logps[0] - logps[1])),
        "simpo": (
            {"simpo_gamma": 0.5, "dpo_beta": 2.0},
            2.0 * (logps[0] / n[0] - logps[1] / n[1]) - 0.5,
        ),
    }
    for changes, margin in wanted.values():
        one = spec_of(files, **changes)
        ours = Trainer(one, LocalOptions(), scorer_for(model, 0, "cpu"), make_optimizer(model, one))
        assert not one.needs_reference
        found = ours.loss([pair]).total.item()
        assert found == pytest.approx(math.log1p(math.exp(-margin)), rel=1e-4)


def test_cutting_a_step_into_pieces_changes_nothing(files):
    spec = spec_of(files)
    whole, cut = (
        our_steps(spec, model_of(spec), LocalOptions(micro_batch_size=rows)) for rows in (None, 1)
    )
    for name in ("train_loss", "rewards_chosen"):
        assert [v[name] for v in cut] == pytest.approx([v[name] for v in whole], rel=1e-4, abs=1e-6)


def test_the_reference_is_looked_up_once_and_never_trained(files):
    spec = spec_of(files)
    model, training = model_of(spec), pairs_of(spec)
    ours = Trainer(spec, LocalOptions(), scorer_for(model, 0, "cpu"), make_optimizer(model, spec))
    ours.step([training[0], training[1]], 1e-2)
    known = training[0].reference
    ours.step([training[0], training[2]], 1e-2)
    assert training[0].reference is known
    with model.disable_adapter():
        training[0].reference = None
        ours.refer([training[0]])
    assert training[0].reference == pytest.approx(known, rel=1e-6)


def run_of(files, folder, **changes):
    """What a run through the whole trainer tells."""
    folder.mkdir(exist_ok=True)
    job = Job(spec=spec_of(files, **changes), provider="local")
    return list(train(job, folder / "tuned", "cpu", lambda: None))


def losses_of(events, name="train_loss"):
    return [e.values[name] for e in events if e.kind == "metrics" and name in e.values]


def test_a_run_of_all_weights_compares_with_the_model_that_it_started_from(files, tmp_path):
    changes = {"lora": False, "learning_rate": 2e-4}
    spec = spec_of(files, **changes)
    wanted = [values["train_loss"] for values in our_steps(spec, model_of(spec))]
    assert losses_of(run_of(files, tmp_path, **changes)) == pytest.approx(wanted, rel=1e-5)
    assert wanted[0] == pytest.approx(math.log(2), rel=1e-6)
    assert abs(wanted[-1] - math.log(2)) > 0.01


def test_a_run_is_the_same_twice_with_dropout_and_evaluations(files, tmp_path):
    validation = str(write_rows(tmp_path / "v.jsonl", preference_rows(6, start=50)))
    changes = {"lora_dropout": 0.2, "validation_file": validation, "n_evals": 2, "max_steps": 6}
    one, other = (run_of(files, tmp_path / str(i), **changes) for i in range(2))
    assert losses_of(one) == losses_of(other)
    assert losses_of(one, "eval_loss") == losses_of(other, "eval_loss")
    assert losses_of(one, "eval_loss")[0] == pytest.approx(math.log(2), rel=1e-6)
    assert len(losses_of(one, "eval_loss")) == 3


def test_rows_count_by_their_weight(files, tmp_path):
    rows = preference_rows(2)
    weighted = [{**rows[0], "weight": 3.0}, rows[1]]
    file = str(write_rows(tmp_path / "w.jsonl", weighted))
    spec = spec_of({**files, "training_file": file})
    model, pairs = model_of(spec), pairs_of(spec)
    ours = Trainer(spec, LocalOptions(), scorer_for(model, 0, "cpu"), make_optimizer(model, spec))
    ours.refer([pairs[0], pairs[1]])
    model.eval()
    alone = [ours.loss([pairs[i]]).total.item() for i in range(2)]
    plain = pairs_of(spec_of(files))
    ours.refer([plain[0]])
    assert alone[0] == pytest.approx(3 * ours.loss([plain[0]]).total.item(), rel=1e-5)
    assert ours.loss([pairs[0], pairs[1]]).total.item() == pytest.approx(sum(alone), rel=1e-5)


def test_rows_of_the_other_kind_are_told_with_file_and_line(files, tmp_path):
    mixed = [*preference_rows(1), *chat_rows(1)]
    spec = spec_of({**files, "training_file": str(write_rows(tmp_path / "m.jsonl", mixed))})
    with pytest.raises(UnreadableData, match=r"m.jsonl line 2: The row has one answer"):
        pairs_of(spec)[1]
    sft = spec_of({**files, "training_method": "sft", "training_file": spec.training_file})
    with pytest.raises(UnreadableData, match=r"m.jsonl line 1: The row is a preference"):
        pairs_of(sft)[0]


def test_what_an_answer_that_was_cut_away_says_is_nothing(files):
    spec = spec_of(files, max_seq_length=8)
    pair = pairs_of(spec)[0]
    assert pair.n_trained == 0
    model = model_of(spec)
    ours = Trainer(spec, LocalOptions(), scorer_for(model, 0, "cpu"), make_optimizer(model, spec))
    assert ours.step([pair], 1e-3)["train_loss"] == pytest.approx(math.log(2), rel=1e-6)
