"""The catalogue: every figure has a source and a date, and agrees with what others counted."""

from __future__ import annotations

import json
import re

import pytest

from ftlab import catalogue
from ftlab.errors import UnreadableData
from ftlab.model_files import PLAIN, SHAPE, config_info
from ftlab.model_hub import look_up
from ftlab.models import ModelInfo, read_info
from tests.fake_hub import fake_hub

MODELS = catalogue.models()
FIGURES = (*SHAPE, "n_params", "license", "lora_params_per_rank", "hosted")
# Parameters of an adapter of rank 1, feed-forward and attention: tinker-cookbook 0.6.1,
# hyperparam_utils.py. Only models without experts: there Tinker shares a factor among experts.
TINKER_PER_RANK = {
    "Qwen/Qwen3-32B": 5_898_240 + 2_490_368,
    "Qwen/Qwen3-4B-Instruct-2507": 1_327_104 + 737_280,
    "Qwen/Qwen3-8B": 1_769_472 + 958_464,
    "Qwen/Qwen3-8B-Base": 1_769_472 + 958_464,
    "meta-llama/Llama-3.1-70B": 8_847_360 + 4_096_000,
    "meta-llama/Llama-3.1-8B": 1_769_472 + 851_968,
    "meta-llama/Llama-3.1-8B-Instruct": 1_769_472 + 851_968,
    "meta-llama/Llama-3.2-1B": 491_520 + 212_992,
    "meta-llama/Llama-3.2-3B": 946_176 + 573_440,
    "meta-llama/Llama-3.3-70B-Instruct": 8_847_360 + 4_096_000,
}
# Billions of parameters as the hub's API gave them on 2026-09-24.
HUB_SIZES = {
    "Qwen/Qwen3-8B": 8.19,
    "Qwen/Qwen2.5-7B-Instruct": 7.62,
    "mistralai/Mistral-7B-Instruct-v0.3": 7.25,
    "allenai/OLMo-2-1124-7B-Instruct": 7.30,
    "HuggingFaceTB/SmolLM2-1.7B-Instruct": 1.71,
    "meta-llama/Llama-3.1-8B-Instruct": 8.03,
}
# Hidden sizes of every model that tinker-cookbook 0.6.1 lists.
TINKER_WIDTHS = {
    **dict.fromkeys(("meta-llama/Llama-3.2-1B",), 2048),
    **dict.fromkeys(("meta-llama/Llama-3.2-3B",), 3072),
    **dict.fromkeys(("meta-llama/Llama-3.1-8B", "meta-llama/Llama-3.1-8B-Instruct"), 4096),
    **dict.fromkeys(("meta-llama/Llama-3.1-70B", "meta-llama/Llama-3.3-70B-Instruct"), 8192),
    **dict.fromkeys(("deepseek-ai/DeepSeek-V3.1", "deepseek-ai/DeepSeek-V3.1-Base"), 7168),
    **dict.fromkeys(
        ("deepseek-ai/DeepSeek-V4.1-Flash", "deepseek-ai/DeepSeek-V4.1-Flash-1017"), 5120
    ),
    **dict.fromkeys(
        [f"moonshotai/Kimi-{name}" for name in ("K2-Thinking", "K2.5", "K2.6", "K3.1-Pro")], 7168
    ),
    **dict.fromkeys(
        [
            f"Qwen/Qwen{name}"
            for name in (
                *("3-235B-A22B-Instruct-2507", "3-8B", "3-8B-Base", "3-VL-235B-A22B-Instruct"),
                *("3.5-397B-A17B", "3.5-9B", "3.5-9B-Base"),
            )
        ],
        4096,
    ),
    **dict.fromkeys(
        [
            f"Qwen/Qwen{name}"
            for name in (
                *("3-30B-A3B-Instruct-2507", "3-30B-A3B", "3-30B-A3B-Base"),
                *("3-VL-30B-A3B-Instruct", "3.5-35B-A3B", "3.5-35B-A3B-Base", "3.6-35B-A3B"),
            )
        ],
        2048,
    ),
    **dict.fromkeys(
        [f"Qwen/Qwen{name}" for name in ("3-32B", "3.5-27B", "3.6-27B", "3.8-27B")], 5120
    ),
    **dict.fromkeys(("Qwen/Qwen3-4B-Instruct-2507", "Qwen/Qwen3.5-4B"), 2560),
    **dict.fromkeys(("openai/gpt-oss-120b", "openai/gpt-oss-20b"), 2880),
    "zai-org/GLM-5.3": 6144,
    "zai-org/GLM-5.3-Flash": 4096,
    "nvidia/NVIDIA-Nemotron-3-Ultra-550B-A55B-BF16": 8192,
    "nvidia/NVIDIA-Nemotron-3-Super-120B-A12B-BF16": 4096,
    "nvidia/NVIDIA-Nemotron-3.5-Super-VL-120B-A12B-BF16": 4096,
    "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16": 2688,
    "nvidia/NVIDIA-Nemotron-3.5-Lightning-30B-A3B-BF16": 2688,
    "thinkingmachines/Inkling": 6144,
    "thinkingmachines/Inkling-Small": 4096,
    "thinkingmachines/Inkling-2-Small": 4608,
}


def test_at_least_forty_models_have_their_figures():
    wanted = (
        "family",
        "n_params",
        "hidden_size",
        "n_layers",
        "n_heads",
        "n_kv_heads",
        "vocab_size",
    )
    whole = [info for info in MODELS if all(getattr(info, name) for name in wanted)]
    assert len(whole) >= 80
    assert sum(info.license is not None for info in MODELS) >= 60
    assert sum(info.hosted is not None for info in MODELS) >= 60
    assert sum(info.context_length is not None for info in MODELS) >= 75


@pytest.mark.parametrize("info", MODELS, ids=lambda info: info.name)
def test_every_figure_has_a_source_and_a_date(info):
    for figure in FIGURES:
        known = getattr(info, figure) not in (None, {})
        assert bool(re.search(r"\S+.*, 20\d\d-\d\d", info.source_of(figure))) == (
            known or (figure in SHAPE and "shape" in info.sources)
        ), figure
    if info.hosted:
        assert (info.hosted.engine, bool(info.hosted.source)) == ("together", True)
        assert re.fullmatch(r"20\d\d-\d\d(-\d\d)?", info.hosted.as_of)


@pytest.mark.parametrize("info", MODELS, ids=lambda info: info.name)
def test_figures_are_possible(info):
    figures = (info.n_params, info.hidden_size, info.n_layers, info.vocab_size, info.context_length)
    assert all(figure is None or figure > 0 for figure in figures)
    if info.n_heads and info.n_kv_heads:
        assert info.n_heads % info.n_kv_heads == 0
    if info.n_params and info.hidden_size and info.vocab_size:
        assert info.n_params > info.hidden_size * info.vocab_size
    if info.hosted and info.hosted.min_batch_size and info.hosted.max_batch_size:
        assert info.hosted.min_batch_size <= info.hosted.max_batch_size


def test_a_name_means_one_model():
    names = [info.name.lower() for info in MODELS]
    names += [info.hosted_name.lower() for info in MODELS if info.hosted_name]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", TINKER_PER_RANK)
def test_adapters_have_the_size_that_tinker_counts(name):
    assert sum(catalogue.find(name).lora_params_per_rank.values()) == TINKER_PER_RANK[name]


@pytest.mark.parametrize("name", HUB_SIZES)
def test_sizes_are_those_that_the_hub_gives(name):
    assert round(catalogue.find(name).n_params / 1e9, 2) == HUB_SIZES[name]


@pytest.mark.parametrize("name", TINKER_WIDTHS)
def test_widths_are_those_that_tinker_lists(name):
    assert catalogue.find(name).hidden_size == TINKER_WIDTHS[name]


@pytest.mark.parametrize(
    "info", [info for info in MODELS if info.family in PLAIN], ids=lambda info: info.name
)
def test_the_count_from_a_plain_configuration_is_that_from_the_architecture(info):
    config = {
        "model_type": info.family,
        "hidden_size": info.hidden_size,
        "intermediate_size": info.intermediate_size,
        "num_hidden_layers": info.n_layers,
        "num_attention_heads": info.n_heads,
        "num_key_value_heads": info.n_kv_heads,
        "head_dim": info.head_dim,
    }
    assert config_info("m", config).lora_params_per_rank == info.lora_params_per_rank


@pytest.mark.parametrize(
    "name",
    [
        "meta-llama/Meta-Llama-3.1-8B-Instruct-Reference",
        "meta-llama/Meta-Llama-3.1-8B-Instruct",
        "meta-llama/llama-3.1-8b-instruct",
    ],
)
def test_a_model_is_found_by_each_of_its_names(name):
    info = read_info(name)
    assert (info.name, info.n_params, info.n_layers) == (name, 8_030_261_248, 32)
    assert info.hosted.max_seq_length_sft == 131_072


def test_a_model_that_nobody_wrote_down_stays_unknown():
    assert catalogue.find("somebody/nowhere") is None
    assert read_info("somebody/nowhere") == ModelInfo(name="somebody/nowhere")


def test_what_is_unknown_stays_unknown():
    info = read_info("Qwen/Qwen3.8-27B")
    assert (info.hidden_size, info.n_params, info.license, info.hosted) == (5120, None, None, None)
    assert info.source_of("n_params") == ""


# --- refreshing ------------------------------------------------------------------------------

SIZES = {"parameters": {"BF16": 8190735360}, "total": 8190735360}
PAGE = {"safetensors": SIZES, "cardData": {"license": "mit"}}
CONFIG = {"model_type": "qwen3", "hidden_size": 4096, "num_hidden_layers": 36, "vocab_size": 7}


@pytest.fixture
def own_catalogue(tmp_path, monkeypatch):
    file = tmp_path / "models.json"
    file.write_text(catalogue.path().read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setenv("FTLAB_MODELS", str(file))
    return file


def test_the_file_is_written_as_it_was_read():
    text = catalogue.path().read_text(encoding="utf-8")
    assert catalogue.as_text(json.loads(text)) == text


def test_a_refresh_takes_what_the_hub_says_and_dates_it(own_catalogue, monkeypatch):
    name = "Qwen/Qwen3-8B"
    before = catalogue.find(name)
    with fake_hub({name: PAGE}, {name: CONFIG}, monkeypatch):
        told = catalogue.refresh([name])
    after = catalogue.find(name)
    assert told == [
        f"{name}: vocab_size 151936 → 7",
        f"{name}: license apache-2.0 → mit",
    ]
    assert (after.vocab_size, after.license) == (7, "mit")
    assert after.source_of("vocab_size").startswith("huggingface.co, 20")
    # What the hub does not say is as it was, with its own source.
    assert (after.hosted, after.context_length) == (before.hosted, before.context_length)
    assert catalogue.models()[0] == MODELS[0]


def test_a_refresh_adds_a_new_model(own_catalogue, monkeypatch):
    with fake_hub({"somebody/new": PAGE}, {"somebody/new": CONFIG}, monkeypatch):
        catalogue.refresh(["somebody/new"], ask=look_up)
    info = catalogue.find("somebody/new")
    assert (info.n_params, info.license, info.n_layers) == (8190735360, "mit", 36)
    assert len(catalogue.models()) == len(MODELS) + 1


def test_without_a_network_a_refresh_says_so_and_changes_nothing(own_catalogue, capsys):
    before = own_catalogue.read_text(encoding="utf-8")
    catalogue.main(["Qwen/Qwen3-8B"])
    assert "did not say anything" in capsys.readouterr().out
    assert own_catalogue.read_text(encoding="utf-8") == before


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"sources": {}, "models": [{"name": "a"}]}'])
def test_a_damaged_catalogue_is_said(text, own_catalogue):
    own_catalogue.write_text(text)
    with pytest.raises(UnreadableData, match="catalogue"):
        catalogue.models()


def test_a_catalogue_that_is_missing_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("FTLAB_MODELS", str(tmp_path / "none.json"))
    with pytest.raises(UnreadableData, match="FTLAB_MODELS"):
        catalogue.find("Qwen/Qwen3-8B")
