"""What belongs together in a spec: each relation with a job that breaks it and what is said."""

from __future__ import annotations

from typing import Any

import pytest

from ftlab.data.report import DataReport
from ftlab.limits import Limits
from ftlab.rulebook import FILES
from ftlab.rulebook.own_weights import size_in_name
from ftlab.rules import check

BOTH, LOCAL, HOSTED, NOBODY = ("local", "together"), ("local",), ("together",), ()
START = {"model": "Qwen/Qwen3-8B", "training_file": "t.jsonl"}
DPO = {"training_method": "dpo"}
VALIDATED = {"validation_file": "v.jsonl", "n_evals": 4}
LONG = {"lengths": {100: 1, 5_000: 1}, "by_role": {}}
REPLY = {
    "min_learning_rate": 1e-7,
    "max_learning_rate": 0.01,
    "max_num_epochs": 20,
    "max_num_evals": 100,
    "max_num_checkpoints": 50,
    "min_max_seq_length": 256,
    "max_seq_length_sft": 32768,
    "max_seq_length_dpo": 8192,
    "supports_vision": False,
    "supports_full_training": True,
    "lora_training": {
        "default_rank": 16,
        "max_rank": 64,
        "min_batch_size": 8,
        "max_batch_size": 32,
        "max_batch_size_dpo": 16,
        "target_modules": ["q_proj", "v_proj"],
    },
    "full_training": {"min_batch_size": 16, "max_batch_size": 128, "max_batch_size_dpo": 64},
}


def rows(n: int, **more: Any) -> DataReport:
    return DataReport.model_validate({"path": "t.jsonl", "n_rows": n, **more})


def verdicts(values: dict[str, Any], limits: Any = None, report: DataReport | None = None):
    """Field → (level, who refuses) of everything that is said."""
    found = check({**START, **values}, limits, report)
    return {(issue.where, issue.level, issue.blocks) for issue in found}


@pytest.mark.parametrize(
    ("values", "report", "verdict"),
    [
        ({"from_checkpoint": "ft-1"}, None, ("from_checkpoint", "error", HOSTED)),
        ({"model": None}, None, ("model", "error", BOTH)),
        ({"from_hf_model": "a/b", "model": None}, None, ("model", "error", HOSTED)),
        (
            {"from_hf_model": "a/b", "from_checkpoint": "ft-1", "model": None},
            None,
            ("from_hf_model", "error", HOSTED),
        ),
        ({"from_hf_model": "a/Big-100B"}, None, ("from_hf_model", "error", HOSTED)),
        ({**DPO, "train_on_inputs": "auto"}, None, ("train_on_inputs", "error", BOTH)),
        ({"rpo_alpha": 0.0}, None, ("rpo_alpha", "error", BOTH)),
        ({"dpo_reference_free": True}, None, ("dpo_reference_free", "error", BOTH)),
        (
            {**DPO, "simpo_gamma": 1, "dpo_normalize_logratios_by_length": False},
            None,
            ("dpo_normalize_logratios_by_length", "warning", NOBODY),
        ),
        ({**DPO, "simpo_gamma": 1, "rpo_alpha": 1}, None, ("rpo_alpha", "warning", NOBODY)),
        ({**DPO, "dpo_beta": 0.01}, None, ("dpo_beta", "tip", NOBODY)),
        ({"lora": False, "lora_dropout": 0.1}, None, ("lora_dropout", "error", BOTH)),
        ({"lora": False, "use_dora": True}, None, ("use_dora", "error", BOTH)),
        ({"lora": False, "use_rslora": True}, None, ("use_rslora", "error", BOTH)),
        ({"lora": False, "quantization": "nf4"}, None, ("quantization", "error", BOTH)),
        (
            {"lora_trainable_modules": ("q_proj", "layers.?.*")},
            None,
            ("lora_trainable_modules", "error", HOSTED),
        ),
        ({"lora": None, "lora_r": 8}, None, ("lora_r", "warning", NOBODY)),
        ({"lora_r": 8, "lora_alpha": 4}, None, ("lora_alpha", "warning", NOBODY)),
        ({"lora_r": 8, "lora_alpha": 33}, None, ("lora_alpha", "warning", NOBODY)),
        ({"use_dora": True}, None, ("use_dora", "tip", NOBODY)),
        (
            {"lr_scheduler_type": "linear", "scheduler_num_cycles": 1},
            None,
            ("scheduler_num_cycles", "warning", NOBODY),
        ),
        (
            {"lr_scheduler_type": "constant", "min_lr_ratio": 0.1},
            None,
            ("min_lr_ratio", "warning", NOBODY),
        ),
        ({"lr_scheduler_type": "constant"}, None, ("lr_scheduler_type", "error", HOSTED)),
        ({"learning_rate": 3e-3}, None, ("learning_rate", "warning", NOBODY)),
        ({"learning_rate": 3e-4, "lora": False}, None, ("learning_rate", "warning", NOBODY)),
        ({"learning_rate": 1e-5}, None, ("learning_rate", "tip", NOBODY)),
        (
            {**VALIDATED, "n_evals": 3, "early_stopping_enabled": True},
            None,
            ("n_evals", "error", BOTH),
        ),
        (
            {"n_evals": 9, "early_stopping_enabled": True},
            None,
            ("early_stopping_enabled", "error", BOTH),
        ),
        ({"early_stopping_min_delta": 0.1}, None, ("early_stopping_min_delta", "warning", NOBODY)),
        ({"n_evals": 1}, None, ("n_evals", "error", BOTH)),
        ({**VALIDATED, "n_evals": 0}, None, ("n_evals", "warning", NOBODY)),
        ({"max_steps": 5, "n_epochs": 2}, None, ("max_steps", "warning", NOBODY)),
        ({"max_steps": 5}, None, ("max_steps", "error", HOSTED)),
        ({**DPO, "packing": True}, None, ("packing", "error", LOCAL)),
        ({"packing": True}, rows(9_000), ("max_seq_length", "error", LOCAL)),
        (
            {"packing": True, "max_seq_length": 100, "batch_size": 4},
            rows(9, tokens={"lengths": {30: 9}, "by_role": {}}),  # three to a pack
            ("batch_size", "error", LOCAL),
        ),
        ({"packing": False}, None, ("packing", "warning", NOBODY)),
        ({**DPO}, rows(9_000, format="conversation"), ("training_method", "error", BOTH)),
        ({}, rows(9_000, format="preference"), ("training_method", "error", BOTH)),
        ({"batch_size": 8}, rows(7), ("batch_size", "error", LOCAL)),
        (
            {"batch_size": 8, "validation_split": 0.5},
            rows(14),
            ("batch_size", "error", LOCAL),
        ),
        ({"batch_size": 8}, rows(792), ("batch_size", "tip", NOBODY)),
        ({"n_epochs": 4}, rows(4_999), ("n_epochs", "tip", NOBODY)),
        ({"n_epochs": 6}, rows(4_999), ("n_epochs", "warning", NOBODY)),
        ({"n_epochs": 4, "lora": False}, rows(4_999), ("n_epochs", "warning", NOBODY)),
        ({"lora_r": 17}, rows(4_999), ("lora_r", "warning", NOBODY)),
        ({"max_seq_length": 99}, rows(2, tokens=LONG), ("max_seq_length", "warning", NOBODY)),
        (
            {"max_seq_length": 99, "over_length": "stop"},
            rows(2, tokens=LONG),
            ("max_seq_length", "error", LOCAL),
        ),
    ],
    ids=lambda part: ", ".join(part) if isinstance(part, dict) else "",
)
def test_what_does_not_go_together_is_said(values, report, verdict):
    assert verdict in verdicts(values, report=report)


@pytest.mark.parametrize(
    ("values", "report"),
    [
        ({**VALIDATED, "early_stopping_enabled": True}, None),
        ({"validation_split": 0.1, "n_evals": 5}, rows(9_000)),
        ({**DPO, "dpo_beta": 0.1, "rpo_alpha": 0.2}, rows(9_000, format="preference")),
        ({**DPO, "simpo_gamma": 1.0, "dpo_beta": 2.0}, None),
        ({"lora": False, "learning_rate": 1e-5}, None),
        ({**DPO, "learning_rate": 1e-6}, None),
        ({"lora": None}, None),
        ({"lora_r": 8, "lora_alpha": 32}, None),
        ({"batch_size": 8, "n_epochs": 3, "lora_r": 16}, rows(800)),
        ({"n_epochs": 10, "lora_r": 64}, rows(5_000)),
        ({"lr_scheduler_type": "constant", "warmup_ratio": 0.1}, None),
        ({"max_seq_length": 5_000}, rows(2, tokens=LONG)),
        ({"model": None, "from_checkpoint": "me/Qwen3-8B-tuned:12"}, None),
        ({"from_hf_model": "me/mine-7B", "hf_model_revision": "main"}, None),
    ],
    ids=lambda part: ", ".join(part) if isinstance(part, dict) else "",
)
def test_what_goes_together_is_not_spoken_of(values, report):
    refused = {issue.where for issue in check({**START, **values}, report=report) if issue.blocks}
    spoken = {issue.where for issue in check({**START, **values}, report=report)}
    hosted_only = {"dpo_beta", "rpo_alpha", "simpo_gamma", "from_hf_model", "from_checkpoint"}
    one_engine = {*hosted_only, "validation_split", "early_stopping_enabled", "max_steps"}
    assert (
        spoken
        <= refused
        <= {*one_engine, "training_method", "lora", "lr_scheduler_type"} | {"hf_model_revision"}
    )


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"batch_size": 7}, "batch_size"),
        ({"batch_size": 33}, "batch_size"),
        ({**DPO, "batch_size": 17}, "batch_size"),
        ({"lora": False, "batch_size": 15}, "batch_size"),
        ({"lora": False, "batch_size": 129}, "batch_size"),
        ({**DPO, "lora": False, "batch_size": 65}, "batch_size"),
        ({"lora_r": 65}, "lora_r"),
        ({"lora_trainable_modules": "q_proj,k_proj"}, "lora_trainable_modules"),
        ({"learning_rate": 0.02}, "learning_rate"),
        ({"learning_rate": 1e-8}, "learning_rate"),
        ({"n_epochs": 21}, "n_epochs"),
        ({**VALIDATED, "n_evals": 101}, "n_evals"),
        ({"n_checkpoints": 51}, "n_checkpoints"),
        ({"max_seq_length": 255}, "max_seq_length"),
        ({"max_seq_length": 32769}, "max_seq_length"),
        ({**DPO, "max_seq_length": 8193}, "max_seq_length"),
        ({"train_vision": True}, "train_vision"),
    ],
)
def test_the_services_limits_are_kept_as_it_replies_them(values, field):
    assert (field, "error", HOSTED) in verdicts(values, REPLY)
    assert check({**START, **values}, REPLY) == check({**START, **values}, Limits.from_reply(REPLY))


@pytest.mark.parametrize(
    "values",
    [
        {"batch_size": 8, "lora_r": 64, "n_epochs": 20, "max_seq_length": 256},
        {"batch_size": 32, "max_seq_length": 32768, "lora_trainable_modules": "q_proj"},
        {**DPO, "batch_size": 16, "max_seq_length": 8192},
        {"lora": False, "batch_size": 128},
        {"lora": None, "batch_size": 1},  # the service chooses the kind of training, and its sizes
    ],
)
def test_what_the_limits_allow_is_taken(values):
    assert not [i for i in check({**START, **values}, REPLY) if "together" in i.blocks]


@pytest.mark.parametrize(
    "full", [None, {"min_batch_size": 0, "max_batch_size": 0, "max_batch_size_dpo": 0}]
)
def test_all_weights_train_only_where_the_service_says_so(full):
    reply = {**REPLY, "supports_full_training": False, "full_training": full}
    (issue,) = (i for i in check({**START, "lora": False}, reply) if "together" in i.blocks)
    assert (issue.where, issue.fix) == ("lora", {"lora": True})


def test_preference_batches_of_an_older_service_are_half():
    """What together 1.5.34 took where the reply had no size for DPO: half, in steps of 8."""
    sizes = {"min_batch_size": 8, "max_batch_size": 40}
    limits = Limits.from_reply({"lora_training": sizes})
    assert limits.batch_sizes("dpo") == (8, 16)
    assert limits.batch_sizes("sft") == (8, 40)


@pytest.mark.parametrize("junk", [None, 0, -1, "8", [], {}, {"max_rank": "x"}, float("nan"), True])
def test_limits_that_make_no_sense_are_unknown(junk):
    reply = dict.fromkeys(REPLY, junk)
    assert verdicts({"batch_size": 3, "lora_r": 999, "n_epochs": 99}, reply) <= {
        ("lora", "error", HOSTED)
    }


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("Qwen/Qwen3-8B", 8e9),
        ("Qwen/Qwen3-235B-A22B", 235e9),
        ("mistralai/Mixtral-8x22B-v0.1", 176e9),
        ("HuggingFaceTB/SmolLM2-1.7B-Instruct", 1.7e9),
        ("me/distilled-405B-to-8b", 8e9),
        ("openai/gpt-oss-120b", 120e9),
        ("google/gemma-3-270m", None),
        ("me/llama3.1", None),
    ],
)
def test_a_models_name_tells_its_size(name, size):
    assert size_in_name(name) == size


def test_own_weights_are_judged_by_the_catalogue_where_it_knows_them():
    """DeepSeek-V3's name has no size; gpt-oss-120b is of 117 billion, whatever its name says."""
    for name, size in [("deepseek-ai/DeepSeek-V3", "671"), ("openai/gpt-oss-120b", "116.8")]:
        (issue,) = (
            i
            for i in check({**START, "from_hf_model": name})
            if i.code == "own_weights_are_not_too_large"
        )
        assert f"of {size} billion parameters" in issue.message


@pytest.mark.parametrize(
    ("own", "template", "warns"),
    [
        ("Qwen/Qwen2.5-7B-Instruct", "meta-llama/Llama-3.1-8B", True),
        ("HuggingFaceTB/SmolLM2-1.7B-Instruct", "meta-llama/Llama-3.2-3B", False),
        ("me/unknown", "meta-llama/Llama-3.2-3B", False),
        ("Qwen/Qwen2.5-7B-Instruct", "me/unknown", False),
    ],
)
def test_own_weights_and_their_template_are_of_one_architecture(own, template, warns):
    values = {**START, "model": template, "from_hf_model": own}
    codes = {issue.code for issue in check(values)}
    assert ("own_weights_are_like_their_template" in codes) == warns


@pytest.mark.parametrize(
    ("length", "limit", "warns"),
    [(None, 131072, True), (None, 8192, False), (16384, None, True), (8192, 131072, False)],
)
def test_own_weights_are_not_trained_beyond_their_context(length, limit, warns):
    values = {**START, "from_hf_model": "HuggingFaceTB/SmolLM2-1.7B-Instruct"}
    found = check({**values, "max_seq_length": length}, Limits(max_seq_length_sft=limit))
    fixes = [i.fix for i in found if i.code == "own_weights_reach_as_far_as_their_template"]
    assert fixes == ([{"max_seq_length": 8192}] if warns else [])


def test_a_catalogue_that_can_not_be_read_stops_nothing(tmp_path, monkeypatch):
    broken = tmp_path / "models.json"
    broken.write_text("{")
    monkeypatch.setenv("FTLAB_MODELS", str(broken))
    assert verdicts({"from_hf_model": "me/Mine-405B"}) >= {("from_hf_model", "error", HOSTED)}


def test_the_address_of_own_weights_is_turned_into_their_id():
    (issue,) = (
        i
        for i in check({**START, "from_hf_model": "https://huggingface.co/me/mine"})
        if "together" in i.blocks
    )
    assert issue.fix == {"from_hf_model": "me/mine"}


def test_options_of_hosted_jobs_are_told_from_fields():
    found = check({**FILES, "wandb_project_name": "p", "hf_output_repo_name": 5})
    told = {issue.where: (issue.level, issue.blocks) for issue in found if issue.blocks}
    assert told == {"wandb_project_name": ("error", LOCAL), "hf_output_repo_name": ("error", BOTH)}
    assert [i.where for i in found if i.level == "warning"] == ["wandb_project_name"]


def test_secrets_are_never_shown():
    for value in ("hf_secret", ["hf_secret"]):
        found = check({**FILES, "hf_api_token": value, "wandb_api_key": value})
        assert len(found) == 2
        assert "secret" not in "".join(map(repr, found))


@pytest.mark.parametrize("name", ["*_proj", "model.layers.[0-3].*.q_proj", "self_attn.v_proj", "*"])
def test_patterns_are_compared_with_the_layers_there_are(name):
    limits = Limits(lora_trainable_modules=("q_proj", "v_proj"), engine="local")
    values = {**START, "lora_trainable_modules": (name,)}
    assert not [issue for issue in check(values, limits) if "local" in issue.blocks]
    wrong = check({**START, "lora_trainable_modules": (f"{name}_wrong",)}, limits)
    assert [issue.code for issue in wrong if "local" in issue.blocks] == ["modules_exist"]


@pytest.mark.parametrize(
    ("field", "value"),
    [("quantization", "nf4"), ("quantization", "int8"), ("optimizer", "adamw_8bit")],
)
def test_few_bits_are_refused_where_the_machine_has_none(field, value):
    values = {**START, field: value}
    assert not [issue for issue in check(values) if "local" in issue.blocks]
    (issue,) = (
        i for i in check(values, Limits(no_low_bits="it takes a GPU")) if "local" in i.blocks
    )
    assert (issue.where, issue.fix) == (field, {field: None})
    assert issue.message.startswith(f"{field} is '{value}'; it takes a GPU. Leave it out")
