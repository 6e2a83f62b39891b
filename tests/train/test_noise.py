"""NEFTune's noise: against transformers on rows of one length, by hand on all others."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM
from transformers.integrations.neftune import neftune_post_forward_hook

from ftlab.train.noise import add_noise, document_lengths, with_noise
from tests.small import ARCHITECTURES, save_architecture, save_model

ROWS, TOKENS, WIDTH, ALPHA = 3, 10, 8, 5.0


def test_rows_of_one_length_are_as_with_transformers():
    layer = torch.nn.Embedding(50, WIDTH)
    layer.neftune_noise_alpha = ALPHA
    embedded = layer(torch.arange(ROWS * TOKENS).reshape(ROWS, TOKENS))
    torch.manual_seed(1)
    theirs = neftune_post_forward_hook(layer, None, embedded)
    torch.manual_seed(1)
    ours = with_noise(embedded, document_lengths((ROWS, TOKENS)), ALPHA)
    assert torch.allclose(ours, theirs, atol=1e-6)
    assert not torch.allclose(ours, embedded, atol=1e-2)


def test_a_document_is_as_noisy_as_it_is_short():
    """As the paper has it: alpha over the root of its own tokens times the width, not the row's."""
    positions = torch.tensor([[0, 1, 2, 3, 0, 0, 1, 2, 3, 4]])
    lengths = document_lengths((1, 10), positions)
    assert lengths.tolist() == [[4, 4, 4, 4, 1, 5, 5, 5, 5, 5]]
    embedded = torch.zeros(1, 10, 20_000)
    noise = with_noise(embedded, lengths, ALPHA)[0].abs().amax(-1)
    assert noise.tolist() == pytest.approx(
        [ALPHA / (n * 20_000) ** 0.5 for n in lengths[0].tolist()], rel=1e-2
    )


def test_padding_counts_for_nothing_and_stays():
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1]])
    lengths = document_lengths((2, 4), mask=mask)
    assert lengths.tolist() == [[3, 3, 3, 0], [4, 4, 4, 4]]
    positions = torch.arange(4).expand(2, 4)
    assert document_lengths((2, 4), positions, mask).tolist() == lengths.tolist()
    embedded = torch.ones(2, 4, WIDTH)
    assert torch.equal(with_noise(embedded, lengths, ALPHA)[0, 3], embedded[0, 3])


@pytest.fixture
def model(tmp_path):
    return AutoModelForCausalLM.from_pretrained(save_model(tmp_path / "model"))


@pytest.mark.slow
@pytest.mark.parametrize("family", ARCHITECTURES)
def test_a_model_is_noisy_while_it_trains_alone(tmp_path, family):
    model = AutoModelForCausalLM.from_pretrained(save_architecture(tmp_path / "model", family))
    ids = torch.arange(20, 32).reshape(1, 12)
    calm = model.eval()(input_ids=ids).logits
    add_noise(model, ALPHA)
    assert torch.equal(model(input_ids=ids).logits, calm)
    model.train()
    for module in model.modules():  # GPT-2 drops values by itself
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    assert not torch.allclose(model(input_ids=ids).logits, calm, atol=1e-4)


def test_documents_in_one_row_are_known_by_their_positions(model):
    """However the model is called: whole, or its decoder alone."""
    seen = []
    model.get_input_embeddings().register_forward_hook(lambda _l, _i, out: seen.append(out))
    add_noise(model.train(), ALPHA)
    ids = torch.arange(20, 32).reshape(1, 12)
    positions = torch.tensor([[*range(4), *range(8)]])
    mask = torch.ones_like(ids)
    for call in (model, model.get_decoder()):
        torch.manual_seed(3)
        noisy = []
        hook = model.get_input_embeddings().register_forward_hook(
            lambda _l, _i, out, noisy=noisy: noisy.append(out)
        )
        call(input_ids=ids, position_ids=positions, attention_mask=mask)
        hook.remove()
        torch.manual_seed(3)
        wanted = with_noise(seen[-1], document_lengths((1, 12), positions), ALPHA)
        assert torch.equal(noisy[0], wanted)
