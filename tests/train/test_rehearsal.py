"""The longest rows go through a model before the first step, which leaves no trace of it."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from ftlab.data.chat import Tokens
from ftlab.data.rows import Rows
from ftlab.errors import FtlabError
from ftlab.spec import JobSpec
from ftlab.train.batches import Example, Examples, Pair
from ftlab.train.rehearsal import STATES, rehearsed
from tests.small import write_rows
from tests.train.test_memory_falls_short import small_device, trainer, weights  # noqa: F401

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")
LENGTHS = (4, 30, 7, 12, 30, 5, 9, 40)


def examples(folder, longest=64, pairs=False):  # noqa: FBT002
    """Rows of these many tokens, of which each takes a byte or two."""
    file = write_rows(folder / "rows.jsonl", [{"ids": list(range(n))} for n in LENGTHS])

    def read(row):
        ids = row["ids"]
        one = Example.of(Tokens("", ids, ids, [], []), longest)
        return Pair(one, one) if pairs else one

    return Examples(Rows(file), range(len(LENGTHS)), read)


def pieces_tried(trainer, monkeypatch):  # noqa: F811
    tried, backward = [], type(trainer).backward

    def noted(self, rows, divisor):
        tried.append([row.n_tokens for row in rows])
        return backward(self, rows, divisor)

    monkeypatch.setattr(type(trainer), "backward", noted)
    return tried


def test_as_many_of_the_longest_rows_as_a_piece_may_have_go_first(trainer, tmp_path, monkeypatch):  # noqa: F811
    trainer.spec = trainer.spec.changed(batch_size=3)
    tried = pieces_tried(trainer, monkeypatch)
    rows = examples(tmp_path)
    rehearsed(trainer, rows)
    assert tried == [[40, 30, 30]]
    assert rows.n_cut == 0
    assert not rows._known  # they are not counted as seen


def test_the_steps_after_it_are_the_same_to_the_last_bit(trainer, tmp_path):  # noqa: F811
    rows = examples(tmp_path)
    torch.manual_seed(3)
    state = torch.get_rng_state()
    before = weights(trainer)
    rehearsed(trainer, rows)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(map(torch.equal, weights(trainer), before))
    assert all(p.grad is None for p in trainer.model.parameters())
    assert not trainer.optimizer.state
    assert not trainer.notes


def test_where_the_longest_do_not_fit_together_steps_are_cut_before_the_first(
    trainer,  # noqa: F811
    tmp_path,
    monkeypatch,
):
    small_device(monkeypatch, 45)
    rehearsed(trainer, examples(tmp_path))
    assert trainer.piece_tokens <= 64
    assert "did not suffice" in trainer.notes[0]


def test_a_row_that_does_not_fit_by_itself_is_told_before_the_first_step(
    trainer,  # noqa: F811
    tmp_path,
    monkeypatch,
):
    small_device(monkeypatch, 35)
    with pytest.raises(FtlabError, match=r"line 8, one of the longest, with 40 tokens.*No step"):
        rehearsed(trainer, examples(tmp_path))
    trainer.spec = trainer.spec.changed(max_steps=1)
    rehearsed(trainer, examples(tmp_path))  # it may be that no step meets it
    assert "does not suffice for line 8" in trainer.notes[-1]


def test_pairs_are_tried_before_anybody_knows_their_reference(trainer, tmp_path, monkeypatch):  # noqa: F811
    trainer.spec = trainer.spec.changed(training_method="dpo", batch_size=2)
    tried = pieces_tried(trainer, monkeypatch)
    rehearsed(trainer, examples(tmp_path, pairs=True))
    assert tried == [[80, 60]]


def test_what_is_kept_for_each_optimizer_is_known():
    assert {*get_args(JobSpec.model_fields["optimizer"].annotation)} == STATES.keys()
