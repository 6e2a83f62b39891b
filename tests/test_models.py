"""What is read off a model's folder, against the model itself."""

from __future__ import annotations

import json
import os

import pytest

from ftlab import demo
from ftlab.cost import estimate
from ftlab.errors import UnreadableData
from ftlab.model_files import PLAIN
from ftlab.models import ModelInfo, fetch, locate, model_problem, read_info, tensor_shapes
from tests.small import save_model, save_tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("model"), tie_word_embeddings=True)


def test_shape_and_size_equal_the_loaded_model(folder):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder)
    info = read_info(str(folder))
    assert info.n_params == sum(parameter.numel() for parameter in model.parameters())
    assert (info.hidden_size, info.intermediate_size, info.n_layers) == (32, 64, 2)
    assert (info.family, info.context_length) == ("llama", 512)
    assert info.vocab_size == model.config.vocab_size


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("rank", [1, 5])
def test_adapter_parameters_equal_peft(folder, rank):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(folder),
        LoraConfig(r=rank, target_modules="all-linear", task_type="CAUSAL_LM"),
    )
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert rank * sum(read_info(str(folder)).lora_params_per_rank.values()) == trainable


def test_an_untied_head_gets_no_adapter(tmp_path):
    per_rank = read_info(str(save_model(tmp_path, tie_word_embeddings=False))).lora_params_per_rank
    assert set(per_rank) == {
        *("q_proj", "k_proj", "v_proj", "o_proj"),
        *("gate_proj", "up_proj", "down_proj"),
    }


def test_the_demo_model_is_named_demo():
    assert locate("demo") == demo.MODEL
    assert read_info("demo").n_params


def test_a_folder_is_taken_as_it_is(folder):
    assert fetch(str(folder)) == folder.resolve()


def test_a_model_that_is_not_here_is_unknown():
    info = read_info("somebody/nowhere")
    assert (info.n_params, info.context_length, info.lora_params_per_rank) == (None, None, {})


def test_what_is_no_model_is_said(tmp_path):
    with pytest.raises(UnreadableData, match="No model is at"):
        fetch(str(tmp_path / "missing"))


def test_a_hub_model_is_found_in_the_cache(tmp_path, monkeypatch):
    commit = "0" * 40
    repo = tmp_path / "models--me--small"
    save_tokenizer(repo / "snapshots" / commit, "chatml")
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.file_download.HF_HUB_CACHE", str(tmp_path), raising=False)
    assert locate("me/small") == repo / "snapshots" / commit
    assert fetch("me/small", weights=False) == repo / "snapshots" / commit


def test_without_a_network_a_hub_model_is_an_error_that_says_so(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UnreadableData, match="could not be fetched"):
        fetch("somebody/nowhere")


@pytest.mark.parametrize(
    "damage", [b"", b"\x10\x00\x00", b"\xff" * 8 + b"{}", b"\x02" + b"\0" * 7 + b"[["]
)
def test_damaged_weights_are_said_and_not_read(tmp_path, damage):
    (tmp_path / "model.safetensors").write_bytes(damage)
    with pytest.raises(UnreadableData, match="not a whole safetensors file"):
        tensor_shapes(tmp_path)


def test_a_damaged_config_is_said(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UnreadableData, match=r"config.json can't be read"):
        read_info(str(tmp_path))


def test_a_config_with_a_text_part_is_read(tmp_path):
    config = {"model_type": "gemma3", "text_config": {"hidden_size": 640}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert read_info(str(tmp_path)).hidden_size == 640


def header(text: str, n_bytes: int) -> bytes:
    data = text.encode()
    return len(data).to_bytes(8, "little") + data + b"\0" * n_bytes


WHOLE = '{"a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}'


def test_a_file_is_as_long_as_its_header_says(tmp_path):
    file = tmp_path / "model.safetensors"
    file.write_bytes(header(WHOLE, 24))
    assert tensor_shapes(tmp_path) == {"a": (2, 3)}
    file.write_bytes(header(WHOLE, 23))
    os.utime(file, ns=(1, 1))
    with pytest.raises(UnreadableData, match="bytes"):
        tensor_shapes(tmp_path)


@pytest.mark.parametrize("text", ["[1]", '{"a": {}}', '{"a": 1}', '{"a": {"shape": 3}}'])
def test_a_header_of_another_shape_is_said(tmp_path, text):
    (tmp_path / "model.safetensors").write_bytes(header(text, 0))
    with pytest.raises(UnreadableData, match="not a whole safetensors file"):
        tensor_shapes(tmp_path)


@pytest.mark.parametrize(
    "config",
    [
        {"hidden_size": 0, "max_position_embeddings": "x", "num_hidden_layers": True},
        {"text_config": None, "model_type": 3},
        {"vocab_size": -1, "text_config": [1]},
    ],
)
def test_figures_that_can_not_be_are_unknown(tmp_path, config):
    (tmp_path / "config.json").write_text(json.dumps(config))
    info = read_info(str(tmp_path))
    assert info == ModelInfo(name=str(tmp_path))
    estimate({"model": str(tmp_path)}, info=info)


def test_weights_in_another_format_are_said(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    problem = model_problem(str(tmp_path))
    assert "only pytorch_model.bin" in problem.message
    assert problem.blocks == ("local",)
    with pytest.raises(UnreadableData, match="safetensors format"):
        fetch(str(tmp_path))


def test_a_part_of_the_weights_that_is_missing_is_said(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "one.safetensors").write_bytes(header("{}", 0))
    index = {"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "all parts" in model_problem(str(tmp_path)).message


@pytest.mark.parametrize("name", ["~nobody-has-this-name", "x" * 300, "a\0b", ""])
def test_a_name_that_can_be_no_path_is_no_model(name):
    assert model_problem(name).code == "no_model_here"
    assert read_info(name) == ModelInfo(name=name)


SMALL = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
MOE = {"num_experts_per_tok": 2, "moe_intermediate_size": 24}
EXPERTS = {
    "qwen3_moe": {"num_experts": 4, **MOE},
    "qwen2_moe": {"num_experts": 4, "shared_expert_intermediate_size": 40, **MOE},
    "mixtral": {"num_local_experts": 4},
    "olmoe": {"num_experts": 4, "head_dim": 8},
    "glm4_moe": {"n_routed_experts": 4, "n_shared_experts": 1, "first_k_dense_replace": 1, **MOE},
    "deepseek_v3": {
        **{"n_routed_experts": 4, "n_shared_experts": 1, "first_k_dense_replace": 1, "n_group": 1},
        **{"topk_group": 1, "q_lora_rank": 8, "kv_lora_rank": 8, "qk_rope_head_dim": 8},
        **{"qk_nope_head_dim": 8, "v_head_dim": 8, "num_key_value_heads": 4, **MOE},
    },
    "gpt_oss": {"num_local_experts": 4, "num_experts_per_tok": 2},
}


def trainable_with_peft(folder) -> int:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    config = LoraConfig(r=1, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(folder), config)
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def save_family(folder, family: str, **config):
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    model = AutoModelForCausalLM.from_config(CONFIG_MAPPING[family](**{**SMALL, **config}))
    model.save_pretrained(folder)
    return folder, model


@pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::UserWarning", "ignore::RuntimeWarning"
)
@pytest.mark.parametrize("family", EXPERTS)
def test_an_adapter_passes_experts_and_routers_by_as_peft_does(family, tmp_path):
    folder, model = save_family(tmp_path, family, **EXPERTS[family])
    info = read_info(str(folder))
    assert info.n_params == sum(tensor.numel() for tensor in model.state_dict().values())
    assert sum(info.lora_params_per_rank.values()) == trainable_with_peft(folder)


@pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::UserWarning", "ignore::RuntimeWarning"
)
@pytest.mark.parametrize("family", sorted(PLAIN))
def test_an_adapter_is_counted_without_weights_as_peft_does(family, tmp_path):
    folder, _ = save_family(tmp_path, family)
    trainable = trainable_with_peft(folder)
    by_weights = read_info(str(folder)).lora_params_per_rank
    (folder / "model.safetensors").unlink()
    by_config = read_info(str(folder)).lora_params_per_rank
    assert by_config == by_weights
    assert sum(by_config.values()) == trainable


def test_heads_and_their_width_are_read(folder, tmp_path):
    info = read_info(str(folder))
    assert (info.n_heads, info.n_kv_heads, info.kv_width) == (4, 2, 16)
    assert info.source_of("n_heads") == "the model's own files"
    (tmp_path / "config.json").write_text(json.dumps({"n_embd": 8, "n_head": 2, "n_layer": 3}))
    gpt = read_info(str(tmp_path))
    assert (gpt.hidden_size, gpt.n_heads, gpt.n_layers, gpt.kv_width) == (8, 2, 3, None)


def test_a_model_of_which_the_small_files_are_here_has_its_size_from_the_catalogue(
    tmp_path, monkeypatch
):
    commit = "0" * 40
    repo = tmp_path / "models--Qwen--Qwen3-8B"
    snapshot = save_tokenizer(repo / "snapshots" / commit, "chatml")
    config = {"model_type": "qwen3", "max_position_embeddings": 999}
    (snapshot / "config.json").write_text(json.dumps(config))
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.file_download.HF_HUB_CACHE", str(tmp_path), raising=False)
    info = read_info("Qwen/Qwen3-8B")
    assert (info.context_length, info.n_params) == (999, 8_190_735_360)
    assert info.source_of("context_length") == "the model's own files"
    assert "transformers" in info.source_of("n_params")


def test_a_folder_is_never_mixed_with_the_catalogue(tmp_path, monkeypatch):
    (tmp_path / "Qwen" / "Qwen3-8B").mkdir(parents=True)
    (tmp_path / "Qwen" / "Qwen3-8B" / "config.json").write_text('{"hidden_size": 8}')
    monkeypatch.chdir(tmp_path)
    info = read_info("Qwen/Qwen3-8B")
    assert (info.hidden_size, info.n_params, info.hosted) == (8, None, None)


def test_what_a_download_will_show_is_said_only_where_it_is_not_known():
    assert "Its token counts are known after that." in model_problem("Qwen/Qwen3-8B").message
    assert "Its size and its token counts" in model_problem("somebody/nowhere").message
