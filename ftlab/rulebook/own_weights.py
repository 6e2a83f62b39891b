"""Own weights of the Hugging Face hub for a hosted job, with the model that is their template.

What the service asks of them: https://docs.together.ai/docs/fine-tuning/byom (2026-08).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from ftlab.catalogue import known
from ftlab.data.report import DataReport
from ftlab.issues import Issue, shown
from ftlab.limits import Limits
from ftlab.models import ModelInfo
from ftlab.rulebook.registry import advice, error, rule
from ftlab.spec import HOSTED, JobSpec

MOST_PARAMS = 100e9
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
HUB_URL = re.compile(r"https?://(?:www\.)?(?:huggingface\.co|hf\.co)/([\w.-]+/[\w.-]+)/?")
SIZE = re.compile(r"(?<![\w.])(?:(\d+)x)?(\d+(?:\.\d+)?)B(?![a-z])", re.IGNORECASE)


@rule(model=None, from_hf_model="me/mine")
def own_weights_need_a_template_model(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """Own Hugging Face weights go with a model that says how to treat them."""
    if spec.from_hf_model and spec.from_checkpoint:
        yield error(
            "from_hf_model",
            "from_hf_model and from_checkpoint are both given; a job starts from one of them. "
            "Leave one out.",
            HOSTED,
        )
    elif spec.from_hf_model and not spec.model:
        yield error(
            "model",
            f"from_hf_model is {shown(spec.from_hf_model)} and no model is given; own weights "
            "need a `model` of the same architecture as their template. Name that model.",
            HOSTED,
        )


@rule(from_hf_model="https://huggingface.co/me/mine")
def own_weights_are_on_the_hub(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """The service fetches them from there."""
    name = spec.from_hf_model
    if name is None or HUB_ID.fullmatch(name):
        return
    address = HUB_URL.fullmatch(name)
    use = f"Use {address[1]}." if address else "Put the weights there and give their id."
    yield error(
        "from_hf_model",
        f"from_hf_model is {shown(name)}; it takes the id of a Hugging Face repository, "
        f"OWNER/NAME. {use}",
        HOSTED,
        fix={"from_hf_model": address[1]} if address else None,
    )


@rule(from_hf_model="me/Mine-405B")
def own_weights_are_not_too_large(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """Only the service's own models may be larger."""
    if spec.from_hf_model is None:
        return
    counted = _known(spec.from_hf_model).n_params
    size = counted or size_in_name(spec.from_hf_model)
    if size is not None and size >= MOST_PARAMS:
        yield error(
            "from_hf_model",
            f"from_hf_model is {shown(spec.from_hf_model)}, {'' if counted else 'by its name '}of "
            f"{size / 1e9:.4g} billion parameters; own weights must have fewer than 100 billion. "
            "Choose a smaller model, or one of the service's list.",
            HOSTED,
        )


@rule(model="meta-llama/Llama-3.1-8B", from_hf_model="Qwen/Qwen2.5-7B-Instruct")
def own_weights_are_like_their_template(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """The template says how they are trained and served."""
    if spec.from_hf_model is None or not spec.model:
        return
    own, template = _known(spec.from_hf_model).family, _known(spec.model).family
    if own and template and own != template:
        yield advice(
            "warning",
            "from_hf_model",
            f"from_hf_model is {shown(spec.from_hf_model)}, of the architecture {own}, and model "
            f"is {shown(spec.model)}, of {template}; a template must be of the same. Name a model "
            f"of {own}.",
        )


@rule(
    limits=Limits(max_seq_length_sft=131_072),
    model="meta-llama/Llama-3.2-3B",
    from_hf_model="HuggingFaceTB/SmolLM2-1.7B-Instruct",
)
def own_weights_reach_as_far_as_their_template(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """Left out, max_seq_length is the template's, which own weights may never have seen."""
    if spec.from_hf_model is None:
        return
    reach = _known(spec.from_hf_model).context_length
    length = spec.max_seq_length or limits.longest_sequence(spec.training_method)
    if reach is not None and length is not None and length > reach:
        yield advice(
            "warning",
            "max_seq_length",
            f"max_seq_length is {spec.max_seq_length or 'left out'}, so rows may have {length:,} "
            f"tokens; {shown(spec.from_hf_model)} knows {reach:,}. Use {reach}.",
            fix={"max_seq_length": reach},
        )


@rule(hf_model_revision="main")
def a_revision_is_one_of_own_weights(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """The service's own models come in one version."""
    if spec.hf_model_revision and not spec.from_hf_model:
        yield error(
            "hf_model_revision",
            f"hf_model_revision is {shown(spec.hf_model_revision)} and from_hf_model is not given; "
            "hosted jobs know revisions of own weights only. Leave it out, or name the weights.",
            HOSTED,
            fix={"hf_model_revision": None},
        )


def _known(model: str) -> ModelInfo:
    """What the catalogue says of a model; everything unknown when it says nothing."""
    return known(model) or ModelInfo(name=model)


def size_in_name(name: str) -> float | None:
    """Parameters as the model's name tells them: 8e9 of "Qwen3-8B", 176e9 of "Mixtral-8x22B".

    The smallest of several, as of a model distilled from a larger one; None where none is told.
    """
    found = SIZE.findall(name.rpartition("/")[2])
    return min((math.prod(map(float, filter(None, size))) * 1e9 for size in found), default=None)
