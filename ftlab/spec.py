"""JobSpec: every hyperparameter, once.

Bounds, help, the form and JSON all come from these fields.
Names are Together's keywords (or Hugging Face's own words where both agree). Relations between
fields are rules (`rules.py`), because a validator would stop at the first.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePath
from typing import Annotated, Any, Literal, TypeVar, cast, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo

from ftlab.errors import FtlabError
from ftlab.issues import LARGEST, Issue, allowed, alternatives, from_validation, shown
from ftlab.names import FOREIGN_NAMES as FOREIGN_NAMES
from ftlab.names import OTHER_UNITS

Engine = Literal["local", "together"]
ENGINES: tuple[Engine, ...] = ("local", "together")
BOTH: tuple[Engine, ...] = ENGINES
LOCAL: tuple[Engine, ...] = ("local",)
HOSTED: tuple[Engine, ...] = ("together",)
SFT = ("sft",)
DPO = ("dpo",)
WILDCARDS = frozenset("*?[")
"""Of patterns, as a shell has them; a star takes dots too."""


@dataclass(frozen=True, slots=True)
class Knob:
    """How a field is offered: its group and scale in the form, and who honours it."""

    group: str
    scale: Literal["linear", "log"] = "linear"
    advanced: bool = False
    methods: tuple[str, ...] = ("sft", "dpo")
    """Training methods that the field belongs to."""
    providers: tuple[Engine, ...] = BOTH
    """Engines that honour it; on another one a value of its own is an Issue, never dropped."""
    unit: str = ""


GROUPS = (
    "Model",
    "Method",
    "Data",
    "Length",
    "Optimiser",
    "LoRA",
    "Evaluation and checkpoints",
)
MODEL, METHOD, DATA, LENGTH, OPTIMISER, LORA, EVALUATION = GROUPS


def no_switch_for_a_number(cls: type[BaseModel], value: Any, info: ValidationInfo) -> Any:
    """Python takes True for 1; who gives it where a number belongs means something else."""
    if not isinstance(value, bool):
        return value
    kinds = bare_kinds(cls.model_fields[info.field_name or ""])
    if not {int, float}.isdisjoint(kinds) and bool not in kinds:
        raise ValueError("a switch is no number")
    return value


def bare_kinds(field: FieldInfo) -> tuple[Any, ...]:
    """The types that a field takes: int, float, bool, str, a Literal or a tuple; None left out."""
    return tuple(
        get_args(kind)[0] if get_origin(kind) is Annotated else kind
        for kind in alternatives(field.annotation)
    )


def none_is_value(field: FieldInfo) -> bool:
    """Whether None is a value of its own, other than leaving the field out."""
    return field.default is not None and type(None) in get_args(field.annotation)


def path_as_text(value: Any) -> Any:
    """A path of pathlib as the text that a spec keeps; anything else as it is."""
    return str(value) if isinstance(value, PurePath) else value


class JobSpec(BaseModel):
    """What to train. Frozen; a field that is left out is None or holds Together's default.

    `resolve()` fills what depends on the engine, the model and the data, with a reason each.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
    )

    _numbers = field_validator("*", mode="before")(classmethod(no_switch_for_a_number))

    @field_validator(
        *("model", "from_checkpoint", "training_file", "validation_file"), mode="before"
    )
    @classmethod
    def _path_as_text(cls, value: Any) -> Any:
        return path_as_text(value)

    @model_validator(mode="before")
    @classmethod
    def _without_left_out(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        given = cast("dict[str, Any]", values)
        empty = [n for n, mark in LEFT_OUT.items() if n in given and _is_same(given[n], mark)]
        return {n: v for n, v in given.items() if n not in empty} if empty else given

    # Model
    model: Annotated[str | None, Knob(MODEL)] = Field(None, min_length=1)
    """Base model: a folder, a Hugging Face id, or "demo" for the tiny model inside ftlab."""
    from_checkpoint: Annotated[str | None, Knob(MODEL, advanced=True)] = Field(None, min_length=1)
    """Go on from an earlier job: its id, `ID:STEP` or (hosted) its output name; here also the
    folder of a run, or of an adapter in peft's format."""
    from_hf_model: Annotated[str | None, Knob(MODEL, advanced=True, providers=HOSTED)] = Field(
        None, min_length=1
    )
    """Your own Hugging Face weights for a hosted job; `model` then names the template model."""
    hf_model_revision: Annotated[str | None, Knob(MODEL, advanced=True)] = Field(None, min_length=1)
    """Branch, tag or commit of the Hugging Face weights."""
    suffix: Annotated[str | None, Knob(MODEL, advanced=True)] = Field(
        None, min_length=1, max_length=40, pattern=r"^[A-Za-z0-9._-]+$"
    )
    """A short name that the tuned model and the run folder carry."""

    # Method
    training_method: Annotated[Literal["sft", "dpo"], Knob(METHOD)] = "sft"
    """"sft" learns the answers in the data; "dpo" learns to prefer one of two answers."""
    train_on_inputs: Annotated[
        StrictBool | Literal["auto"] | None, Knob(METHOD, advanced=True, methods=SFT)
    ] = None
    """Whether prompts are trained too. "auto" trains only answers, and all of plain text."""
    dpo_beta: Annotated[float | None, Knob(METHOD, methods=DPO)] = Field(None, gt=0)
    """How strongly DPO holds the model to the reference; 0.05 to 0.9 is usual."""
    dpo_normalize_logratios_by_length: Annotated[bool, Knob(METHOD, advanced=True, methods=DPO)] = (
        False
    )
    """Divide each answer's log-probability by its length, so that size does not win."""
    dpo_reference_free: Annotated[bool, Knob(METHOD, advanced=True, methods=DPO)] = False
    """Compare the answers without a reference model."""
    rpo_alpha: Annotated[float | None, Knob(METHOD, advanced=True, methods=DPO)] = Field(None, ge=0)
    """Weight of the preferred answer's own loss beside the preference loss (RPO)."""
    simpo_gamma: Annotated[float | None, Knob(METHOD, advanced=True, methods=DPO)] = Field(
        None, ge=0
    )
    """Margin of SimPO; above 0 it makes the loss reference-free and length-normalised."""

    # Data
    training_file: Annotated[str | None, Knob(DATA)] = Field(None, min_length=1)
    """The JSONL file to train on (hosted: also the id of an uploaded file)."""
    validation_file: Annotated[str | None, Knob(DATA)] = Field(None, min_length=1)
    """A JSONL file that is only measured, never trained on."""
    validation_split: Annotated[float | None, Knob(DATA, providers=LOCAL)] = Field(
        None, gt=0, le=0.5
    )
    """Share of the training rows to hold back for validation; equal rows stay on one side."""
    max_train_rows: Annotated[int | None, Knob(DATA, advanced=True, providers=LOCAL)] = Field(
        None, ge=1, le=LARGEST
    )
    """Train on at most this many rows, drawn by the seed."""

    # Length
    max_seq_length: Annotated[int | None, Knob(LENGTH, unit="tokens")] = Field(
        None, ge=8, le=LARGEST
    )
    """Longest row in tokens. What is longer is treated as `over_length` says."""
    over_length: Annotated[
        Literal["truncate", "drop", "stop"], Knob(LENGTH, advanced=True, providers=LOCAL)
    ] = "truncate"
    """What happens to rows above max_seq_length: cut the end, leave them out, or stop."""
    packing: Annotated[bool | None, Knob(LENGTH, advanced=True)] = None
    """Fill sequences of max_seq_length with several rows; hosted jobs pay for what stays empty."""
    n_epochs: Annotated[int, Knob(LENGTH)] = Field(1, ge=1, le=LARGEST)
    """How often the training goes through all rows."""
    max_steps: Annotated[int | None, Knob(LENGTH, advanced=True, providers=LOCAL)] = Field(
        None, ge=1, le=LARGEST
    )
    """End after this many optimizer steps, even within an epoch."""

    # Optimiser
    learning_rate: Annotated[float | None, Knob(OPTIMISER, scale="log")] = Field(None, gt=0, le=1)
    """Peak learning rate, reached after warm-up. LoRA takes about ten times the full value."""
    batch_size: Annotated[
        Annotated[int, Field(ge=1, le=LARGEST)] | Literal["max"], Knob(OPTIMISER, unit="rows")
    ] = "max"
    """Rows (with packing, packed sequences) per batch; "max" lets ftlab choose."""
    gradient_accumulation_steps: Annotated[int | None, Knob(OPTIMISER, advanced=True)] = Field(
        None, ge=1, le=LARGEST
    )
    """Batches that are added up before the weights change: a step sees batch_size times this."""
    lr_scheduler_type: Annotated[
        Literal["cosine", "linear", "constant", "wsd", "inverse_sqrt"], Knob(OPTIMISER)
    ] = "cosine"
    """How the learning rate falls after warm-up. Hosted jobs know cosine and linear."""
    warmup_ratio: Annotated[float, Knob(OPTIMISER)] = Field(0.0, ge=0, le=1)
    """Share of the run in which the rate climbs from 0 to its peak; 0.03 to 0.1 is usual."""
    min_lr_ratio: Annotated[float, Knob(OPTIMISER, advanced=True)] = Field(0.0, ge=0, le=1)
    """The learning rate at the end, as a share of the peak."""
    scheduler_num_cycles: Annotated[float, Knob(OPTIMISER, advanced=True)] = Field(0.5, gt=0)
    """Waves of the cosine schedule; 0.5 falls once from the peak to the end."""
    max_grad_norm: Annotated[float, Knob(OPTIMISER, advanced=True)] = Field(1.0, ge=0)
    """Longer gradients are scaled down to this norm; 0 turns clipping off."""
    weight_decay: Annotated[float, Knob(OPTIMISER, advanced=True)] = Field(0.0, ge=0)
    """Pull of the trained weights towards 0, per step and times the learning rate."""
    optimizer: Annotated[
        Literal["adamw", "adamw_8bit", "sgd"], Knob(OPTIMISER, advanced=True, providers=LOCAL)
    ] = "adamw"
    """The rule that turns gradients into steps."""
    adam_beta1: Annotated[float, Knob(OPTIMISER, advanced=True, providers=LOCAL)] = Field(
        0.9, ge=0, lt=1
    )
    """Decay of AdamW's running mean of the gradient."""
    adam_beta2: Annotated[float, Knob(OPTIMISER, advanced=True, providers=LOCAL)] = Field(
        0.999, ge=0, lt=1
    )
    """Decay of AdamW's running mean of the squared gradient."""
    adam_epsilon: Annotated[float, Knob(OPTIMISER, advanced=True, providers=LOCAL)] = Field(
        1e-8, gt=0
    )
    """Added to AdamW's denominator so that it is never 0."""
    neftune_noise_alpha: Annotated[
        float | None, Knob(OPTIMISER, advanced=True, methods=SFT, providers=LOCAL)
    ] = Field(None, gt=0)
    """Noise on the input embeddings while training (NEFTune); 5 to 15 is usual."""
    random_seed: Annotated[int | None, Knob(OPTIMISER, advanced=True)] = Field(
        None, ge=0, le=LARGEST
    )
    """Fixes the order of the rows, the first adapter weights and dropout."""

    # LoRA
    lora: Annotated[bool | None, Knob(LORA)] = True
    """Train a small adapter (True), all weights (False), or as the service prefers (None)."""
    lora_r: Annotated[int | None, Knob(LORA)] = Field(None, ge=1, le=LARGEST)
    """Rank of the adapter: its size, and how much it can learn."""
    lora_alpha: Annotated[int | None, Knob(LORA)] = Field(None, ge=1, le=LARGEST)
    """The adapter's update is scaled by lora_alpha / lora_r; twice lora_r when left out."""
    lora_dropout: Annotated[float, Knob(LORA, advanced=True)] = Field(0.0, ge=0, lt=1)
    """Share of the adapter's inputs that are dropped while training."""
    lora_trainable_modules: Annotated[str | tuple[str, ...], Knob(LORA, advanced=True)] = (
        "all-linear"
    )
    """Which layers get an adapter: "all-linear", or names such as q_proj, v_proj; here also
    patterns such as *_proj or model.layers.[0-3].*.q_proj."""
    lora_exclude_modules: Annotated[
        tuple[str, ...], Knob(LORA, advanced=True, providers=LOCAL)
    ] = ()
    """Layers that get none, whatever lora_trainable_modules says; names or patterns."""
    use_rslora: Annotated[bool, Knob(LORA, advanced=True, providers=LOCAL)] = False
    """Scale by lora_alpha / sqrt(lora_r), which keeps high ranks stable (rsLoRA)."""
    use_dora: Annotated[bool, Knob(LORA, advanced=True, providers=LOCAL)] = False
    """Learn the size and the direction of each weight apart (DoRA); slower, more memory."""
    quantization: Annotated[
        Literal["none", "nf4", "int8"], Knob(LORA, advanced=True, providers=LOCAL)
    ] = "none"
    """Hold the frozen base in 4 or 8 bits (QLoRA); on NVIDIA GPUs alone."""
    train_vision: Annotated[bool, Knob(LORA, advanced=True, providers=HOSTED)] = False
    """Train the vision encoder of a vision model too."""

    # Evaluation and checkpoints
    n_evals: Annotated[int | None, Knob(EVALUATION)] = Field(None, ge=0, le=LARGEST)
    """How often the validation loss is measured, evenly spread, the last time at the end."""
    n_checkpoints: Annotated[int, Knob(EVALUATION, advanced=True)] = Field(1, ge=1, le=LARGEST)
    """How many states are kept on the way; 1 is the end only."""
    early_stopping_enabled: Annotated[bool, Knob(EVALUATION, advanced=True)] = False
    """End when the validation loss stops falling, and keep the best checkpoint."""
    early_stopping_patience: Annotated[int, Knob(EVALUATION, advanced=True)] = Field(
        2, ge=1, le=LARGEST
    )
    """Evaluations in a row without improvement after which to end."""
    early_stopping_min_delta: Annotated[float, Knob(EVALUATION, advanced=True)] = Field(0.0, ge=0)
    """How much lower than the best a validation loss must be to count as better."""
    early_stopping_warmup_evals: Annotated[int, Knob(EVALUATION, advanced=True)] = Field(
        1, ge=0, le=LARGEST
    )
    """Evaluations at the start that are not judged."""
    sample_prompts: Annotated[
        tuple[str, ...], Knob(EVALUATION, advanced=True, providers=LOCAL)
    ] = ()
    """Prompts that the model answers at each evaluation; where there is none, at start and end."""

    @property
    def needs_reference(self) -> bool:
        """Whether training compares with the model that it starts from: DPO does, unless it is
        reference-free, as SimPO is."""
        free = self.dpo_reference_free or bool(self.simpo_gamma)
        return self.training_method == "dpo" and not free

    def changed(self, **values: Any) -> JobSpec:
        """A copy with other values, validated again; what was left out stays left out."""
        return type(self)(**{**self.model_dump(exclude_unset=True), **values})


FIELDS: dict[str, FieldInfo] = dict(JobSpec.model_fields)
KNOBS: dict[str, Knob] = {
    name: next(hint for hint in field.metadata if isinstance(hint, Knob))
    for name, field in FIELDS.items()
}

# Together's client takes these for "left out" too, beside the field not being there at all.
LEFT_OUT: dict[str, Any] = {
    "validation_file": "",
    "gradient_accumulation_steps": 0,
    **dict.fromkeys(
        (
            *("lora_dropout", "lora_trainable_modules", "min_lr_ratio", "warmup_ratio"),
            *("weight_decay", "n_checkpoints", "early_stopping_patience"),
            *("early_stopping_min_delta", "early_stopping_warmup_evals"),
        )
    ),
}

Value = TypeVar("Value")


def _is_same(value: Any, mark: Any) -> bool:
    """Whether a value is that mark itself, not only equal to it as False is to 0."""
    return value is mark or (type(value) is type(mark) and value == mark)


def parse(values: JobSpec | Mapping[str, Any]) -> tuple[JobSpec, list[Issue]]:
    """The spec of the valid fields, and one issue for each of the others."""
    if isinstance(values, JobSpec):
        return values, []
    try:
        given = {str(name): value for name, value in values.items()}
    except AttributeError:
        raise TypeError(
            f"The values are {shown(values)}; they are a JobSpec or a mapping of its fields. Give "
            'for example {"model": "demo", "training_file": "train.jsonl"}.'
        ) from None
    try:
        return JobSpec(**given), []
    except ValidationError as error:
        issues = from_validation(error, JobSpec, ENGINES, FOREIGN_NAMES, OTHER_UNITS)
        bad = {issue.where for issue in issues}
        return JobSpec(**{name: v for name, v in given.items() if name not in bad}), issues


def with_fix(values: Mapping[str, Any], fix: Mapping[str, Any]) -> dict[str, Any]:
    """Values with the changes of an issue's fix; a None leaves the field out."""
    changed = {**values, **fix}
    return {name: value for name, value in changed.items() if fix.get(name, 0) is not None}


def module_names(modules: str | tuple[str, ...]) -> tuple[str, ...]:
    """The layer names of lora_trainable_modules: a tuple, or text with commas as Together takes."""
    if isinstance(modules, str):
        return tuple(name.strip() for name in modules.split(",") if name.strip())
    return modules


def is_pattern(name: str) -> bool:
    """Whether the name of a layer is a pattern, as *_proj is."""
    return not WILDCARDS.isdisjoint(name)


def means(name: str, path: str) -> bool:
    """Whether a name or a pattern means the layer of that path, by all of it or by its end."""
    return fnmatchcase(path, name) or fnmatchcase(path, f"*.{name}")


def may_mean(name: str, layer: str) -> bool:
    """Whether a name or a pattern can mean layers whose path ends with that word."""
    return fnmatchcase(layer, name.rpartition(".")[2])


def filled(value: Value | None, name: str) -> Value:
    """The value of a field that `resolve()` fills; for code that runs after it."""
    if value is None:
        raise FtlabError(f"{name} was left out; a job takes a resolved spec. Call resolve() first.")
    return value


def described(name: str) -> str:
    """Help text of a field, from the docstring under it."""
    return FIELDS[name].description or ""


# What help(JobSpec) shows: the fields with what they take, not pydantic's signature of them.
JobSpec.__signature__ = inspect.Signature(  # pyright: ignore[reportAttributeAccessIssue]
    [inspect.Parameter("fields", inspect.Parameter.VAR_KEYWORD)]
)
JobSpec.__doc__ = (
    inspect.cleandoc(JobSpec.__doc__ or "")
    + "\n\nFields:\n\n"
    + "\n".join(
        f"{name} ({allowed(field)})\n    {described(name)}" for name, field in FIELDS.items()
    )
)
