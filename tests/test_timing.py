"""The work of a step, worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ftlab.memory import LINEARS, Decoder, Setup
from ftlab.pieces import StepRows
from ftlab.timing import Speed, Work, evaluation_work, training_work

SHAPE = Decoder(1000, 8, 16, 8, 8, 2, 50)
LAYERS = 2 * (4 * 8 * 8 + 3 * 8 * 16)  # weights of all linear layers
HEAD = 8 * 50
ADAPTED = Setup(trained=300, modules=frozenset(LINEARS), rank=2)
ONE = StepRows({10: 4}, 1)
ATTENTION = 4 * 2 * 8 * 5  # per token: both products, 2 layers, 8 values, half of 10 tokens


def operations(setup: Setup, rows: StepRows = ONE) -> float:
    return training_work(SHAPE, setup, rows).operations


def test_an_adapter_takes_four_operations_per_frozen_weight_and_six_per_trained_one():
    assert operations(ADAPTED) == 4 * LAYERS + 3.5 * ATTENTION + 4 * HEAD + 6 * 300


def test_all_weights_take_six_and_their_head_eight():
    full = Setup(trained=LAYERS + HEAD)
    assert operations(full) == 6 * LAYERS + 3.5 * ATTENTION + 8 * HEAD


def test_checkpointing_goes_forward_through_the_layers_once_more():
    more = operations(replace(ADAPTED, checkpointing=True)) - operations(ADAPTED)
    assert more == 2 * LAYERS + ATTENTION + 2 * 300


def test_rows_that_lie_end_to_end_take_no_more_than_alone():
    assert operations(ADAPTED, StepRows({10: 4}, 4)) == operations(ADAPTED)
    calls = training_work(SHAPE, ADAPTED, StepRows({10: 4}, 4)).calls
    assert calls == training_work(SHAPE, ADAPTED, ONE).calls / 4


def test_the_head_runs_on_trained_places_alone():
    most = replace(ADAPTED, trained_share=0.95)
    assert operations(ADAPTED) - operations(most) == pytest.approx(0.05 * 4 * HEAD)


def test_so_does_the_last_layer_but_for_its_keys_and_values():
    half = replace(ADAPTED, trained_share=0.5)
    left_out = 0.5 * (LAYERS / 2 - 2 * 8 * 8)
    adapters = 300 * left_out / LAYERS
    saves = operations(ADAPTED) - operations(half)
    assert saves == pytest.approx(2 * HEAD + 4 * left_out + 6 * adapters)


def test_long_rows_take_more_than_short_ones_of_as_many_tokens():
    mixed = operations(ADAPTED, StepRows({2: 50, 18: 50}, 4))
    assert mixed - operations(ADAPTED) == pytest.approx(3.5 * 4 * 2 * 8 * ((2**2 + 18**2) / 40 - 5))


def test_what_both_answers_begin_with_is_computed_once():
    pairs = StepRows({10: 4}, 2, sequences=2)
    assert operations(ADAPTED, pairs) == operations(ADAPTED)
    # 4 of 10 tokens of each answer are the same.
    less = operations(ADAPTED, pairs) - operations(ADAPTED, replace(pairs, shared=0.2))
    attended = 3.5 * 4 * 2 * 8 * 4**2 / 2 / 20
    assert less == pytest.approx(0.2 * (4 * LAYERS + 4 * HEAD + 6 * 300) + attended)


def test_an_evaluation_goes_forward_only():
    found = evaluation_work(SHAPE, ADAPTED, ONE).operations
    assert found == 2 * LAYERS + ATTENTION + 2 * HEAD + 2 * 300


def test_an_evaluation_of_all_weights_counts_none_of_them_twice():
    full = Setup(trained=LAYERS + HEAD)
    found = evaluation_work(SHAPE, full, ONE).operations
    assert found == 2 * LAYERS + ATTENTION + 2 * HEAD


def test_seconds_add_up():
    speed = Speed(10.0, 5.0, 0.5, 2.0, 9.0, (1.0, 1.0))
    assert speed.seconds(Work(20.0, 10.0, 4.0, 1.0)) == 2 + 2 + 2 + 2
    assert speed.seconds((Work(10.0) + Work(steps=1.0)) * 2) == 2 + 4
