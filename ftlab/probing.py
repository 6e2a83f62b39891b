"""probe(): a few real steps of a job in a process of its own turn the estimate into a measurement.

What was measured is remembered (`measured.py`), and `estimate()` uses it from then on.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from datetime import date
from typing import Any

from ftlab.data.report import DataReport
from ftlab.errands import Errand, Told
from ftlab.errors import FtlabError, RunError
from ftlab.job import LocalOptions
from ftlab.local_plan import LocalPlan, device_of, local_plan
from ftlab.measured import Measurement, remember
from ftlab.models import read_info
from ftlab.pieces import Piece
from ftlab.providers import Ready, prepare
from ftlab.spec import JobSpec
from ftlab.timing import Work, speed_of, training_work

STEPS = 5
SECONDS = 30.0  # for its steps, once the model is loaded; a step that began is finished

UNDIVIDED = (
    "The job divides its model among processes (shard); a measurement runs on one device, which "
    "takes the whole model. Start the run, whose first steps tell, or set shard to False."
)


def probe(
    spec: JobSpec | Mapping[str, Any],
    *,
    report: DataReport | None = None,
    validation: DataReport | None = None,
    told: Told | None = None,
    **options: Any,
) -> Measurement:
    """Run a few steps of a job on this machine, the longest rows among them, and measure them.

    Takes what `submit` takes for the local provider, and keeps nothing but the measurement. It
    waits while another run uses the device. Raises InvalidSpec when the job would be refused, and
    RunError when its steps fail, as they would in the run.
    """
    measured = Probe(spec, report=report, validation=validation, told=told, **options).measure()
    assert measured is not None, "nobody cancelled it"
    return measured


class Probe:
    """One probe, for a thread beside the one that shows it."""

    def __init__(
        self,
        spec: JobSpec | Mapping[str, Any],
        *,
        report: DataReport | None = None,
        validation: DataReport | None = None,
        told: Told | None = None,
        **options: Any,
    ) -> None:
        self._spec, self._scans = spec, {"report": report, "validation": validation}
        self._told: Told = told or (lambda _share, _what: None)
        self._options = options
        self._errand = Errand(self._told)

    def measure(self) -> Measurement | None:
        """Block until it is done; None when it was cancelled. Raises as `probe` does."""
        self._told(0.0, "checking the job")
        ready = prepare(self._spec, "local", **self._scans, **self._options)
        if ready.job.options["shard"] and ready.job.options["n_gpus"] > 1:
            raise RunError(UNDIVIDED)
        plan = _plan(ready)
        if self._errand.is_cancelled:
            return None
        found = self._errand.run("ftlab.train.probe", _request(ready, plan), _why_it_ended)
        if found is None:
            return None
        plan = _plan(ready)  # anew: only now is it known what the trainer computes in
        measured = Measurement(
            at=date.today().isoformat(), expected=_expected(plan, found["step_tokens"]), **found
        )
        remember(plan.settings, measured)
        return measured

    def cancel(self) -> None:
        """End it; `measure` then returns None."""
        self._errand.cancel()


def _why_it_ended(status: int, last_words: str) -> str:
    """What to say of a probe that gave no result; a status below 0 is a signal."""
    if status == -signal.SIGKILL:
        return (
            "The probe was killed, as the system does when the memory does not suffice; the job "
            "needs less. Lower micro_batch_size or max_seq_length, or turn gradient_checkpointing "
            "on."
        )
    return (
        f"The probe ended with status {status} and without a result; a run would end the same way. "
        f"Its last words: {last_words}"
    )


def _plan(ready: Ready) -> LocalPlan:
    job = ready.job
    options = LocalOptions(**job.options)
    info = read_info(job.spec.model or "")
    plan = local_plan(job.spec, info, device_of(options), options, ready.report, ready.validation)
    if plan is None:
        raise FtlabError(
            f"The shape of {job.spec.model} is not known; a probe needs layers, widths and "
            "vocabulary from its config.json. Use a model whose configuration has them."
        )
    return plan


def _request(ready: Ready, plan: LocalPlan) -> dict[str, Any]:
    evaluated = plan.evaluated
    return {
        "job": ready.job.model_dump(mode="json"),
        "largest": _of_the_file(plan.largest),
        "evaluated": evaluated and _of_the_file(evaluated),
        "steps": STEPS,
        "seconds": SECONDS,
    }


def _of_the_file(piece: Piece) -> int:
    """Tokens of a piece, where each answer of a pair counts whole."""
    return round(piece.behind or piece.tokens)


def _expected(plan: LocalPlan, tokens: float) -> float:
    """Seconds that the formula gives for a step of so many tokens."""
    work = training_work(plan.decoder, plan.setup, plan.rows) * tokens + Work(steps=1)
    return speed_of(plan.setup.kind, plan.device.n_cores).seconds(work)
