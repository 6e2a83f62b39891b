"""What a job starts from: a model or a checkpoint, and a file."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ftlab.data.report import DataReport
from ftlab.issues import Issue, shown
from ftlab.limits import Limits
from ftlab.models import DEMO
from ftlab.rulebook.registry import error, rule
from ftlab.spec import HOSTED, JobSpec

CHECKPOINT = re.compile(r"[^\s:]+(:\d+)?")
PATH_STARTS = (".", "/", "~")


@rule(model="m", from_checkpoint="job-1")
def model_or_checkpoint(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """A hosted job starts from a model or from a checkpoint; none starts from nothing."""
    if spec.model and spec.from_checkpoint:
        yield error(
            "from_checkpoint",
            "model and from_checkpoint are both given; a hosted job starts from one of them. "
            "Leave one out: a checkpoint knows its model.",
            HOSTED,
            fix={"from_checkpoint": None},
        )
    if not spec.model and not spec.from_checkpoint and not spec.from_hf_model:
        yield error(
            "model",
            "No model is given, and no from_checkpoint; a job needs one to start from. Choose a "
            'folder, a Hugging Face id, or "demo".',
        )


@rule(model=None, from_checkpoint="ft-1:last")
def checkpoint_is_a_job_and_a_step(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """The service finds a checkpoint by a job or an output name, and a number."""
    if spec.from_checkpoint and not CHECKPOINT.fullmatch(spec.from_checkpoint):
        yield error(
            "from_checkpoint",
            f"from_checkpoint is {shown(spec.from_checkpoint)}; it takes JOB_ID, JOB_ID:STEP, or "
            "an output name with or without :STEP. Give one, STEP as a whole number.",
            HOSTED,
        )


@rule(model="demo")
def hosted_models_are_the_services_own(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """Nothing that lies on this machine can be trained there."""
    if spec.model and (spec.model == DEMO or spec.model.startswith(PATH_STARTS)):
        yield error(
            "model",
            f"model is {shown(spec.model)}, which lies on this machine; hosted jobs take a model "
            "of the service's list, such as Qwen/Qwen3-8B. Name one, or train here.",
            HOSTED,
        )


@rule(training_file=None)
def training_file_given(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """There is nothing to train on without a file."""
    if not spec.training_file:
        yield error(
            "training_file",
            "No training file is given; a job needs one with JSONL rows. Choose a file.",
        )
