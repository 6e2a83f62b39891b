"""A job is refused where the service's own client refuses it, for the same reason.

`together` 3.1.1 judges: its `create_finetune_request` builds the body of every hosted job. It runs
as it is published, in a process of its own, on more than five thousand jobs drawn from a seed.
What we refuse and it lets through is in `DIFFERENCES`, each kind with its reason; a job outside of
them that is judged otherwise is a failure.

What we take beyond it is not drawn, since it never reaches the service as it was typed: numbers
written as text, layers as a list instead of text with commas, and None for packing left out.
"""

from __future__ import annotations

import json
import math
import os
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ftlab.issues import Issue, errors_for
from ftlab.rules import check
from ftlab.spec import FIELDS
from tests.rules.service_jobs import Asked, chance_jobs, single_changes

ORACLE = Path(__file__).parents[2] / ".venv-oracles" / "together-3.1.1"
ASK = """
import contextlib, inspect, io, json, sys, traceback
from pydantic import ValidationError
from together import __version__
from together.lib.resources.fine_tuning import create_finetune_request
from together.types.finetune_model_limits import FinetuneModelLimits

def refusal(values, reply):
    limits = FinetuneModelLimits.construct(**reply)  # as the client reads a reply
    try:
        create_finetune_request(limits, **values)
    except ValidationError as exc:
        return f"no value for {exc.errors()[0]['loc'][0]}"
    except ValueError as exc:
        return str(exc)
    except Exception as exc:  # a value on which it breaks down is refused too
        return f"{exc} in {traceback.extract_tb(exc.__traceback__)[-1].line}"

with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    verdicts = [refusal(*asked) for asked in json.load(sys.stdin)]
names = list(inspect.signature(create_finetune_request).parameters)
json.dump([__version__, names, verdicts], sys.stdout)
"""


class Cause(NamedTuple):
    """What the client says, and the rule that finds the same, in the first of the fields.

    Where the value of one of the fields is none for it, that is said in place of any rule.
    """

    pattern: str
    rule: str
    fields: str
    """"{0}" is what the pattern's first group found."""


CAUSES = [
    Cause("start a job from, not both$", "model_or_checkpoint", "from_checkpoint model"),
    Cause("either a model or a checkpoint$", "model_or_checkpoint", "model"),
    Cause("either a model or a checkpoint$", "own_weights_need_a_template_model", "model"),
    Cause(
        "either a Hugging Face Hub model",
        "own_weights_need_a_template_model",
        "from_hf_model from_checkpoint",
    ),
    Cause("LoRA dropout must be in", "bad_value", "lora_dropout"),
    Cause("Full training is not supported", "kind_of_training_is_offered", "lora"),
    Cause("Requested batch size of .* (higher|lower)", "within_limits", "batch_size"),
    # Sizes of 0 say that the model can't be trained whole.
    Cause("Requested batch size of .* value of 0", "kind_of_training_is_offered", "lora"),
    Cause("Warmup ratio should be", "bad_value", "warmup_ratio"),
    Cause("Min learning rate ratio should be", "bad_value", "min_lr_ratio"),
    Cause("Max gradient norm should be", "bad_value", "max_grad_norm"),
    Cause("Weight decay should be", "bad_value", "weight_decay"),
    Cause("training_method must be one of", "bad_value", "training_method"),
    Cause("train_on_inputs is only supported", "inputs_train_only_in_sft", "train_on_inputs"),
    Cause(r"^(\w+?)(?:=True)? is only supported for DPO", "preference_fields_need_dpo", "{0}"),
    Cause("^(rpo_alpha|simpo_gamma) should be", "bad_value", "{0}"),
    Cause(r"^(early_stopping_\w+) must be", "bad_value", "{0}"),
    Cause(
        "requires a validation file", "early_stopping_has_what_it_needs", "early_stopping_enabled"
    ),
    Cause(
        "requires n_evals",
        "early_stopping_has_what_it_needs",
        "n_evals early_stopping_patience early_stopping_warmup_evals",
    ),
    Cause("Number of cycles should be", "bad_value", "scheduler_num_cycles"),
    Cause("Maximum sequence length", "within_limits", "max_seq_length"),
    Cause("Vision encoder training", "vision_needs_a_vision_model", "train_vision"),
    Cause(r"unexpected keyword argument '(\w+)'", "unknown_field", "{0}"),
    Cause("^no value for training_file", "training_file_given", "training_file"),
    Cause(r"^no value for (\w+)", "bad_value", "{0}"),
    # It breaks down, and the line of its source says on what.
    Cause(
        r"not supported between .* in .*?\b(batch_size|max_\w+|\w+_cycles)\b", "bad_value", "{0}"
    ),
    Cause("^cannot convert float .* to integer", "bad_value", "lora_alpha lora_r"),
]
CLIENT_NAMES = {"num_cycles": "scheduler_num_cycles", "wandb_key": "wandb_api_key"}


class Difference(NamedTuple):
    """A kind of job that we refuse and the client lets through."""

    why: str
    covers: Callable[[Issue, dict[str, Any]], bool]


LEAST = {
    **dict.fromkeys(("n_epochs", "n_checkpoints", "batch_size", "lora_r", "lora_alpha"), 1),
    **dict.fromkeys(("n_evals", "random_seed", "gradient_accumulation_steps"), 0),
    **dict.fromkeys(("early_stopping_patience", "early_stopping_warmup_evals"), 0),
    **dict.fromkeys(("learning_rate", "dpo_beta"), 1e-300),
    "max_seq_length": 8,
}
"""What is a number for a field at all, where the client takes any."""
MOST = {"learning_rate": 1}
LARGEST = 2**53


def is_out_of_bounds(name: str, value: Any) -> bool:
    if isinstance(value, str):
        return not value or (name == "suffix" and (len(value) > 40 or " " in value))
    is_number = name in LEAST and isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and not LEAST[name] <= value <= MOST.get(name, LARGEST)


def has_no_effect(issue: Issue, values: dict[str, Any]) -> bool:
    if issue.where.startswith("lora_"):
        return not values.get("lora")
    if issue.where == "scheduler_num_cycles":
        return values.get("lr_scheduler_type", "cosine") != "cosine"
    return issue.where.startswith("early_stopping_") and not values.get("early_stopping_enabled")


DIFFERENCES = {
    "no effect": Difference(
        "The client looks at a bound only where the field takes effect; a value outside of it is a "
        "mistake anywhere.",
        lambda issue, values: issue.code == "bad_value" and has_no_effect(issue, values),
    ),
    "not a number": Difference(
        "NaN and infinity pass its comparisons and are sent.",
        lambda issue, values: (
            issue.code == "bad_value"
            and isinstance(values[issue.where], float)
            and not math.isfinite(values[issue.where])
        ),
    ),
    "bounds": Difference(
        "Numbers and texts that it never looks at: no epochs, a rate of 0 (sent as 1e-5), a seed "
        "below 0, empty names, a suffix above the 40 characters of its own documentation.",
        lambda issue, values: (
            issue.code in ("bad_value", "modules_exist")
            and issue.where != "lr_scheduler_type"
            and is_out_of_bounds(issue.where, values[issue.where])
        ),
    ),
    "limits": Difference(
        "The service's reply bounds the rate, epochs, evaluations, checkpoints, rank and layers; "
        "the client asks for the reply and compares only batch, length, whole training and vision.",
        lambda issue, values: (
            issue.code in ("kind_of_training_is_offered", "modules_exist")
            or (
                issue.code == "within_limits"
                and issue.where not in ("batch_size", "max_seq_length")
            )
        ),
    ),
    "lora left out": Difference(
        "Left out it is True here, and so it is sent; the client leaves it to the service and then "
        "looks at no batch size. With lora=True it refuses the same.",
        lambda issue, values: (
            (issue.code, issue.where) == ("within_limits", "batch_size") and "lora" not in values
        ),
    ),
    "schedules": Difference(
        "It takes every word but cosine for linear, without a word.",
        lambda issue, values: issue.where == "lr_scheduler_type",
    ),
    "adapter": Difference(
        "It ignores LoRA settings beside lora=False; its own command line refuses them.",
        lambda issue, values: issue.code == "adapter_fields_need_lora",
    ),
    "evaluations": Difference(
        "Evaluations without validation data measure nothing; its own command line refuses them.",
        lambda issue, values: issue.code == "evaluations_need_validation_data",
    ),
    "names": Difference(
        "Folders of this machine, checkpoints that are no JOB:STEP, weights that are no hub id, a "
        "revision of no weights, own weights of 100 billion parameters: the service refuses later.",
        lambda issue, values: (
            issue.code
            in (
                "hosted_models_are_the_services_own",
                "checkpoint_is_a_job_and_a_step",
                "own_weights_are_on_the_hub",
                "own_weights_are_not_too_large",
                "a_revision_is_one_of_own_weights",
            )
        ),
    ),
    "types": Difference(
        "A lora_alpha of 16.5 is cut to 16, and a batch_size of None is left to the service.",
        lambda issue, values: (
            (issue.code, issue.where) in (("bad_value", "lora_alpha"), ("bad_value", "batch_size"))
            and values[issue.where] in (1.5, 16.5, None)
        ),
    ),
}


@pytest.fixture(scope="module")
def jobs() -> list[Asked]:
    draw = random.Random(7)
    return [*single_changes(draw), *chance_jobs(draw, 3000)]


@pytest.fixture(scope="module")
def client(jobs: list[Asked]) -> tuple[list[str], list[str | None]]:
    """The keywords that the client knows, and for each job why it refuses; None if it does not."""
    assert (ORACLE / "together").is_dir(), "together 3.1.1 is missing; tests/run.sh installs it."
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        input=json.dumps(jobs),
        env={**os.environ, "PYTHONPATH": str(ORACLE)},
        capture_output=True,
        text=True,
        check=True,
    )
    version, names, verdicts = json.loads(done.stdout)
    assert version == "3.1.1"
    return names, verdicts


@pytest.fixture(scope="module")
def ours(jobs: list[Asked]) -> list[list[Issue]]:
    """For each job the issues because of which a hosted one is refused."""
    return [errors_for(check(values, reply), "together") for values, reply in jobs]


def is_said(refusal: str, issues: list[Issue]) -> bool:
    """Whether one of the issues gives the reason of the client's refusal."""
    said = {(issue.where, issue.code) for issue in issues}
    for cause in CAUSES:
        if match := re.search(cause.pattern, refusal):
            named = cause.fields.format(*match.groups()).split()
            fields = [CLIENT_NAMES.get(name, name) for name in named]
            if said & {(fields[0], cause.rule), *((name, "bad_value") for name in fields)}:
                return True
    return False


def described(cases: list[tuple[Any, ...]]) -> str:
    return "\n".join([f"{len(cases)} jobs", *(" | ".join(map(str, case)) for case in cases[:10])])


def test_there_are_thousands_of_jobs_and_both_verdicts_among_them(jobs, client):
    verdicts = client[1]
    assert len(jobs) == len(verdicts) > 5000
    assert 0.2 < sum(verdict is None for verdict in verdicts) / len(jobs) < 0.8


def test_what_the_client_refuses_is_refused_for_the_same_reason(jobs, client, ours):
    refused = [
        (refusal, values, issues)
        for (values, _), refusal, issues in zip(jobs, client[1], ours, strict=True)
        if refusal is not None
    ]
    wrong = [case for case in refused if not is_said(case[0], case[2])]
    assert not wrong, described(wrong)
    idle = [c for c in CAUSES if not any(re.search(c.pattern, refusal) for refusal, *_ in refused)]
    assert not idle, f"never drawn: {idle}"


def test_what_only_we_refuse_is_of_a_kind_that_is_listed(jobs, client, ours):
    others, kinds = [], Counter()
    for (values, _), refusal, issues in zip(jobs, client[1], ours, strict=True):
        for issue in issues if refusal is None else ():
            kind = next((n for n, d in DIFFERENCES.items() if d.covers(issue, values)), None)
            kinds[kind] += 1
            if kind is None:
                others.append((issue.code, issue.where, values.get(issue.where), values))
    assert not others, described(others)
    assert kinds.keys() == DIFFERENCES.keys()
    assert len(DIFFERENCES) <= 10


def test_our_own_fields_are_refused_for_hosted_jobs(client):
    """All but the one that the service knows and its client has no keyword for."""
    own = set(FIELDS) - set(client[0]) - {"dpo_reference_free"}
    examples = {
        "over_length": "drop",
        "optimizer": "sgd",
        "quantization": "nf4",
        "sample_prompts": ("Hi",),
        "lora_exclude_modules": ("q_proj",),
    }
    for name in own:
        value = examples.get(name, 0.25 if name == "validation_split" else None)
        if value is None:
            value = True if FIELDS[name].annotation is bool else 1
        value = 0.5 if name.startswith("adam_") else value
        found = check({"model": "Qwen/Qwen3-8B", "training_file": "file-1", name: value})
        assert (name, "field_is_honoured") in {
            (issue.where, issue.code) for issue in errors_for(found, "together")
        }, name
