"""The embedded trainer on this machine, as a process of its own."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pydantic import SecretStr

from ftlab.catalogue import known
from ftlab.cost import SAVING, estimate
from ftlab.data.report import DataReport
from ftlab.devices import detect, missing_gpus
from ftlab.errors import MissingExtra
from ftlab.issues import Issue
from ftlab.job import Job, LocalOptions
from ftlab.local_plan import device_of, dtype_of
from ftlab.models import Limits, ModelInfo
from ftlab.origin import started
from ftlab.providers import model_of
from ftlab.rulebook import rate_problems
from ftlab.rulebook.shares import undivided
from ftlab.rules import check
from ftlab.run import Run
from ftlab.spec import Engine, JobSpec, parse
from ftlab.trackers.needs import issues_of

NEEDED = ("torch", "transformers", "peft")
SHARDING = 2, 13  # of torch


class Local:
    engine: Engine = "local"
    options = LocalOptions

    def limits(self, info: ModelInfo) -> Limits:
        """What the model's own files bound, and this machine."""
        return replace(info.local_limits(), no_low_bits=_no_low_bits())

    def limits_now(
        self, spec: JobSpec, options: Mapping[str, Any], key: SecretStr | None = None
    ) -> Limits | None:
        """None: it has no other word than its rules."""
        return None

    def settled(
        self,
        options: LocalOptions,
        spec: JobSpec,
        report: DataReport | None,
        validation: DataReport | None,
    ) -> tuple[LocalOptions, dict[str, str]]:
        """Gradient checkpointing, and whether the model is divided, as the estimate has it, where
        nothing was chosen."""
        is_open = [name for name in SAVING if getattr(options, name) is None]
        if not is_open:
            return options, {}
        found = estimate(spec, report, validation=validation, options=options)
        is_on = {name: bool(getattr(found, name)) for name in is_open}
        reasons = {
            name: line for name in is_open for line in found.basis if line.startswith(SAVING[name])
        }
        return options.model_copy(update=is_on), reasons

    def require(self) -> None:
        """Raise MissingExtra when a package that the trainer needs is not installed."""
        for package in NEEDED:
            if importlib.util.find_spec(package) is None:
                raise MissingExtra(package, "local")

    def missing(self, options: LocalOptions, spec: JobSpec) -> list[Issue]:
        """GPUs that the options ask for and this machine has not, a model that they divide and
        that stays whole, and what their trackers need."""
        found = issues_of(options.track)
        if text := missing_gpus(options.device, options.n_gpus):
            found.append(_refusal("gpus_are_here", "n_gpus", text))
        if options.shard and options.n_gpus > 1:
            found += _undivided(options, spec)
        return found

    def examine(
        self,
        values: JobSpec | Mapping[str, Any],
        report: DataReport | None = None,
        validation: DataReport | None = None,
        limits: Limits | None = None,
    ) -> list[Issue]:
        """All that is to be said about a job before it starts: its spec, its model, its data."""
        given, found, _ = started(parse(values)[0])
        info, problem = model_of(given)
        found += check(values, limits or self.limits(info), report, validation=validation)
        if known(info.name) is None and info.n_params:  # else the rule book has looked at it
            found += rate_problems(given, report, info)
        if problem is not None:
            found.append(problem)
        elif report is not None:  # its tokenizer is a part of the model
            found += [issue for issue in report.issues if issue.where == "model" and issue.blocks]
        return found

    def agree(
        self,
        job: Job,
        report: DataReport | None = None,
        validation: DataReport | None = None,
        key: SecretStr | None = None,
    ) -> None:
        """Nothing: a run on this machine needs nobody's word."""

    def start(self, run: Run, key: SecretStr | None = None) -> None:
        """Start `python -m ftlab.train`."""
        run.start()


def _undivided(options: LocalOptions, spec: JobSpec) -> Iterator[Issue]:
    problem = undivided(spec, dtype_of(options, device_of(options)))
    if problem is not None:
        to = f"Set {problem.where} to {problem.instead or 'none'}, or shard to False."
        text = f"shard is True, and {problem.found}. {to}"
        yield _refusal("model_is_divided", problem.where, text, problem.fix)
    if (have := _torch()) and have < SHARDING:
        text = (
            f"shard is True, and the installed torch is {'.'.join(map(str, have))}; dividing takes "
            f"{'.'.join(map(str, SHARDING))} or newer. Install that, or set shard to False."
        )
        yield _refusal("model_is_divided", "shard", text, {"shard": False})


def _refusal(code: str, where: str, text: str, fix: dict[str, Any] | None = None) -> Issue:
    return Issue("error", text, code, where, blocks=("local",), fix=fix)


@lru_cache(maxsize=1)
def _torch() -> tuple[int, ...]:
    """Its version, without loading it; empty where it is not installed."""
    with contextlib.suppress(PackageNotFoundError):
        return tuple(int(part) for part in version("torch").split(".")[:2])
    return ()


@lru_cache(maxsize=1)  # the form asks with every key that is pressed, and a GPU answers slowly
def _no_low_bits() -> str | None:
    if not any(device.name.startswith("cuda") for device in detect()):
        return "it takes an NVIDIA GPU, and this machine has none"
    if importlib.util.find_spec("bitsandbytes") is None:
        return 'it takes the package bitsandbytes, which pip install "ftlab[qlora]" brings'
    return None
