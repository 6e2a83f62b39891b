"""Every step knows the losses of its rows: those that each row has by itself."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy, logsigmoid

from ftlab.data.chat import tokenise
from ftlab.data.rows import Rows
from ftlab.data.tokens import load_tokenizer
from ftlab.events import Metrics, RowLosses
from ftlab.job import LocalOptions
from ftlab.providers import prepare
from ftlab.train.evaluating import evaluated
from ftlab.train.loop import prepared, train
from ftlab.train.trainer import HARDEST
from tests.small import chat_rows, preference_rows, save_model, write_rows

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::FutureWarning")]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    save_model(folder / "model")
    lines = [{**row, "weight": 1 + i % 3} for i, row in enumerate(chat_rows(9))]
    text = write_rows(folder / "sft.jsonl", lines).read_text().splitlines()
    (folder / "sft.jsonl").write_text("\n\n".join(text) + "\n")  # rows on lines 1, 3, 5, …
    write_rows(folder / "dpo.jsonl", preference_rows(7))
    return folder


def job_of(files, **changes):
    data = str(files / f"{changes.get('training_method', 'sft')}.jsonl")
    values = {
        **{"model": str(files / "model"), "training_file": data, "validation_file": data},
        **{"batch_size": 5, "n_epochs": 1, "learning_rate": 1e-2, "n_evals": 1},
    }
    return prepare({**values, **changes}).job


def told(events, file):
    return {e.step: e for e in events if isinstance(e, RowLosses) and e.file == file}


def by_hand(model, tokens):
    """Cross-entropy of the trained tokens of one sequence alone."""
    logits = model(input_ids=torch.tensor([tokens.ids]), use_cache=False).logits[0].float()
    labels = torch.tensor(tokens.labels)
    on = labels[1:] >= 0
    return cross_entropy(logits[:-1][on], labels[1:][on], reduction="none")


@pytest.mark.parametrize("rows_at_once", [None, 2])
@pytest.mark.parametrize("layout", ["flat", "padded"])
def test_each_row_has_its_mean_per_trained_token(files, layout, rows_at_once):
    job = job_of(files)
    ready = prepared(job, "cpu")
    trainer = ready.trainer
    trainer.options = LocalOptions(micro_batch_size=rows_at_once)
    if layout == "padded":
        trainer.scorer = type(trainer.scorer)(trainer.model, 0, "cpu").in_use()
    assert trainer.scorer.layout == layout
    metrics, rows = evaluated(trainer, 0, ready.training, lambda: False)
    tokenizer = load_tokenizer(files / "model")
    plain = type(trainer.scorer)(trainer.model, 0, "cpu").in_use()
    found = dict(zip(rows.lines, rows.losses, strict=True))
    assert sorted(found) == list(range(1, 18, 2))
    total, n_trained, file = 0.0, 0, Rows(files / "sft.jsonl")
    with torch.no_grad():
        for place in range(len(file)):
            (tokens,) = tokenise(file[place], tokenizer)
            losses = by_hand(plain.inner, tokens)
            assert found[file.line_number(place)] == pytest.approx(losses.mean().item(), rel=1e-3)
            total += losses.sum().item() * tokens.weight
            n_trained += len(losses)
    assert metrics.values["eval_loss"] == pytest.approx(total / n_trained, rel=1e-4)


def test_pairs_are_told_by_their_own_loss(files):
    job = job_of(files, training_method="dpo", dpo_reference_free=True)
    ready = prepared(job, "cpu")
    metrics, rows = evaluated(ready.trainer, 0, ready.training, lambda: False)
    assert rows.lines == tuple(range(1, 8))
    assert metrics.values["eval_loss"] == pytest.approx(sum(rows.losses) / 7, rel=1e-4)
    plain = type(ready.trainer.scorer)(ready.trainer.model, 0, "cpu").in_use()
    tokenizer, file = load_tokenizer(files / "model"), Rows(files / "dpo.jsonl")
    with torch.no_grad():
        for place, loss in enumerate(rows.losses):
            chosen, rejected = (
                -by_hand(plain.inner, tokens).sum() for tokens in tokenise(file[place], tokenizer)
            )
            expected = -logsigmoid((job.spec.dpo_beta or 0.1) * (chosen - rejected)).item()
            assert loss == pytest.approx(expected, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("changes", [{}, {"training_method": "dpo"}], ids=str)
def test_a_step_tells_of_its_highest_and_an_evaluation_of_all(files, tmp_path, changes):
    events = list(train(job_of(files, **changes), tmp_path / "adapter", "cpu", lambda: None))
    steps = [e.step for e in events if isinstance(e, Metrics) and "train_loss" in e.values]
    hardest, whole = told(events, "training"), told(events, "validation")
    assert list(hardest) == steps
    for one in hardest.values():
        assert len({*one.lines}) == min(HARDEST, len(one.lines)) > 0
        assert list(one.losses) == sorted(one.losses, reverse=True)
    n_rows = 7 if changes.get("training_method") else 9
    assert list(whole) == [0, steps[-1]]
    assert all(len({*one.lines}) == n_rows for one in whole.values())
    first = dict(zip(whole[0].lines, whole[0].losses, strict=True))
    for line, loss in zip(hardest[1].lines, hardest[1].losses, strict=True):
        assert loss == pytest.approx(first[line], rel=1e-3)  # the weights are still the same


def test_packed_rows_are_told_by_their_own_lines_and_losses(files, tmp_path):
    packed = job_of(files, packing=True, max_seq_length=128, batch_size=2)
    events = list(train(packed, tmp_path / "adapter", "cpu", lambda: None))
    hardest, whole = told(events, "training"), told(events, "validation")
    first = dict(zip(whole[0].lines, whole[0].losses, strict=True))
    assert len(hardest[1].lines) == HARDEST
    for line, loss in zip(hardest[1].lines, hardest[1].losses, strict=True):
        assert loss == pytest.approx(first[line], rel=1e-3)  # the weights are still the same


def test_a_step_tells_what_it_holds_of_the_memory_of_the_machine(files, tmp_path):
    events = list(train(job_of(files), tmp_path / "adapter", "cpu", lambda: None))
    first = next(e for e in events if isinstance(e, Metrics) and "train_loss" in e.values)
    assert 0.05 < first.values["memory_gib"] < 64
