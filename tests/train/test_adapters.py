"""Which layers get an adapter, and adapters that go on, against peft."""

from __future__ import annotations

import copy
import json
import pickle

import pytest
import torch
from peft import AutoPeftModelForCausalLM, LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from ftlab.base import load_base
from ftlab.errors import FtlabError, UnreadableData
from ftlab.job import LocalOptions
from ftlab.rules import resolve
from ftlab.train.adapters import reference_of, start_on
from ftlab.train.model import load_model, trainable
from ftlab.train.targets import targets
from tests.small import save_architecture

# peft 0.21 asks for a name that transformers 5.23 gave up.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::FutureWarning")]
IDS = torch.tensor([[20, 21, 22, 23, 24, 25]])


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder, made = tmp_path_factory.mktemp("models"), {}

    def of(family):
        if family not in made:
            made[family] = save_architecture(folder / family, family)
        return made[family]

    return of


def spec_of(folder, **changes):
    values = {"model": str(folder), "training_file": "t.jsonl", "lora_r": 4, **changes}
    return resolve(values).spec


def adapted(model):
    """Paths of the layers with an adapter."""
    names = (name for name, _ in model.named_parameters() if ".lora_A." in name)
    return {name.removeprefix("base_model.model.").partition(".lora_A")[0] for name in names}


def logits(model):
    with torch.no_grad():
        return model.eval()(input_ids=IDS).logits


# --- which layers ----------------------------------------------------------------------------

ATTENTION = [f"{n}_proj" for n in "qkvo"]
MLP = ["gate_proj", "up_proj", "down_proj"]


def llama(names, layers=(0, 1)):
    parts = {n: "self_attn" if n in ATTENTION else "mlp" for n in names}
    return {f"model.layers.{i}.{parts[n]}.{n}" for i in layers for n in names}


@pytest.mark.parametrize(
    ("wanted", "excluded", "found"),
    [
        ("all-linear", (), llama([*ATTENTION, *MLP])),
        ("q_proj, v_proj", (), llama(["q_proj", "v_proj"])),
        (("*_proj",), (), llama([*ATTENTION, *MLP])),
        (("*",), (), llama([*ATTENTION, *MLP])),
        (("model.layers.[1-3].*.q_proj",), (), llama(["q_proj"], [1])),
        (("layers.0.mlp.*",), (), llama(MLP, [0])),
        (("self_attn.q_proj", "d*_proj"), (), llama(["q_proj", "down_proj"])),
        (("lm_head",), (), {"lm_head"}),
        ("all-linear", ("q_proj",), llama([*ATTENTION[1:], *MLP])),
        ("all-linear", ("mlp.*",), llama(ATTENTION)),
        ("all-linear", ("model.layers.0.*",), llama([*ATTENTION, *MLP], [1])),
        (
            ("q_proj", "v_proj"),
            ("layers.1.self_attn.v_proj",),
            llama(["q_proj"]) | llama(["v_proj"], [0]),
        ),
    ],
)
def test_names_and_patterns_mean_layers(models, wanted, excluded, found):
    spec = spec_of(models("llama"), lora_trainable_modules=wanted, lora_exclude_modules=excluded)
    assert adapted(load_model(spec, LocalOptions(), "cpu")) == found


@pytest.mark.parametrize("field", ["lora_trainable_modules", "lora_exclude_modules"])
@pytest.mark.parametrize("name", ["q_pro", "layers.[5-9].*.q_proj", "mlp", "*_projection"])
def test_what_means_nothing_is_told_with_the_names_there_are(models, field, name):
    spec = spec_of(models("llama"), **{field: (name,)})
    with pytest.raises(FtlabError) as told:
        load_model(spec, LocalOptions(), "cpu")
    assert str(told.value).startswith(f"{field} names {name}; the model has ")
    assert "q_proj" in str(told.value)
    assert str(told.value).endswith("Use those names, or patterns of them.")


def test_gpt_2_calls_its_layers_otherwise(models):
    spec = spec_of(models("gpt2"))
    everything = adapted(load_model(spec, LocalOptions(), "cpu"))
    parts = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    assert everything == {f"transformer.h.{i}.{part}" for i in (0, 1) for part in parts}
    some = spec.changed(lora_trainable_modules=("h.0.*.c_proj",))
    wanted = {f"transformer.h.0.{part}" for part in ("attn.c_proj", "mlp.c_proj")}
    assert adapted(load_model(some, LocalOptions(), "cpu")) == wanted


# peft warns that the ranks it gives to fused experts match no module; they are of a tensor.
@pytest.mark.filterwarnings("ignore:.*rank_pattern keys:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:.*alpha_pattern keys:RuntimeWarning")
@pytest.mark.parametrize(
    ("wanted", "excluded", "weights"),
    [
        (("experts.down_proj",), (), ["down_proj"]),
        (("gate_proj", "up_proj", "down_proj"), (), ["down_proj", "gate_up_proj"]),
        (("*_proj",), (), ["down_proj", "gate_up_proj"]),
        ("all-linear", ("experts.down_proj",), ["gate_up_proj"]),
        (("layers.0.*.gate_up_proj",), (), ["gate_up_proj"]),
    ],
)
def test_experts_have_theirs_in_one_tensor(models, wanted, excluded, weights):
    spec = spec_of(
        models("qwen3_moe"), lora_trainable_modules=wanted, lora_exclude_modules=excluded
    )
    model = load_model(spec, LocalOptions(), "cpu")
    wrapped = {m.parameter_name for m in model.modules() if hasattr(m, "parameter_name")}
    assert sorted(wrapped) == weights


@pytest.mark.parametrize(
    "changes",
    [
        {"lora_trainable_modules": ("gate_proj",)},  # in memory it is one with up_proj
        {"lora_trainable_modules": ("experts.down_proj",), "lora_dropout": 0.1},
        {"lora_dropout": 0.1},
        {"use_dora": True},
    ],
)
def test_what_peft_can_not_do_with_experts_is_said(models, changes):
    spec = spec_of(models("qwen3_moe"), **changes)
    with pytest.raises(FtlabError, match=r"^peft could not put an adapter on the model .* Name"):
        load_model(spec, LocalOptions(), "cpu")


def test_what_is_named_is_what_peft_would_choose(models):
    """A plain name, on the same model, by peft alone."""
    model = AutoModelForCausalLM.from_pretrained(models("mixtral"))
    spec = spec_of(models("mixtral"), lora_trainable_modules=("q_proj",))
    assert targets(model, spec) == (["q_proj"], [], [])
    theirs = get_peft_model(copy.deepcopy(model), LoraConfig(target_modules=["q_proj"], r=4))
    assert adapted(load_model(spec, LocalOptions(), "cpu")) == adapted(theirs)


# --- one that goes on ------------------------------------------------------------------------


def made_elsewhere(folder, model, **settings):
    """An adapter by peft alone, with weights that do something."""
    base = AutoModelForCausalLM.from_pretrained(model)
    shape = {"r": 3, "lora_alpha": 5, "target_modules": ["q_proj", "v_proj"], **settings}
    tuned = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", **shape))
    torch.manual_seed(5)
    for parameter in trainable(tuned):
        torch.nn.init.normal_(parameter, std=0.3)
    tuned.save_pretrained(folder)
    return folder


@pytest.fixture
def adapter(tmp_path, models):
    return made_elsewhere(tmp_path / "adapter", models("llama"))


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("llama", {}),
        ("llama", {"target_modules": "all-linear", "use_rslora": True, "use_dora": True}),
        ("llama", {"rank_pattern": {"q_proj": 6}, "alpha_pattern": {"q_proj": 2}}),
        ("llama", {"target_modules": r".*\.0\.self_attn\.q_proj"}),
        ("gpt2", {"target_modules": ["c_attn"], "fan_in_fan_out": True}),
        ("qwen3_moe", {"target_modules": ["q_proj"], "target_parameters": ["experts.down_proj"]}),
    ],
)
def test_an_adapter_of_pefts_goes_on_as_it_was(tmp_path, models, family, settings):
    folder = made_elsewhere(tmp_path / "adapter", models(family), **settings)
    spec = spec_of(models(family), from_checkpoint=str(folder), lora_r=16)
    ours = load_model(spec, LocalOptions(), "cpu")
    wanted = logits(AutoPeftModelForCausalLM.from_pretrained(folder))
    assert torch.allclose(logits(ours), wanted, atol=1e-6)
    assert not torch.allclose(wanted, logits(load_base(models(family), torch.float32, "cpu")))
    theirs = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(models(family)), folder, is_trainable=True
    )
    assert sum(map(torch.numel, trainable(ours))) == sum(map(torch.numel, trainable(theirs)))


def changed(folder, **settings):
    file = folder / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **settings}))


def with_values(folder, change):
    file = folder / "adapter_model.safetensors"
    values = load_file(file)
    change(values)
    save_file(values, file)


FIRST = "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight"


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda f: with_values(f, lambda v: v[FIRST].fill_(float("nan"))), "are no numbers, in 1"),
        (lambda f: with_values(f, lambda v: v.pop(FIRST)), "is missing, and the model takes"),
        (lambda f: with_values(f, lambda v: v.update({FIRST: torch.ones(9, 3)})), r"\(9, 3\)"),
        (lambda f: changed(f, target_modules=["nowhere"]), "does not fit the model"),
        (lambda f: changed(f, target_modules=["q_proj"]), "does not fit the model"),
        (lambda f: changed(f, r=10**9), "they must agree"),
        (lambda f: changed(f, megatron_config={"a": 1}, megatron_core="os"), "megatron_config"),
        (lambda f: changed(f, alora_invocation_tokens=[1]), "plain LoRA adapters"),
    ],
)
def test_what_does_not_fit_is_refused(adapter, models, damage, told):
    damage(adapter)
    spec = spec_of(models("llama"), from_checkpoint=str(adapter))
    with pytest.raises(UnreadableData, match=told):
        load_model(spec, LocalOptions(), "cpu")


class Canary:
    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return (self.file.touch, ())


def test_a_pickle_is_refused_and_not_opened(adapter, models, tmp_path):
    (adapter / "adapter_model.safetensors").unlink()
    canary = tmp_path / "ran"
    (adapter / "adapter_model.bin").write_bytes(pickle.dumps(Canary(canary)))
    spec = spec_of(models("llama"), from_checkpoint=str(adapter))
    with pytest.raises(UnreadableData, match=r"adapter_model\.bin, which may run code"):
        load_model(spec, LocalOptions(), "cpu")
    assert not canary.exists()


# --- the model before training ---------------------------------------------------------------


def going_on(adapter, models):
    spec = spec_of(models("llama"), from_checkpoint=str(adapter))
    return load_model(spec, LocalOptions(), "cpu")


def moved(model):
    """After one step of some training."""
    optimizer = torch.optim.SGD(trainable(model), lr=1.0)
    model.train()(input_ids=IDS, labels=IDS).loss.backward()
    optimizer.step()
    return model


def test_the_reference_of_one_that_goes_on_is_the_adapter_as_it_was(adapter, models):
    model = load_model(
        spec_of(models("llama"), from_checkpoint=str(adapter)), LocalOptions(), "cpu"
    )
    start = logits(model)
    after = logits(moved(model))
    assert not torch.allclose(after, start, atol=1e-3)
    with reference_of(model) as reference:
        assert torch.equal(logits(reference), start)
    assert torch.equal(logits(model), after)


def test_the_reference_comes_back_also_after_an_error(adapter, models):
    model = load_model(
        spec_of(models("llama"), from_checkpoint=str(adapter)), LocalOptions(), "cpu"
    )
    after = logits(moved(model))
    with pytest.raises(RuntimeError), reference_of(model):
        raise RuntimeError
    assert torch.equal(logits(model), after)


def test_what_goes_on_is_saved_as_one_adapter(adapter, models, tmp_path):
    model = load_model(
        spec_of(models("llama"), from_checkpoint=str(adapter)), LocalOptions(), "cpu"
    )
    moved(model).save_pretrained(tmp_path / "saved")
    assert {file.name for file in (tmp_path / "saved").iterdir() if file.is_dir()} == set()
    again = AutoPeftModelForCausalLM.from_pretrained(tmp_path / "saved")
    assert torch.allclose(logits(again), logits(model), atol=1e-6)


def test_what_an_adapter_went_on_from_comes_to_its_device(adapter, models):
    spec = spec_of(models("llama"), from_checkpoint=str(adapter))
    model = load_model(spec, LocalOptions(), "cpu")
    start_on(model, "meta")
    assert {values.device.type for values in model.started_from.values()} == {"meta"}


def test_the_reference_of_a_fresh_adapter_is_the_base(models):
    model = load_model(spec_of(models("llama")), LocalOptions(), "cpu")
    base = logits(load_base(models("llama"), torch.float32, "cpu"))
    after = logits(moved(moved(model)))
    with reference_of(model) as reference:
        assert torch.allclose(logits(reference), base, atol=1e-6)
    assert torch.equal(logits(model), after)


def test_the_reference_of_all_weights_is_the_model(models):
    model = load_model(spec_of(models("llama"), lora=False, lora_r=None), LocalOptions(), "cpu")
    with reference_of(model) as reference:
        assert reference is model
