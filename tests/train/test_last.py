"""What a last layer leaves out; that it changes no loss and no gradient is in test_scoring.py."""

from __future__ import annotations

from array import array

import torch

from ftlab.data.chat import IGNORED
from ftlab.train.batches import Example
from ftlab.train.finding import scorer_for
from ftlab.train.kernels import SPLIT
from tests.train.test_scoring import bundles, by_hand, model_of, offered


def row(trained, length):
    """As many of its last tokens train."""
    ids = range(3, 3 + length)
    labels = [*[IGNORED] * (length - trained), *ids[length - trained :]]
    return [Example(array("i", ids), array("i", labels), 1.0, was_cut=False)]


def tokens_seen(scorer, of, rows):
    """How many tokens go into a part of the model."""
    seen = []
    part = scorer.inner.get_submodule(of)
    hook = part.down_proj.register_forward_hook(lambda _, args, __: seen.append(args[0].shape[1]))
    scorer.losses(rows)
    hook.remove()
    return sum(seen)


def test_the_last_layer_sees_what_trains_and_the_others_all():
    scorer = scorer_for(model_of("Llama"), 0, "cpu")
    rows = [row(5, 20), row(7, 30)]
    assert tokens_seen(scorer, "model.layers.0.mlp", rows) == 50
    assert tokens_seen(scorer, "model.layers.1.mlp", rows) == 12


def test_a_place_that_two_sequences_go_on_from_is_seen_once():
    scorer = scorer_for(model_of("Llama"), 0, "cpu")
    first, second = ([*range(3, 13), end, end] for end in (20, 21))
    labels = [[IGNORED] * 10 + ids[10:] for ids in (first, second)]
    pair = [
        Example(array("i", ids), array("i", known), 1.0, was_cut=False)
        for ids, known in zip((first, second), labels, strict=True)
    ]
    assert tokens_seen(scorer, "model.layers.1.mlp", [pair]) == 3  # the last alike, one of each


def test_rows_that_train_nearly_whole_go_through_whole():
    scorer = scorer_for(model_of("Llama"), 0, "cpu")
    assert tokens_seen(scorer, "model.layers.1.mlp", [row(19, 20)]) == 20


def test_a_last_layer_that_something_else_needs_leaves_out_nothing():
    model = model_of("Llama")
    # All places go into each, though nothing comes of it as long as they are numbers.
    model.model.norm.register_forward_hook(lambda _, __, out: out + 0 * out.sum())
    scorer = scorer_for(model, 0, "cpu")
    assert (scorer.layout, scorer.own_head, scorer.narrow) == ("flat", True, False)
    assert not scorer.passed_over


def test_experts_that_say_more_than_what_they_make_leave_out_too(monkeypatch):
    model = model_of("GptOss")
    for layer in model.model.layers:  # sinks that take nothing, for a kernel that has none
        layer.self_attn.sinks.data.fill_(-1e4)
    offered(monkeypatch, SPLIT._replace(lacks=lambda _: ""))
    with torch.no_grad():
        expected = by_hand(model, bundles())
        scorer = scorer_for(model, 0, "cpu")
        assert scorer.narrow
        assert torch.allclose(scorer.losses(bundles()).values, expected, rtol=1e-4, atol=1e-4)


def test_answers_in_between_leave_out_nothing():
    model = model_of("Llama")
    ids = torch.randint(3, 96, (1, sum(len(s.ids) for b in bundles() for s in b)))
    with torch.no_grad():
        expected = model(input_ids=ids).logits
        scorer = scorer_for(model, 0, "cpu")
        rows = [row(5, ids.shape[1])]
        before = scorer.losses(rows).values
        with scorer.as_usual() as usual:
            assert torch.equal(usual(input_ids=ids).logits, expected)
        assert torch.equal(scorer.losses(rows).values, before)


def test_finding_the_way_twice_adds_nothing():
    model = model_of("Llama")
    for _ in range(2):
        scorer = scorer_for(model, 0, "cpu")
    assert tokens_seen(scorer, "model.layers.1.mlp", [row(5, 20)]) == 5
    assert len(model.model.layers[1].mlp._forward_pre_hooks) == 1
