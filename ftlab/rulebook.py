"""The rule book: what is certainly wrong with a spec, one decorated function per rule.

A rule is a function over (spec, limits, report) with an example that breaks it. Rules see only
specs whose single fields are valid; bounds live in the fields (`spec.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ftlab.advice import ENOUGH_STEPS, EVALUATIONS, LORA_RANK, training_rows
from ftlab.data.report import DataReport
from ftlab.issues import Issue, Level
from ftlab.models import Limits
from ftlab.schedule import total_steps
from ftlab.spec import BOTH, ENGINES, FIELDS, HOSTED, KNOBS, LOCAL, Engine, JobSpec, module_names

NO_LIMITS = Limits()
FILES = {"model": "m", "training_file": "t.jsonl"}
ALPHA_PER_RANK = 4  # NeMo's guide: above 4 times the rank is rarely good
TRUNCATED_SHARE = 0.01
FEW_ROWS, MANY_EPOCHS = 5_000, 5
NOT_YET_LOCAL: dict[str, tuple[Any, str]] = {
    "training_method": ("dpo", "trains with sft"),
    "lora": (False, "trains LoRA adapters"),
    "optimizer": ("adamw_8bit", "has adamw and sgd"),
}
"""Values that the embedded trainer does not honour, and what it does instead."""

Rule = Callable[[JobSpec, Limits, DataReport | None], Iterator[Issue]]


@dataclass(frozen=True, slots=True)
class RegisteredRule:
    name: str
    find: Rule
    example: dict[str, Any]
    """Values of a spec that break the rule."""
    limits: Limits
    report: DataReport | None


RULES: list[RegisteredRule] = []


def rule(
    limits: Limits = NO_LIMITS, report: DataReport | None = None, **example: Any
) -> Callable[[Rule], Rule]:
    """Register a rule under its function's name, with the values of a spec that breaks it."""

    def register(find: Rule) -> Rule:
        RULES.append(RegisteredRule(find.__name__, find, {**FILES, **example}, limits, report))
        return find

    return register


def _error(where: str, message: str, blocks: tuple[Engine, ...] = BOTH, fix: Any = None) -> Issue:
    return Issue("error", message, where=where, blocks=blocks, fix=fix)


def _advice(level: Level, where: str, message: str, fix: Any = None) -> Issue:
    return Issue(level, message, where=where, fix=fix)


def _is_set(spec: JobSpec, name: str) -> bool:
    """Whether a field asks for something other than its default; False asks for nothing."""
    value = getattr(spec, name)
    return value is not False and value != FIELDS[name].default


# --- what a job needs ------------------------------------------------------------------------


@rule(model="m", from_checkpoint="job-1")
def model_or_checkpoint(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """A job starts from a model or from a checkpoint, not from both and not from nothing."""
    if spec.model and spec.from_checkpoint:
        yield _error(
            "from_checkpoint",
            "model and from_checkpoint are both given; a job starts from one of them. "
            "Leave one out: a checkpoint knows its model.",
            fix={"from_checkpoint": None},
        )
    if not spec.model and not spec.from_checkpoint:
        yield _error(
            "model",
            "No model is given; a job needs the base model to start from. Choose a folder, a "
            'Hugging Face id, or "demo".',
        )


@rule(training_file=None)
def training_file_given(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """There is nothing to train on without a file."""
    if not spec.training_file:
        yield _error(
            "training_file",
            "No training file is given; a job needs one with JSONL rows. Choose a file.",
        )


@rule(model=None, from_hf_model="me/mine", from_checkpoint="job-1")
def own_weights_need_a_template_model(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """Own Hugging Face weights go with a model that says how to treat them."""
    if spec.from_hf_model and spec.from_checkpoint:
        yield _error(
            "from_hf_model",
            "from_hf_model and from_checkpoint are both given; a job starts from one of them. "
            "Leave one out.",
            HOSTED,
        )
    elif spec.from_hf_model and not spec.model:
        yield _error(
            "model",
            f"from_hf_model is {spec.from_hf_model}; it needs a `model` of the same architecture "
            "as a template. Name that model.",
            HOSTED,
        )


@rule(
    report=DataReport(
        path="t.jsonl", n_rows=3, issues=(Issue("error", "line 2", blocks=("local", "together")),)
    )
)
def data_is_accepted(spec: JobSpec, limits: Limits, report: DataReport | None) -> Iterator[Issue]:
    """What keeps an engine from reading the data keeps it from training."""
    yield from refused_data("training_file", report)


def refused_data(
    field: str, report: DataReport | None, like: DataReport | None = None
) -> Iterator[Issue]:
    """What keeps an engine from reading the file of a field, or from using it beside `like`."""
    if report is None:
        return
    kind = field.removesuffix("_file")
    for engine in ENGINES:
        # What is wrong with the model is said of the model.
        refused = [i for i in report.issues if engine in i.blocks and i.where != "model"]
        if refused and not report.n_rows:  # no row is at fault: there is no file, or nothing in it
            yield _error(field, refused[0].message, (engine,))
        elif refused:
            where = "the embedded trainer" if engine == "local" else "the hosted service"
            others = len(refused) - 1
            kinds = "One more kind of fault is" if others == 1 else f"{others} more kinds are"
            more = f" {kinds} in it." if others else ""
            yield _error(
                field,
                f"The {kind} file has rows that {where} refuses ({refused[0].message}){more} "
                "Correct those rows; a scan lists them.",
                (engine,),
            )
    if like is not None and like.format and report.format and like.format != report.format:
        yield _error(
            field,
            f"The rows of the {kind} file are of format {report.format}, and those to train on of "
            f"format {like.format}; both must be of one. Give a file in that format.",
        )


@rule(report=DataReport(path="t.jsonl", n_rows=9, format="preference"))
def method_fits_the_data(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """DPO compares two answers; SFT learns one."""
    if report is None or report.format is None:
        return
    if spec.training_method == "dpo" and report.format != "preference":
        yield _error(
            "training_method",
            f"training_method is dpo and the rows are of format {report.format}; DPO takes "
            "preference rows. Use sft, or give a file with preferred and other outputs.",
            fix={"training_method": "sft"},
        )
    if spec.training_method == "sft" and report.format == "preference":
        yield _error(
            "training_method",
            "training_method is sft and the rows are preferences; SFT takes messages, prompt and "
            "completion, or text. Use dpo, or give a file with one answer per row.",
            fix={"training_method": "dpo"},
        )


# --- what an engine honours ------------------------------------------------------------------


@rule(validation_split=0.1, neftune_noise_alpha=5.0)
def field_is_honoured(spec: JobSpec, limits: Limits, report: DataReport | None) -> Iterator[Issue]:
    """A field that an engine can't honour is said, never dropped."""
    for name in spec.model_fields_set:
        if not _is_set(spec, name):
            continue
        for engine in ENGINES:
            if engine not in KNOBS[name].providers:
                yield _error(
                    name,
                    f"{name} is {getattr(spec, name)!r}; the {engine} engine has no such setting. "
                    f"Leave it out for {engine} jobs.",
                    (engine,),
                    fix={name: None},
                )


@rule(lora=False)
def value_is_honoured_locally(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """Values that the embedded trainer does not know are refused, not replaced."""
    for name, (value, instead) in NOT_YET_LOCAL.items():
        if getattr(spec, name) == value:
            yield _error(
                name,
                f"{name} is {value!r}; the local engine {instead}. Choose another value, or the "
                "hosted engine.",
                LOCAL,
            )


@rule(lr_scheduler_type="wsd")
def hosted_schedules(spec: JobSpec, limits: Limits, report: DataReport | None) -> Iterator[Issue]:
    """The service knows two schedules, and takes any other word for linear."""
    if spec.lr_scheduler_type not in ("cosine", "linear"):
        yield _error(
            "lr_scheduler_type",
            f"lr_scheduler_type is {spec.lr_scheduler_type}; hosted jobs take cosine or linear. "
            "Use cosine.",
            HOSTED,
            fix={"lr_scheduler_type": "cosine"},
        )


# --- what belongs together -------------------------------------------------------------------


@rule(dpo_beta=0.1)
def preference_fields_need_dpo(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """Fields of the preference loss do nothing in SFT."""
    if spec.training_method == "dpo":
        return
    for name, knob in KNOBS.items():
        if knob.methods == ("dpo",) and _is_set(spec, name):
            yield _error(
                name,
                f"{name} is {getattr(spec, name)!r} and training_method is sft; it takes effect "
                "only with dpo. Leave it out, or use dpo.",
                fix={name: None},
            )


@rule(training_method="dpo", train_on_inputs=True)
def inputs_train_only_in_sft(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """DPO never trains the input."""
    if spec.training_method == "dpo" and spec.train_on_inputs is not None:
        yield _error(
            "train_on_inputs",
            f"train_on_inputs is {spec.train_on_inputs!r} and training_method is dpo; only sft "
            "knows it. Leave it out.",
            fix={"train_on_inputs": None},
        )


@rule(train_on_inputs=False, report=DataReport(path="t.jsonl", n_rows=9, format="general"))
def plain_text_has_no_prompt(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """Rows of plain text have no answer that could train alone."""
    if spec.train_on_inputs is False and report is not None and report.format == "general":
        yield _error(
            "train_on_inputs",
            "train_on_inputs is False and the rows are plain text; there is no answer to tell from "
            "a prompt. Use auto, or write the rows as prompt and completion.",
            fix={"train_on_inputs": "auto"},
        )


@rule(training_method="dpo", simpo_gamma=0.5, rpo_alpha=1.0)
def simpo_replaces_the_reference(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """SimPO and RPO are two different losses."""
    if spec.simpo_gamma and spec.rpo_alpha:
        yield _advice(
            "warning",
            "rpo_alpha",
            f"simpo_gamma is {spec.simpo_gamma:g} and rpo_alpha is {spec.rpo_alpha:g}; SimPO works "
            "without reference and is not meant to be mixed with RPO. Leave one out.",
            fix={"rpo_alpha": None},
        )


@rule(lora=False, lora_r=8)
def adapter_fields_need_lora(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """Settings of an adapter do nothing when there is none, or when the service decides."""
    if spec.lora:
        return
    names = [n for n, k in KNOBS.items() if k.group == "LoRA" and n not in ("lora", "train_vision")]
    for name in names:
        if not _is_set(spec, name):
            continue
        value = getattr(spec, name)
        if spec.lora is False:
            text = f"{name} is {value!r} and lora is False; without an adapter it does nothing."
            yield _error(name, f"{text} Leave it out, or set lora to True.", fix={name: None})
        else:
            text = f"{name} is {value!r} and lora is left to the service, which then ignores it."
            yield _advice("warning", name, f"{text} Set lora to True.", fix={"lora": True})


@rule(lr_scheduler_type="linear", scheduler_num_cycles=2.0)
def cycles_are_for_cosine(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """Only a cosine has waves."""
    if spec.lr_scheduler_type != "cosine" and _is_set(spec, "scheduler_num_cycles"):
        yield _advice(
            "warning",
            "scheduler_num_cycles",
            f"scheduler_num_cycles is {spec.scheduler_num_cycles:g} and the schedule is "
            f"{spec.lr_scheduler_type}; only cosine has cycles. Leave it out.",
            fix={"scheduler_num_cycles": None},
        )


@rule(lr_scheduler_type="constant", min_lr_ratio=0.1)
def constant_never_falls(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """A constant rate has no lower end."""
    if spec.lr_scheduler_type == "constant" and spec.min_lr_ratio:
        yield _advice(
            "warning",
            "min_lr_ratio",
            f"min_lr_ratio is {spec.min_lr_ratio:g} and the schedule is constant, which never "
            "falls. Leave it out, or choose cosine.",
            fix={"min_lr_ratio": None},
        )


# --- validation ------------------------------------------------------------------------------


@rule(n_evals=3)
def evaluations_need_validation_data(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """There is nothing to evaluate on."""
    if spec.n_evals and not spec.validation_file and not spec.validation_split:
        yield _error(
            "n_evals",
            f"n_evals is {spec.n_evals} and there is no validation data; evaluations need some. "
            "Give a validation_file, hold back a share with validation_split, or set n_evals to 0.",
            fix={"n_evals": 0},
        )


@rule(validation_file="v.jsonl", n_evals=0)
def validation_data_is_used(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """Validation data that is never looked at."""
    if spec.n_evals == 0 and (spec.validation_file or spec.validation_split):
        yield _advice(
            "warning",
            "n_evals",
            "There is validation data and n_evals is 0, so it would never be measured; 1 or more "
            f"are possible. Use {EVALUATIONS}.",
            fix={"n_evals": EVALUATIONS},
        )


@rule(validation_file="v.jsonl", validation_split=0.1)
def one_source_of_validation(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """A file of its own, or a share of the training file."""
    if spec.validation_file and spec.validation_split:
        yield _error(
            "validation_split",
            "validation_file and validation_split are both given; validation rows come from one "
            "of them. Leave one out.",
            LOCAL,
            fix={"validation_split": None},
        )


@rule(validation_file="t.jsonl")
def validation_differs_from_training(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """Validating on the training rows measures memory, not learning."""
    if spec.validation_file and spec.validation_file == spec.training_file:
        yield _advice(
            "error",
            "validation_file",
            "validation_file is the training file; the validation loss would only show what was "
            "learned by heart. Give another file, or hold back a share with validation_split.",
            fix={"validation_file": None, "validation_split": 0.1},
        )


@rule(early_stopping_enabled=True)
def early_stopping_has_what_it_needs(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """It waits for `patience` evaluations after those that are not judged."""
    if not spec.early_stopping_enabled:
        return
    needed = spec.early_stopping_patience + spec.early_stopping_warmup_evals + 1
    if not spec.validation_file and not spec.validation_split:
        yield _error(
            "early_stopping_enabled",
            "early_stopping_enabled is True and there is no validation data; it stops by the "
            "validation loss. Give a validation_file, or leave it out.",
            fix={"early_stopping_enabled": None},
        )
    if (spec.n_evals or 0) < needed:
        yield _error(
            "n_evals",
            f"n_evals is {spec.n_evals or 0}; early stopping needs at least {needed} evaluations "
            "(patience + warm-up evaluations + 1). Use that many or more.",
            fix={"n_evals": needed},
        )


# --- limits ----------------------------------------------------------------------------------


@rule(limits=Limits(max_lora_r=64, source="example"), lora_r=128)
def within_limits(spec: JobSpec, limits: Limits, report: DataReport | None) -> Iterator[Issue]:
    """Numbers that the model or the engine bounds."""
    longest = (
        limits.max_seq_length_sft if spec.training_method == "sft" else limits.max_seq_length_dpo
    )
    most = limits.max_batch_size
    if spec.training_method == "dpo" and limits.max_batch_size_dpo is not None:
        most = limits.max_batch_size_dpo
    bounds = {
        "batch_size": (limits.min_batch_size, most),
        "lora_r": (None, limits.max_lora_r),
        "learning_rate": (limits.min_learning_rate, limits.max_learning_rate),
        "n_epochs": (None, limits.max_n_epochs),
        "n_evals": (None, limits.max_n_evals),
        "n_checkpoints": (None, limits.max_n_checkpoints),
        "max_seq_length": (None, longest),
    }
    for name, (low, high) in bounds.items():
        value = getattr(spec, name)
        if value is None or value == "max":
            continue
        nearest = low if low is not None and value < low else high
        if (low is not None and value < low) or (high is not None and value > high):
            span = f"{low} to {high}" if low is not None and high is not None else ""
            span = span or (f"at most {high}" if high is not None else f"at least {low}")
            yield _error(
                name,
                f"{name} is {value}; {spec.model or 'the model'} takes {span} ({limits.source}). "
                f"Use {nearest}.",
                fix={name: nearest},
            )


@rule(limits=Limits(lora_trainable_modules=("q_proj", "v_proj")), lora_trainable_modules="q_pro")
def modules_exist(spec: JobSpec, limits: Limits, report: DataReport | None) -> Iterator[Issue]:
    """An adapter on a layer that is not there would train nothing."""
    known = limits.lora_trainable_modules
    wanted = module_names(spec.lora_trainable_modules)
    if not wanted:
        yield _error(
            "lora_trainable_modules",
            "lora_trainable_modules names no layer; an adapter needs at least one. Use all-linear.",
            fix={"lora_trainable_modules": "all-linear"},
        )
    if not known or spec.lora_trainable_modules == "all-linear":
        return
    missing = [name for name in wanted if name not in known]
    if missing:
        yield _error(
            "lora_trainable_modules",
            f"lora_trainable_modules names {', '.join(missing)}; {spec.model} has "
            f"{', '.join(known)}. Use those names, or all-linear.",
            fix={"lora_trainable_modules": "all-linear"},
        )


# --- what is unlikely to be meant ------------------------------------------------------------


@rule(lora_r=8, lora_alpha=256)
def alpha_far_from_rank(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """The update is scaled by alpha / rank, as a learning rate would."""
    if not spec.lora_alpha or not spec.lora or spec.use_rslora:
        return
    rank = spec.lora_r or limits.default_lora_r or LORA_RANK
    times = spec.lora_alpha / rank
    if not 1 <= times <= ALPHA_PER_RANK:
        yield _advice(
            "warning",
            "lora_alpha",
            f"lora_alpha is {times:.2g} times lora_r; 1 to {ALPHA_PER_RANK} times is usual, and "
            f"more acts like a higher learning rate. Use {2 * rank}.",
            fix={"lora_alpha": 2 * rank},
        )


@rule(max_steps=10, n_epochs=3)
def steps_override_epochs(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """max_steps ends the run, wherever the epochs stand."""
    if spec.max_steps and spec.n_epochs > 1:
        yield _advice(
            "warning",
            "max_steps",
            f"max_steps is {spec.max_steps} and n_epochs is {spec.n_epochs}; whichever ends first "
            "ends the run. Leave max_steps out to train all epochs.",
            fix={"max_steps": None},
        )


@rule(batch_size=64, report=DataReport(path="t.jsonl", n_rows=20))
def a_batch_has_enough_rows(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """A batch larger than the data set is never full."""
    size = spec.batch_size
    if report is not None and isinstance(size, int) and 0 < report.n_rows < size:
        yield _error(
            "batch_size",
            f"batch_size is {size} and the file has {report.n_rows} rows; a batch takes at most "
            'that many. Use a smaller number, or "max".',
            fix={"batch_size": "max"},
        )


@rule(batch_size=16, report=DataReport(path="t.jsonl", n_rows=100))
def enough_steps(spec: JobSpec, limits: Limits, report: DataReport | None) -> Iterator[Issue]:
    """Fewer than a hundred steps rarely get anywhere."""
    n_rows = training_rows(spec, report)
    if n_rows is None or not isinstance(spec.batch_size, int):
        return
    per_step = spec.batch_size * (spec.gradient_accumulation_steps or 1)
    steps = total_steps(n_rows, per_step, spec.n_epochs, spec.max_steps)
    enough = spec.n_epochs * -(-ENOUGH_STEPS // max(steps, 1)) <= MANY_EPOCHS
    if steps < ENOUGH_STEPS:
        yield _advice(
            "tip",
            "batch_size",
            f"The run has {steps} steps; {ENOUGH_STEPS} or more usually train better. Use a "
            "smaller batch_size or more epochs.",
            fix={"n_epochs": spec.n_epochs * -(-ENOUGH_STEPS // steps)} if enough else None,
        )


@rule(n_epochs=12, report=DataReport(path="t.jsonl", n_rows=100))
def epochs_on_few_rows(spec: JobSpec, limits: Limits, report: DataReport | None) -> Iterator[Issue]:
    """Few rows seen often are learned by heart."""
    small = report is not None and 0 < report.n_rows < FEW_ROWS
    if small and spec.n_epochs > MANY_EPOCHS:
        yield _advice(
            "warning",
            "n_epochs",
            f"n_epochs is {spec.n_epochs} on fewer than {FEW_ROWS:,} rows; above {MANY_EPOCHS} "
            "epochs such data is mostly learned by heart (NeMo's guide). Use 3 to 5, and watch the "
            "validation loss.",
            fix={"n_epochs": 3},
        )


@rule(
    max_seq_length=64,
    report=DataReport.model_validate(
        {"path": "t.jsonl", "n_rows": 2, "tokens": {"lengths": {100: 2}, "by_role": {}}}
    ),
)
def rows_fit_the_length(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """Rows above max_seq_length lose their end, or are not trained at all."""
    if report is None or report.tokens is None or spec.max_seq_length is None:
        return
    longer = report.tokens.n_longer(spec.max_seq_length)
    share = longer / max(report.tokens.n_sequences, 1)
    if share <= TRUNCATED_SHARE:
        return
    what = {"truncate": "are cut", "drop": "are left out", "stop": "keep the run from starting"}
    text = (
        f"max_seq_length is {spec.max_seq_length:,}; {longer:,} rows ({share:.0%}) are longer and "
        f"{what[spec.over_length]}. The longest has {report.tokens.longest:,} tokens. "
        "Raise max_seq_length, or shorten the rows."
    )
    if spec.over_length == "stop":
        yield _error("max_seq_length", text, LOCAL, fix={"max_seq_length": report.tokens.longest})
    else:
        yield _advice(
            "warning", "max_seq_length", text, fix={"max_seq_length": report.tokens.longest}
        )
