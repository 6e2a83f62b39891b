"""Attention in bfloat16 on a CPU against torch's own, in double precision and in bfloat16."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from ftlab.pieces import LONG
from ftlab.train.kernels import SPLIT, amx
from ftlab.train.kernels.kernel import Call
from ftlab.train.segments import Segment, Segments

OURS = pytest.mark.parametrize(
    ("heads", "own", "length", "width"),
    [(8, 8, 300, 64), (8, 2, 257, 32), (4, 1, 129, 128), (6, 3, 40, 24), (2, 2, 1, 16)],
)


def drawn(heads, own, length, width, size=1.0):
    torch.manual_seed(0)
    shapes = [(1, n, length, width) for n in (heads, own, own, heads)]
    *asked, given = (size * torch.randn(shape) for shape in shapes)
    return [x.bfloat16().requires_grad_() for x in asked], given.bfloat16()


def said(by, asked, given):
    out = by(*asked)
    return [out.detach(), *torch.autograd.grad(out, asked, given)]


def torchs(query, keys, values, scaling=None):
    return scaled_dot_product_attention(
        query, keys, values, is_causal=True, scale=scaling, enable_gqa=True
    )


def away(found, exact):
    return [((a.double() - b).norm() / b.norm()).item() for a, b in zip(found, exact, strict=True)]


@OURS
@pytest.mark.parametrize(("size", "scaling"), [(1.0, None), (3.0, None), (1.0, 0.3)])
def test_it_is_as_near_to_the_truth_as_torchs(heads, own, length, width, size, scaling):
    asked, given = drawn(heads, own, length, width, size)
    wide = [x.detach().double().requires_grad_() for x in asked]
    exact = said(lambda *x: torchs(*x, scaling), wide, given.double())
    found = said(lambda *x: amx.attend(*x, scaling), asked, given)
    by_torch = said(lambda *x: torchs(*x, scaling), asked, given)
    for ours, theirs in zip(away(found, exact), away(by_torch, exact), strict=True):
        assert ours <= max(2 * theirs, 0.006) or length == 1  # whose scores have no gradient


def test_what_all_keys_have_in_common_does_not_show():
    (query, keys, values), given = drawn(4, 2, 200, 32)
    asked = [query, (keys + 30).detach().requires_grad_(), values]
    wide = [x.detach().double().requires_grad_() for x in asked]
    exact = said(torchs, wide, given.double())
    found = said(lambda *x: amx.attend(*x, None), asked, given)
    assert max(away(found, exact)) <= 0.01  # torch's own in bfloat16 is off by a tenth


def test_of_one_token_its_value_is_all():
    asked, given = drawn(2, 2, 1, 16)
    out, into_query, into_key, into_value = said(lambda *x: amx.attend(*x, None), asked, given)
    assert torch.equal(out, asked[2].detach())
    assert torch.equal(into_value, given)
    assert max(into_query.abs().max(), into_key.abs().max()) < 0.02


def test_scores_of_any_size_are_numbers():
    asked, given = drawn(4, 2, 200, 32, size=30.0)
    assert all(x.isfinite().all() for x in said(lambda *x: amx.attend(*x, None), asked, given))


def test_it_comes_to_the_same_however_few_scores_are_there_at_once(monkeypatch):
    asked, given = drawn(4, 2, 200, 32)
    whole = said(lambda *x: amx.attend(*x, None), asked, given)
    monkeypatch.setattr(amx, "SCORES", 4 * 200 * 7)
    for one, other in zip(said(lambda *x: amx.attend(*x, None), asked, given), whole, strict=True):
        assert (one - other).float().norm() <= 0.005 * other.float().norm()


def test_only_long_sequences_go_this_way(monkeypatch):
    taken = list[int]()
    usual = amx.attend

    def noted(query, *others):
        taken.append(query.shape[2])
        return usual(query, *others)

    monkeypatch.setattr(amx, "attend", noted)
    row = Segments([Segment(n, None) for n in (LONG, LONG - 1, LONG + 5)])
    query, key, value = (torch.randn(1, 4, sum(row.lengths), 16).bfloat16() for _ in range(3))
    out = SPLIT.attend(row, Call(None, query, key, value))
    assert taken == [LONG, LONG + 5]
    assert out.shape == (1, 3 * LONG + 4, 4, 16)
    assert out.dtype == torch.bfloat16
    for other in (
        Call(None, query, key, value, window=7),
        Call(None, query, key, value, dropout=0.1),
        Call(None, query, key, torch.cat((value, value), -1)),
        Call(None, query.float(), key.float(), value.float()),
        Call(None, query, key.float(), value),
        Call(None, query, key, value.float()),
    ):
        SPLIT.attend(row, other)
    assert len(taken) == 2


@pytest.mark.parametrize("turned", range(3))
def test_it_does_not_matter_how_the_numbers_lie(turned):
    parts, _ = drawn(4, 2, LONG, 32)
    row = Segments([Segment(LONG, None)])
    usual = SPLIT.attend(row, Call(None, *parts))
    parts[turned] = parts[turned].mT.contiguous().mT
    assert (SPLIT.attend(row, Call(None, *parts)) - usual).norm() <= 0.005 * usual.norm()
