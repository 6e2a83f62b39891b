"""What the exporters to other trainers share: the resolved job in terms that they all have."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ftlab.data.report import DataReport
from ftlab.exchange.code import UPLOADED
from ftlab.exchange.intervals import NO_END, SCAN, every, n_steps_of
from ftlab.exchange.ledger import NOT_EXPORTED, Exported, Fields
from ftlab.issues import Issue, shown
from ftlab.models import DEMO, ModelInfo, locate
from ftlab.rules import resolve
from ftlab.spec import JobSpec, module_names

ALL_LINEAR = ("all-linear",)


@dataclass(frozen=True)
class Plan:
    """A resolved job on its way to another trainer."""

    fields: Fields
    n_steps: int | None
    """Optimizer steps of the run; None while the data is not scanned."""
    data_format: str
    """conversation, instruction, general or preference."""
    model: str
    """A Hugging Face id or a folder."""

    @property
    def per_step(self) -> int:
        """Sequences that one optimizer step sees, on all devices together."""
        return int(self.fields["batch_size"]) * int(self.fields["gradient_accumulation_steps"])

    @property
    def modules(self) -> tuple[str, ...]:
        return module_names(self.fields["lora_trainable_modules"])

    @property
    def has_validation(self) -> bool:
        return bool(self.fields["validation_file"] or self.fields["validation_split"])

    def steps_in(self, name: str, share: float) -> int | None:
        """A share of the run in steps; where the steps are unknown, the field is lost."""
        if self.n_steps is None and share:
            self.fields.lose(
                name,
                f"{self.fields.target} takes a number of steps, and how many the run has is not "
                f"known. {SCAN}",
            )
            return None
        return round(share * (self.n_steps or 0))

    def every(self, name: str, count: int) -> int | None:
        """The interval that makes `count` of something; where the steps are unknown, the field is
        lost, but for a single one, which is at the end."""
        if count == 1:
            return self.n_steps or NO_END
        if self.n_steps is None:
            self.fields.lose(
                name,
                f"{self.fields.target} takes an interval in steps, and how many steps the run has "
                f"is not known. {SCAN}",
            )
            return None
        return every(self.n_steps, count)


def plan_of(
    spec: JobSpec,
    report: DataReport | None,
    info: ModelInfo | None,
    target: str,
    *,
    splits: bool,
) -> Plan | Exported:
    """The plan of a job, or an empty export that says why the other side can't have it.

    What was left out is filled in as for a local run. Without a report the rows are taken for
    conversations, or for preferences with DPO. `splits` is whether the target can hold back rows;
    it always trains on all others, so that its steps are counted without max_train_rows.
    """
    if (no_plan := _no_plan(spec, target)) is not None:
        return no_plan
    resolved = resolve(spec, report, info, "local").spec
    fields = Fields(resolved, target, spec)
    is_dpo = fields["training_method"] == "dpo"
    found = report.format if report is not None else None
    for name in ("training_file", "validation_file"):
        if fields[name] and UPLOADED.fullmatch(fields[name]):
            fields.lose(name, f"{target} reads a file, not one that was uploaded. Give its path.")
    if spec.lora is None:
        fields.lose("lora", f"{target} can't choose; the job trains an adapter. Set lora.")
    own, base = fields["from_hf_model"], fields["model"]  # with own weights, base is a template
    folder = locate(DEMO) if (own or base) == DEMO else None
    all_rows = {"max_train_rows": None, **({} if splits else {"validation_split": None})}
    return Plan(
        fields=fields,
        n_steps=n_steps_of(resolved.changed(**all_rows), report),
        data_format=found or ("preference" if is_dpo else "conversation"),
        model=str(folder or own or base),
    )


def _no_plan(spec: JobSpec, target: str) -> Exported | None:
    """What keeps any other trainer from having the job."""
    if spec.from_checkpoint:
        found = f"from_checkpoint is {shown(spec.from_checkpoint)}"
        allowed = "it starts from a model, and can't go on from another job"
        cure = "Merge what that job learned into its model, and give the result as model"
        return refused(target, "from_checkpoint", found, allowed, cure)
    if not (spec.from_hf_model or spec.model):
        return refused(target, "model", "no model is given", "a job starts from one", "Name it")
    if not spec.training_file:
        return refused(target, "training_file", "no file is given", "a job needs one", "Give it")
    return None


def refused(target: str, where: str, found: str, allowed: str, cure: str) -> Exported:
    """No export at all, and the three facts."""
    text = f"{found[0].upper()}{found[1:]}; {target}: {allowed}. {cure}."
    return Exported("", [Issue("error", text, NOT_EXPORTED, where)])


def yaml_text(header: str, settings: dict[str, Any]) -> str:
    """Settings as YAML under a comment, parts that are empty or None left out."""
    kept = {name: value for name, value in settings.items() if value not in (None, {}, [])}
    import yaml  # only here: the form and the checks do without it

    body = yaml.safe_dump(kept, sort_keys=False, allow_unicode=True, width=1000)
    return "".join(f"# {line}\n" for line in header.splitlines()) + "\n" + body


def without_none(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if value is not None}


def as_integer(value: float) -> int | float:
    """A whole number as such, so that a recipe reads 3 and not 3.0."""
    return int(value) if math.isfinite(value) and value == int(value) else value
