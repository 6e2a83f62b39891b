"""Workers of a Ray cluster: each turn of an arm is a task of it."""

from __future__ import annotations

import contextlib
import logging
import signal
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from ftlab.errors import FtlabError, MissingExtra
from ftlab.processes import TRAINING
from ftlab.train.crew import Reply, Task, WorkerDied
from ftlab.train.worker import carry_out

NO_CLUSTER = (
    "No Ray cluster answers at {} ({}); a sweep with ray takes one that runs. Start it with `ray "
    "start --head`, or give the address of another, and resume the sweep."
)
NOT_THE_SAME = (
    "A worker of the cluster could not begin ({}); its machines take the same ftlab, Ray and "
    "Python as this one. Install them there, and resume the sweep."
)


class Cluster:
    """The workers of a cluster that runs already. Ray says which of them is free."""

    def __init__(self, address: str, device: str) -> None:
        """Raises FtlabError where there is none at the address."""
        ray = _ray()
        try:
            with _same_signals():
                ray.init(
                    address=address,
                    log_to_driver=False,
                    logging_level=logging.WARNING,
                    runtime_env={"env_vars": TRAINING},
                )
        except Exception as exc:  # Ray says the same by errors of many kinds
            raise FtlabError(NO_CLUSTER.format(address, _first_line(exc))) from exc
        needs = needs_of(device, [node["Resources"] for node in ray.nodes() if node["Alive"]])
        self._device = "cuda:0" if "num_gpus" in needs else "cpu"  # Ray hides the others
        self._task = ray.remote(max_retries=0, **needs)(carry_out)

    def submit(self, task: Task) -> Future[Any]:
        """Have a task carried out as soon as the cluster has room."""
        return self._task.remote(task, self._device).future()

    def reply(self, future: Future[Any]) -> Reply:
        """What a task that is done has come to. Raises WorkerDied."""
        errors = _ray().exceptions
        try:
            return future.result()
        except errors.RayTaskError as exc:  # a worker tells its own problems otherwise
            raise FtlabError(NOT_THE_SAME.format(_last_line(exc))) from exc
        except errors.RayError as exc:
            raise WorkerDied(_first_line(exc)) from exc

    def close(self) -> None:
        """The cluster ends the workers of whoever leaves it."""
        _ray().shutdown()


def needs_of(device: str, nodes: Sequence[Mapping[str, float]]) -> dict[str, int]:
    """What an arm takes of machines with these resources: a GPU where there are any; otherwise the
    cores of a machine, the smallest."""
    if device != "cpu" and any(node.get("GPU") for node in nodes):
        return {"num_gpus": 1}
    return {"num_cpus": min((int(node["CPU"]) for node in nodes if node.get("CPU")), default=1)}


def _ray() -> Any:
    try:
        import ray
    except ImportError as exc:
        raise MissingExtra("ray", "ray") from exc
    return ray


@contextlib.contextmanager
def _same_signals() -> Iterator[None]:
    """Ray takes SIGTERM for itself, which here asks the sweep to pause."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _first_line(exc: Exception) -> str:
    return next(iter(str(exc).splitlines()), type(exc).__name__).rstrip(".")


def _last_line(exc: Exception) -> str:
    return next(reversed(str(exc).strip().splitlines()), type(exc).__name__).rstrip(".")
