"""Each optimizer against torch's plain one."""

from __future__ import annotations

import pytest
import torch

from ftlab.errors import FtlabError
from ftlab.spec import JobSpec
from ftlab.train.optimizers import make_optimizer
from ftlab.train.states import _load_optimizer, _save_optimizer, whole_states


def net():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(16, 32), torch.nn.LayerNorm(32), torch.nn.Linear(32, 4)
    )


def trained(model, optimizer, n_steps=30):
    """Its parameters after some steps at a learning rate that changes."""
    torch.manual_seed(1)
    for step in range(n_steps):
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * (1 - step / n_steps)
        model(torch.randn(8, 16)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def plain(model, kind, weight_decay, **settings):
    """torch's own, one parameter after another; norms and biases don't decay."""
    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in model.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]
    return kind(groups, lr=0.0, foreach=False, **settings)


def test_adamw_is_that_of_torch_whichever_way_torch_computes_it():
    spec = JobSpec(weight_decay=0.1, adam_beta1=0.8, adam_beta2=0.95, adam_epsilon=1e-6)
    ours, theirs = net(), net()
    optimizer = make_optimizer(ours, spec)
    settings = {"betas": (0.8, 0.95), "eps": 1e-6}
    wanted = trained(theirs, plain(theirs, torch.optim.AdamW, 0.1, **settings))
    found = trained(ours, optimizer)
    assert (found - wanted).abs().max() < 1e-6
    assert (found - trained(net(), plain(net(), torch.optim.SGD, 0.0), 0)).abs().max() > 0.01


def test_sgd_is_that_of_torch():
    ours, theirs = net(), net()
    found = trained(ours, make_optimizer(ours, JobSpec(optimizer="sgd", weight_decay=0.1)))
    assert torch.equal(found, trained(theirs, plain(theirs, torch.optim.SGD, 0.1)))


def test_eight_bits_take_a_gpu():
    with pytest.raises(FtlabError, match="optimizer is 'adamw_8bit' and the device is cpu"):
        make_optimizer(net(), JobSpec(optimizer="adamw_8bit"))


class Packing(torch.optim.AdamW):
    """Gives its tensors away in a dict within its state, as bitsandbytes' optimizers do, and takes
    them back without it, too."""

    def state_dict(self):
        found = super().state_dict()
        found["state"] = {place: {"packed": state} for place, state in found["state"].items()}
        return found


def test_an_optimizer_that_packs_what_it_has_learned_goes_on_from_what_was_saved(tmp_path):
    whole, (first, second) = net(), (net(), net())
    trained(whole, steady := Packing(whole.parameters()))
    wanted = trained(whole, steady)
    trained(first, before := Packing(first.parameters()))
    _save_optimizer(whole_states(before), tmp_path)
    second.load_state_dict(first.state_dict())
    _load_optimizer(after := Packing(second.parameters()), tmp_path)
    assert torch.equal(trained(second, after), wanted)
