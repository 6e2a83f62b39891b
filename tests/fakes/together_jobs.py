"""Jobs of the small service: each is a place on a line of time, so nothing hangs on who looks when.

A job waits, queues, trains, uploads and ends, one tick each (`Service.running` for the training).
Time is that of `Service.clock`, or, without one, how often somebody looked at the job.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.fakes.together import Request, Service

Reply = tuple[int, dict[str, Any]]
STATES = ("pending", "queued", "running", "uploading", "completed")
TRAINS_FROM = 2.0
EPOCH = datetime(2026, 11, 21, 10, tzinfo=UTC)
OWN = ("looks", "born", "cancelled_at", "shown_from", "price", "keys")
ONLY_SHORT = ("suffix", "owner_address", "random_seed", "packing")
"""What the service leaves out when one job is asked for."""
SECRETS = ("wandb_key", "hf_api_token")


def add_job(service: Service, body: dict[str, Any]) -> dict[str, Any]:
    """Start a job, which costs."""
    service.bodies.append(body)
    number = len(service.jobs)
    job_id = f"ft-{number:04}"
    base = str(body.get("model") or body.get("from_checkpoint")).rpartition("/")[2]
    service.jobs[job_id] = {
        **{name: value for name, value in body.items() if name not in SECRETS},
        "id": job_id,
        "status": STATES[0],
        "created_at": _when(number / 1000),
        "updated_at": _when(number / 1000),
        "user_id": "me",
        "model_output_name": f"me/{base}-{body.get('suffix', 'tuned')}-{number:08x}",
        "keys": [name for name in SECRETS if name in body],
        "looks": 0,
        "born": service.clock() if service.clock else 0.0,
        "cancelled_at": None,
        "shown_from": service.listings + service.lag,
        "price": service.estimate(body).get("estimated_total_price", 0.0),
    }
    return short(service, job_id)


def answer(service: Service, method: str, parts: list[str], request: Request) -> Reply | None:
    """The reply to a question about jobs; None where it is about something else."""
    match method, parts:
        case "GET", ["v1", "fine-tunes"]:
            service.listings += 1
            return 200, {"data": [short(service, job_id) for job_id in _shown(service)]}
        case _, ["v1", "fine-tunes", job_id, *_] if job_id in service.jobs:
            found = _of_job(service, method, job_id, parts[3:], request)
            return found and (found[0], service.twist(parts[-1], found[1]))
    return None


def _of_job(
    service: Service, method: str, job_id: str, what: list[str], request: Request
) -> Reply | None:
    match method, what:
        case "GET", []:
            return 200, look_at_job(service, job_id)
        case "GET", ["events"]:
            return 200, {"data": events(service, job_id)}
        case "GET", ["metrics"]:
            first = int(request.query.get("global_step_from", 0))
            rows = metrics(service, job_id)
            return 200, {"metrics": [r for r in rows if r["train/global_step"] >= first] or None}
        case "GET", ["checkpoints"]:
            return 200, {"data": checkpoints(service, job_id)}
        case "POST", ["cancel"]:
            return cancel(service, job_id)
    return None


def _shown(service: Service) -> list[str]:
    """The newest first; a list may lag behind."""
    jobs = service.jobs.items()
    return [job_id for job_id, job in jobs if job.get("shown_from", 0) < service.listings][::-1]


def place(service: Service, job_id: str) -> float:
    """How far it is, in ticks."""
    job = service.jobs[job_id]
    if service.clock is None:
        return float(job["looks"])
    return (service.clock() - job["born"]) / service.tick


def status(service: Service, job_id: str) -> str:
    now, cancelled = place(service, job_id), service.jobs[job_id]["cancelled_at"]
    if cancelled is not None:
        return "cancel_requested" if now < cancelled + 1 else "cancelled"
    if now < TRAINS_FROM:
        return STATES[int(now)]
    if now < TRAINS_FROM + service.running:
        return "running"
    return "uploading" if now < TRAINS_FROM + service.running + 1 else service.ends_as


def look_at_job(service: Service, job_id: str) -> dict[str, Any]:
    """All that is said of one job, which without a clock is a tick further then."""
    job = service.jobs[job_id]
    job["status"] = status(service, job_id)
    left = TRAINS_FROM + service.running + 1 - place(service, job_id)
    reply = {
        **{name: value for name, value in job.items() if name not in (*OWN, *ONLY_SHORT)},
        "job_id": job_id,
        "total_price": round(1e9 * job["price"]),
        "queue_depth": 1 if job["status"] == "queued" else 0,
        "steps_completed": _steps(service, job_id),
        "total_steps": service.n_steps,
        "progress": {"estimate_available": left > 0, "seconds_remaining": max(0, round(left))},
        "wandb_url": "",
    }
    job["looks"] += 1
    return reply


def short(service: Service, job_id: str) -> dict[str, Any]:
    """What is said of a job in a list, and when it is started or cancelled."""
    job = service.jobs[job_id]
    shown = {name: value for name, value in job.items() if name not in OWN}
    return {**shown, "status": status(service, job_id), "total_price": round(1e9 * job["price"])}


def cancel(service: Service, job_id: str) -> Reply:
    state = status(service, job_id)
    if state in ("completed", "error", "cancelled"):
        return 400, {"error": {"message": f"the job is {state} already", "type": "invalid"}}
    if state != "cancel_requested":
        service.jobs[job_id]["cancelled_at"] = place(service, job_id)
    return 200, short(service, job_id)


# --- what happened in it ---------------------------------------------------------------------


def _trained(service: Service, job_id: str) -> float:
    """The share of the training that is done."""
    cancelled = service.jobs[job_id]["cancelled_at"]
    now = place(service, job_id)
    now = now if cancelled is None else min(now, cancelled)
    return min(max(0.0, (now - TRAINS_FROM) / service.running), 1.0)


def _steps(service: Service, job_id: str) -> int:
    return math.floor(_trained(service, job_id) * service.n_steps + 1e-9)


def events(service: Service, job_id: str) -> list[dict[str, Any]]:
    """The oldest first."""
    now, cancelled = place(service, job_id), service.jobs[job_id]["cancelled_at"]
    trains_to = TRAINS_FROM + service.running
    ended = {"error": ("job_error", "the job failed: out of disk", "error")}.get(
        service.ends_as, ("job_complete", "Job finished", "info")
    )
    steps = [
        (_place_of(service, step), "checkpoint_save", f"Checkpoint saved at step {step}", "info")
        for step in _saved(service)
    ]
    found = [
        (0.0, "job_pending", "Fine tune request created", "info"),
        (TRAINS_FROM, "job_start", "Job started", "info"),
        (TRAINS_FROM, "training_start", "Training started", "info"),
        *steps,
        (trains_to, "training_complete", "Training completed", "info"),
        (trains_to, "model_uploading", "Uploading output model", "info"),
        (trains_to + 1, *ended),
    ]
    if cancelled is not None:
        found = [event for event in found if event[0] <= cancelled]
        found += [
            (cancelled, "cancel_requested", "Job cancellation requested", "warning"),
            (cancelled + 1, "job_stopped", "Job stopped", "info"),
        ]
    return [_event(service, *event) for event in found if event[0] <= now]


def _event(service: Service, at: float, kind: str, message: str, level: str) -> dict[str, Any]:
    word = kind.upper() if service.shouts else kind
    return {
        "object": "fine-tune-event",
        "created_at": _when(at),
        "level": level.capitalize() if service.shouts else level,
        "message": message,
        "type": word,
        "step": 0,
        "total_steps": service.n_steps,
        "param_count": 0,
        "token_count": 0,
        "checkpoint_path": "",
        "model_path": "",
        "hash": "",
        "wandb_url": None,
    }


def metrics(service: Service, job_id: str) -> list[dict[str, Any]]:
    """One row for each step, and one for each evaluation."""
    rows = []
    n_evals = service.jobs[job_id].get("n_evals") or 0
    every = max(1, service.n_steps // n_evals) if n_evals else service.n_steps + 1
    for step in range(1, _steps(service, job_id) + 1):
        stamp = int((EPOCH + timedelta(seconds=step)).timestamp()) * 10**9 + 1
        loss = math.nan if step == service.nan_at else 2.0 / step
        row = {"timestamp": stamp, "train/global_step": step, "train/epoch": step / 10}
        values = {"train/loss": loss, "train/grad_norm": 1.0, "train/learning_rate": 1e-4}
        rows.append({**row, **values})
        if step % every == 0:
            rows.append({**row, "eval/loss": service.eval_loss(service.jobs[job_id], step)})
    return rows


def _saved(service: Service) -> list[int]:
    return [service.n_steps // 2] if service.n_steps > 1 else []


def _place_of(service: Service, step: int) -> float:
    return TRAINS_FROM + service.running * step / service.n_steps


def checkpoints(service: Service, job_id: str) -> list[dict[str, Any]]:
    done = _steps(service, job_id)
    found = [(step, "Intermediate") for step in _saved(service) if step <= done]
    if status(service, job_id) == "completed":
        found += [(service.n_steps, "Final Merged"), (service.n_steps, "Final Adapter")]
    return [
        {
            "step": step,
            "created_at": _when(_place_of(service, step)),
            "path": f"s3://bucket/{job_id}/{step}",
            "checkpoint_type": label,
        }
        for step, label in found
    ]


def _when(seconds: float) -> str:
    at = EPOCH + timedelta(seconds=seconds)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
