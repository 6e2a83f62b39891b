"""A spec as Python: for ftlab's own API, and as a script for Together's official SDK."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ftlab.data.report import DataReport
from ftlab.exchange.ledger import Exported, Fields
from ftlab.exchange.together import DPO, EARLY_STOPPING, LORA, SERVICE, hosted_schedule
from ftlab.models import ModelInfo
from ftlab.rules import resolve
from ftlab.spec import JobSpec, module_names

UPLOADED = re.compile(r"file-[0-9A-Za-z-]+")
"""The id of a file that the service has already."""
SDK_SHARED = (
    *("model", "from_checkpoint", "from_hf_model", "hf_model_revision", "suffix"),
    *("packing", "max_seq_length", "n_epochs", "n_evals", "n_checkpoints", "batch_size"),
    *("gradient_accumulation_steps", "learning_rate", "min_lr_ratio"),
    *("warmup_ratio", "max_grad_norm", "weight_decay", "random_seed", "training_method", "lora"),
)
"""Keywords of the SDK's `create` that are fields of a spec, whatever the job."""

SCRIPT = '''\
"""Uploads the data, fine-tunes {title} on Together, follows the job and downloads the result.

Needs the SDK (pip install "together>=3.1,<4") and a key in TOGETHER_API_KEY.
"""

import time

from together import Together

ENDED = {{"completed", "cancelled", "error", "user_error"}}
SECONDS_BETWEEN_LOOKS = 10

client = Together()


def upload(path):
    """The id of a file, once the service has looked into it."""
    file = client.files.upload(path, purpose="fine-tune")
    while file.processing_status in ("PENDING", "QUEUED", "RUNNING"):
        time.sleep(SECONDS_BETWEEN_LOOKS)
        file = client.files.retrieve(file.id)
    if file.processing_status in ("FAILED", "INVALID_FORMAT"):
        reason = getattr(file.validation_report, "error", None) or file.processing_status
        raise SystemExit(f"{{path}} is not accepted: {{reason}}")
    return file.id


def follow(job_id):
    """Prints what happens, and returns the job when it has ended."""
    n_seen = 0
    while True:
        job = client.fine_tuning.retrieve(job_id)
        events = client.fine_tuning.list_events(job_id).data or []
        for event in events[n_seen:]:
            print(event.created_at, event.message, flush=True)
        n_seen = len(events)
        if str(job.status).lower() in ENDED:
            return job
        time.sleep(SECONDS_BETWEEN_LOOKS)


def download(job):
    """The name of the archive with the adapter, or with all weights."""
    kind = "adapter" if getattr(job.training_type, "type", None) == "Lora" else "model_output_path"
    name = f"{{job.id}}.tar.zst"
    content = client.fine_tuning.with_streaming_response.content
    with content(ft_id=job.id, checkpoint=kind) as reply:
        if "x-tar" in reply.headers.get("content-type", ""):
            name = f"{{job.id}}.tar.gz"
        reply.stream_to_file(name)
    return name


# Not repeated by itself: a request that seems lost may have started a job, which costs money.
started = client.with_options(max_retries=0).fine_tuning.create(
{keywords}
)
print("job", started.id, flush=True)
finished = follow(started.id)
if str(finished.status).lower() != "completed":
    raise SystemExit(f"the job ended as {{finished.status}}")
print("saved", download(finished))
'''


def to_python(
    spec: JobSpec, provider: str = "local", options: Mapping[str, Any] | None = None
) -> Exported:
    """Python that makes an equal spec and submits it; what was left out stays left out."""
    given = {name: getattr(spec, name) for name in type(spec).model_fields}
    given = {name: value for name, value in given.items() if name in spec.model_fields_set}
    how = {} if provider == "local" else {"provider": provider}
    arguments = ["spec", *(f"{n}={literal(v)}" for n, v in {**how, **(options or {})}.items())]
    fields = f"\n{_keywords(given)}\n" if given else ""
    submit = f"run = ftlab.submit({', '.join(arguments)})"
    return Exported(f"import ftlab\n\nspec = ftlab.JobSpec({fields})\n{submit}\n", [])


def to_sdk(
    spec: JobSpec, report: DataReport | None = None, info: ModelInfo | None = None
) -> Exported:
    """A script for the official SDK that does the same hosted job, with everything resolved."""
    resolved = resolve(spec, report, info, "together").spec
    fields = Fields(resolved, SERVICE, spec)
    files = {name: fields[name] for name in ("training_file", "validation_file")}
    keywords = {name: _file(path) for name, path in files.items() if path is not None}
    keywords |= {name: literal(value) for name, value in _sdk_keywords(fields).items()}
    lines = "\n".join(f"    {name}={text}," for name, text in keywords.items())
    title = resolved.from_hf_model or resolved.model or resolved.from_checkpoint or "a model"
    return Exported(SCRIPT.format(title=_in_docstring(title), keywords=lines), fields.lost())


def sdk_keywords(spec: JobSpec) -> dict[str, Any]:
    """The keywords of the SDK's `create` that a spec is, without files and without None."""
    return _sdk_keywords(Fields(spec, SERVICE))


def _sdk_keywords(fields: Fields) -> dict[str, Any]:
    names = [*SDK_SHARED]
    if fields["training_method"] == "dpo":
        names += [*DPO, "dpo_normalize_logratios_by_length"]
        if fields["dpo_reference_free"] and not fields["simpo_gamma"]:
            fields.lose(
                "dpo_reference_free",
                "the SDK has no keyword for it, only the request itself. Set simpo_gamma, or "
                "send the request.",
            )
    else:
        names += ["train_on_inputs"]
    schedule = hosted_schedule(fields)
    if schedule == "cosine":
        names += ["scheduler_num_cycles"]
    if fields["lora"]:
        names += LORA
    if fields["early_stopping_enabled"]:
        names += ["early_stopping_enabled", *(f"early_stopping_{n}" for n in EARLY_STOPPING)]
    if fields["train_vision"]:
        names += ["train_vision"]
    values = {**{name: fields[name] for name in names}, "lr_scheduler_type": schedule}
    if "lora_trainable_modules" in values:
        values["lora_trainable_modules"] = ",".join(module_names(values["lora_trainable_modules"]))
    return {name: value for name, value in values.items() if value is not None}


def literal(value: Any) -> str:
    """A value of a spec as Python writes it, text in double quotes."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, (list, tuple)):
        inner = ", ".join(map(literal, value))
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    return repr(value)


def _keywords(values: Mapping[str, Any]) -> str:
    return "\n".join(f"    {name}={literal(value)}," for name, value in values.items())


def _file(path: str) -> str:
    """How a script comes to a file's id."""
    return literal(path) if UPLOADED.fullmatch(path) else f"upload({literal(path)})"


def _in_docstring(text: str) -> str:
    """A name that can stand inside the quotes of a docstring."""
    return re.sub(r"[^\w ./:@-]", "_", text)
