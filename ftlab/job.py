"""Job: a resolved spec, the provider that runs it, and that provider's options, frozen."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ftlab.spec import HOSTED, LOCAL, JobSpec, Knob, no_switch_for_a_number

WHERE = "Where it runs"
Tracker = Literal["wandb", "mlflow", "tensorboard", "trackio"]


class LocalOptions(BaseModel):
    """How the embedded trainer uses this machine; nothing here changes what is learned."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    _numbers = field_validator("*", mode="before")(classmethod(no_switch_for_a_number))

    device: Annotated[str, Knob(WHERE, providers=LOCAL)] = Field(
        "auto", pattern=r"^(auto|cpu|mps|cuda:\d+)$"
    )
    """"auto" takes the first NVIDIA GPU, or the CPU; otherwise "cpu", "cuda:0", or "mps" for the
    GPU of an Apple chip."""
    dtype: Annotated[
        Literal["auto", "float32", "bfloat16", "float16"],
        Knob(WHERE, advanced=True, providers=LOCAL),
    ] = "auto"
    """Number format of the frozen weights; "auto" is bfloat16 on GPUs made for it, and on CPUs that
    are much faster in it with a model of this width."""
    micro_batch_size: Annotated[int | None, Knob(WHERE, advanced=True, providers=LOCAL)] = Field(
        None, ge=1
    )
    """Rows that go through the model at once; by default as many as 4,096 tokens hold."""
    n_gpus: Annotated[int, Knob(WHERE, advanced=True, providers=LOCAL)] = Field(1, ge=1, le=64)
    """GPUs that share the rows of each step, from `device` on; each holds the whole model, or with
    `shard` its share. In a sweep each trains arms of its own instead. With `device` cpu that many
    processes share the CPU, which gains no time."""
    shard: Annotated[bool | None, Knob(WHERE, advanced=True, providers=LOCAL)] = None
    """Divide the model among the GPUs, which gather a layer while they compute it: each holds its
    share, and a step takes longer. Left out, it is on where n_gpus is above 1 and the job would not
    fit otherwise."""
    gradient_checkpointing: Annotated[bool | None, Knob(WHERE, advanced=True, providers=LOCAL)] = (
        None
    )
    """Compute activations twice and keep fewer: less memory, a third more time. Left out, it is on
    where the job would not fit otherwise."""
    usd_per_hour: Annotated[float | None, Knob(WHERE, advanced=True, providers=LOCAL)] = Field(
        None, ge=0, allow_inf_nan=False
    )
    """What an hour of this machine costs, in US dollars, for the estimate alone: its rent, or
    kilowatts × the price of a kilowatt-hour."""
    track: Annotated[tuple[Tracker, ...], Knob(WHERE, advanced=True, providers=LOCAL)] = ()
    """Trackers that show the run too. Each is fed by a process of its own, with the tracker's own
    library and variables (WANDB_API_KEY, WANDB_MODE, MLFLOW_TRACKING_URI, TRACKIO_SPACE_ID …), and
    the training never waits for one. `ftlab track` begins it later."""
    track_project: Annotated[str | None, Knob(WHERE, advanced=True, providers=LOCAL)] = Field(
        None, pattern=r"^[A-Za-z0-9._-]+$", min_length=1, max_length=100
    )
    """Its project there, which MLflow calls an experiment. Left out, it is what the tracker's own
    variable says (WANDB_PROJECT, MLFLOW_EXPERIMENT_NAME), or ftlab."""

    @field_validator("track", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        """Names parted by commas are a list, as in a terminal; each counts once."""
        parts = value.split(",") if isinstance(value, str) else value
        if not isinstance(parts, (list, tuple)):
            return value
        names = [part.strip() if isinstance(part, str) else part for part in parts]
        return tuple(name for n, name in enumerate(names) if name and name not in names[:n])


class TogetherOptions(BaseModel):
    """What a job at the hosted service may cost, and where it goes besides. Secrets are never
    here: WANDB_API_KEY and HF_TOKEN are read when the job starts, if a field below asks for them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    _numbers = field_validator("*", mode="before")(classmethod(no_switch_for_a_number))

    pay_up_to: Annotated[float | None, Knob(WHERE, providers=HOSTED, unit="US dollars")] = Field(
        None, ge=0
    )
    """What the job may cost, in US dollars: without it no job is started, and none whose price is
    above it. inf takes any price, and one that is not known."""
    base_url: Annotated[str | None, Knob(WHERE, advanced=True, providers=HOSTED)] = None
    """The service's address, instead of TOGETHER_BASE_URL or the service's own."""
    wandb_project_name: Annotated[str | None, Knob(WHERE, advanced=True, providers=HOSTED)] = None
    """Shows the job at Weights & Biases too; WANDB_API_KEY is sent to Together for it."""
    wandb_name: Annotated[str | None, Knob(WHERE, advanced=True, providers=HOSTED)] = None
    """Of the run at Weights & Biases."""
    wandb_entity: Annotated[str | None, Knob(WHERE, advanced=True, providers=HOSTED)] = None
    """Team or user at Weights & Biases."""
    wandb_base_url: Annotated[str | None, Knob(WHERE, advanced=True, providers=HOSTED)] = None
    """Of a Weights & Biases server of one's own."""
    hf_output_repo_name: Annotated[str | None, Knob(WHERE, advanced=True, providers=HOSTED)] = None
    """Uploads the tuned model to the Hugging Face hub too; HF_TOKEN is sent to Together for it."""
    send_hf_token: Annotated[bool, Knob(WHERE, advanced=True, providers=HOSTED)] = False
    """Send HF_TOKEN to Together, for a private from_hf_model."""


class Estimated(BaseModel):
    """What a job was estimated to take when it was submitted; None is unknown."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    seconds: tuple[float, float] | None = None
    """Low and high, of training on this machine."""
    usd: tuple[float, float] | None = None
    """Low and high, at the service or by the person's own rate here."""


class Job(BaseModel):
    """What was submitted, saved whole as `job.json`. Secrets are never in it."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="strings")

    spec: JobSpec
    """Resolved: what depends on the model, the data and the engine is filled in."""
    provider: str
    options: dict[str, Any] = Field(default_factory=dict)
    """The provider's own options, as plain data."""
    reasons: dict[str, str] = Field(default_factory=dict)
    """Field → why `resolve()` chose its value."""
    data_sha256: str = ""
    """Of the training file when it was submitted."""
    validation_sha256: str = ""
    """Of the validation file when it was submitted; empty when there is none."""
    data_format: str | None = None
    """Of the training file: conversation, instruction, general or preference."""
    estimate: Estimated = Estimated()
    created_at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    ftlab_version: str = ""
