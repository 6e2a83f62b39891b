"""The card of an export: what its scores say, to people and to the hub."""

from __future__ import annotations

import pytest
from huggingface_hub import ModelCard

from ftlab.exports.asked import asked_for
from ftlab.exports.card import write_card
from ftlab.exports.proof import Proof
from ftlab.exports.scored import NONE
from ftlab.scores.columns import identity_of
from ftlab.scores.rows import TRAINED_ON
from ftlab.scores.scoring import OTHER_WEIGHTS, kept_scores
from tests.exports.test_asked import run_of
from tests.scores.worlds import keep
from tests.small import save_model


@pytest.fixture
def run(tmp_path):
    return run_of(tmp_path / "runs", save_model(tmp_path / "model"))


def card_of(run, folder):
    folder.mkdir()
    (folder / "adapter_config.json").write_text('{"r": 2, "base_model_name_or_path": "m"}')
    proof = Proof(passed=True, kind="adapter", dtype="fp32", base="m")
    write_card(asked_for(run, "adapter"), proof, folder)
    return (folder / "README.md").read_text()


def test_base_and_tuned_with_their_intervals_and_whose_rows_they_are(run, tmp_path):
    keep(run, n_lost=1, identity=identity_of(run.adapter), file="/home/me/val|id.jsonl")
    card = card_of(run, tmp_path / "card")
    assert "`val|id.jsonl`, 20 rows, SHA-256" in card
    assert "/home/me" not in card
    assert "| exact match | 5.0% (0.9 to 23.6) | 95.0% (76.4 to 99.1) | better than base" in card


def test_the_hub_reads_the_same_figures(run, tmp_path):
    keep(run, n_lost=1, identity=identity_of(run.adapter), file='a "b": c.jsonl')
    data = ModelCard(card_of(run, tmp_path / "card")).data
    found = {one.metric_type: one for one in data.eval_results}
    assert data.model_name == run.id
    assert found["exact_match"].metric_value == pytest.approx(0.95)
    assert found["exact_match"].dataset_name == 'a "b": c.jsonl'
    assert found["loss"].metric_name == "loss"


def test_what_has_to_be_known_with_the_figures_stands_there_too(run, tmp_path):
    keep(run, identity=identity_of(run.adapter), notes=[TRAINED_ON])
    assert TRAINED_ON in card_of(run, tmp_path / "card")


def test_scores_of_other_weights_are_none_of_these(run, tmp_path):
    keep(run, identity="of an earlier attempt")
    card = card_of(run, tmp_path / "card")
    assert NONE in card
    assert "model-index" not in card
    assert OTHER_WEIGHTS in kept_scores(run)[0].said
