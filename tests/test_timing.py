"""The work of a step, worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ftlab.memory import LINEARS, Decoder, Setup
from ftlab.pieces import Piece
from ftlab.timing import Speed, Typical, Work, evaluation_work, training_work, typical_work

SHAPE = Decoder(1000, 8, 16, 8, 8, 2, 50)
LAYERS = 2 * (4 * 8 * 8 + 3 * 8 * 16)  # weights of all linear layers
HEAD = 8 * 50
ADAPTED = Setup(trained=300, modules=frozenset(LINEARS), rank=2)
ONE = Piece(1, 10)
ATTENTION = 4 * 2 * 8 * 5  # per token: both products, 2 layers, 8 values, half of 10 tokens


def operations(setup: Setup, piece: Piece = ONE) -> float:
    return training_work(SHAPE, setup, [piece]).operations


def test_an_adapter_takes_four_operations_per_frozen_weight_and_six_per_trained_one():
    assert operations(ADAPTED) == 10 * (4 * LAYERS + 2 * ATTENTION + 4 * HEAD + 6 * 300)


def test_all_weights_take_six():
    full = Setup(trained=LAYERS + HEAD)
    assert operations(full) == 10 * (6 * LAYERS + 3 * ATTENTION + 6 * HEAD)


def test_checkpointing_goes_forward_through_the_layers_once_more():
    more = operations(replace(ADAPTED, checkpointing=True)) - operations(ADAPTED)
    assert more == 10 * (2 * LAYERS + ATTENTION + 2 * 300)


def test_padded_rows_attend_to_all_places():
    alone, together = Piece(1, 10), Piece(2, 10)
    per_token = operations(ADAPTED, together) / 20 - operations(ADAPTED, alone) / 10
    assert per_token == pytest.approx(2 * ATTENTION)


def test_an_evaluation_goes_forward_only():
    found = evaluation_work(SHAPE, ADAPTED, [ONE]).operations
    assert found == 10 * (2 * LAYERS + ATTENTION + 2 * HEAD + 2 * 300)


def test_padding_counts_as_work():
    even = typical_work(SHAPE, ADAPTED, Typical({10: 100}, 4))
    mixed = typical_work(SHAPE, ADAPTED, Typical({2: 50, 18: 50}, 4))
    assert mixed.operations > even.operations


def test_seconds_add_up():
    speed = Speed(10.0, 5.0, 0.5, 2.0, 9.0, (1.0, 1.0))
    assert speed.seconds(Work(20.0, 10.0, 4.0, 1.0)) == 2 + 2 + 2 + 2
    assert speed.seconds((Work(10.0) + Work(steps=1.0)) * 2) == 2 + 4


def test_an_evaluation_of_all_weights_counts_none_of_them_twice():
    full = Setup(trained=LAYERS + HEAD)
    found = evaluation_work(SHAPE, full, [ONE]).operations
    assert found == 10 * (2 * LAYERS + ATTENTION + 2 * HEAD)
