"""What is asked of the hub, against a hub on the loopback."""

from __future__ import annotations

import time

import pytest

from ftlab.errors import UnreadableData
from ftlab.model_hub import look_up, seen
from ftlab.models import read_info
from tests.fake_hub import fake_hub, go_online, leave

NAME = "somebody/small-qwen"
PAGE = {
    "safetensors": {"parameters": {"BF16": 8190735360}, "total": 8190735360},
    "cardData": {"license": "apache-2.0"},
    "siblings": [{"rfilename": "config.json"}],
}
CONFIG = {
    "model_type": "qwen3",
    "hidden_size": 4096,
    "intermediate_size": 12288,
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 151936,
    "max_position_embeddings": 40960,
}


def test_a_model_of_the_hub_is_looked_up_by_its_page_and_its_configuration(monkeypatch):
    with fake_hub({NAME: PAGE}, {NAME: CONFIG}, monkeypatch) as asked:
        info = look_up(NAME)
    assert asked == [f"/api/models/{NAME}", f"/{NAME}/resolve/main/config.json"]
    assert (info.n_params, info.license, info.family) == (8190735360, "apache-2.0", "qwen3")
    assert (info.hidden_size, info.n_heads, info.n_kv_heads, info.kv_width) == (4096, 32, 8, 1024)
    # 1,769,472 in the feed-forward layers and 958,464 in attention: tinker-cookbook's count.
    assert sum(info.lora_params_per_rank.values()) == 1_769_472 + 958_464
    assert info.source_of("n_layers").startswith("huggingface.co, 20")
    assert info.source_of("license") == info.source_of("n_params") == info.source_of("n_layers")


def test_what_was_looked_up_is_known_without_asking_again(monkeypatch):
    with fake_hub({NAME: PAGE}, {NAME: CONFIG}, monkeypatch) as asked:
        found = look_up(NAME)
        before = len(asked)
        assert read_info(NAME) == found == seen(NAME)
        assert len(asked) == before


def test_a_gated_model_has_its_page_only(monkeypatch):
    page = {**PAGE, "gated": "manual", "cardData": {"license": "llama3.1"}}
    with fake_hub({NAME: page}, {}, monkeypatch):
        info = look_up(NAME)
    assert (info.license, info.n_params, info.hidden_size) == ("llama3.1", 8190735360, None)
    assert info.source_of("hidden_size") == ""


@pytest.mark.parametrize(
    ("card", "tag"),
    [({"license": "other", "license_name": "llama4"}, "llama4"), ({"license": "other"}, "other")],
)
def test_a_licence_that_is_another_is_named(card, tag, monkeypatch):
    with fake_hub({NAME: {"cardData": card}}, {}, monkeypatch):
        assert look_up(NAME).license == tag


@pytest.mark.parametrize("config", [[1], "text", {"hidden_size": "wide", "vocab_size": -1}])
def test_a_configuration_of_no_use_is_unknown(config, monkeypatch):
    with fake_hub({NAME: {}}, {NAME: config}, monkeypatch):
        info = look_up(NAME)
    assert (info.hidden_size, info.n_params, info.license) == (None, None, None)


def test_no_such_model_is_said(monkeypatch):
    with fake_hub({}, {}, monkeypatch), pytest.raises(UnreadableData, match="did not say anything"):
        look_up(NAME)
    assert seen(NAME) is None


def test_without_a_network_the_answer_comes_fast(monkeypatch):
    go_online(monkeypatch, "http://127.0.0.1:9")  # nothing listens on the discard port
    began = time.monotonic()
    with pytest.raises(UnreadableData, match="go online"):
        look_up(NAME)
    leave()
    assert time.monotonic() - began < 3


def test_switched_off_it_asks_nobody(monkeypatch):
    with fake_hub({NAME: PAGE}, {NAME: CONFIG}, monkeypatch) as asked:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        leave()
        with pytest.raises(UnreadableData, match=r"HF_HUB_OFFLINE|[Oo]ffline"):
            look_up(NAME)
    assert asked == []
