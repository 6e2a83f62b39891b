"""Providers: where a job runs. A table of names, and an entry-point group for others.

A provider turns a run folder into a run that goes on by itself; from then on everything reads
the folder. `submit()` is the one way to start.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ValidationError

import ftlab
from ftlab.data.report import DataReport, scan
from ftlab.errors import FtlabError, InvalidSpec
from ftlab.issues import Issue, errors_for, from_validation
from ftlab.job import Job
from ftlab.models import Limits, ModelInfo, model_problem, read_info
from ftlab.rules import check, resolve
from ftlab.runs import Run, Runs
from ftlab.spec import Engine, JobSpec

PROVIDERS: dict[str, str] = {"local": "ftlab.providers.local:Local"}
ENTRY_POINTS = "ftlab.providers"


class Provider(Protocol):
    """What a place to train must be able to do."""

    engine: Engine
    """Whose rules apply: an issue that names it in `blocks` keeps a job from starting."""
    options: type[BaseModel]
    """Its own options, with Knobs like the spec's."""

    def limits(self, info: ModelInfo) -> Limits:
        """What it accepts for a model."""
        ...

    def require(self) -> None:
        """Raise MissingExtra when something it needs is not installed here."""
        ...

    def start(self, run: Run) -> None:
        """Set a run going and come back at once; the run must not depend on this process."""
        ...


def get_provider(name: str) -> Provider:
    """The provider of that name. Raises FtlabError with the names there are."""
    known = dict(PROVIDERS)
    for entry in entry_points(group=ENTRY_POINTS):
        known.setdefault(entry.name, entry.value)
    if name not in known:
        raise FtlabError(
            f"There is no provider {name!r}; ftlab knows {', '.join(sorted(known))}. "
            "Use one of those, or install the package that brings it."
        )
    module, _, attribute = known[name].partition(":")
    return getattr(importlib.import_module(module), attribute)()


def submit(
    spec: JobSpec | Mapping[str, Any],
    provider: str = "local",
    *,
    report: DataReport | None = None,
    folder: Path | str | None = None,
    **options: Any,
) -> Run:
    """Start a job and return its run at once; it goes on without this process.

    Scans the data unless `report` is given. Raises InvalidSpec with every issue when the provider
    would refuse. `folder` is where runs lie; `options` are the provider's own.
    """
    where = get_provider(provider)
    where.require()
    problem, info = _model(spec)
    limits = where.limits(info)
    report = report or _scan(spec)
    found = [*check(spec, limits, report), *([problem] if problem else [])]
    refused = errors_for(found, where.engine)
    if refused:
        raise InvalidSpec(refused)
    resolved = resolve(spec, report, info, where.engine)
    run = Run.create(
        Job(
            spec=_absolute(resolved.spec),
            provider=provider,
            options=_options(where, options),
            reasons=resolved.reasons,
            data_sha256=report.sha256 if report else "",
            ftlab_version=ftlab.__version__,
        ),
        Runs(folder).folder,
    )
    where.start(run)
    return run


def _value(spec: JobSpec | Mapping[str, Any], name: str) -> Any:
    return spec.get(name) if isinstance(spec, Mapping) else getattr(spec, name)


def _model(spec: JobSpec | Mapping[str, Any]) -> tuple[Issue | None, ModelInfo]:
    """What is wrong with the model, and what its files say."""
    model = _value(spec, "model")
    if not isinstance(model, str) or not model:
        return None, ModelInfo(name="")
    problem = model_problem(model)
    broken = problem is not None and problem.level == "error"
    return problem, ModelInfo(name=model) if broken else read_info(model)


def _scan(spec: JobSpec | Mapping[str, Any]) -> DataReport | None:
    file = _value(spec, "training_file")
    if not isinstance(file, (str, Path)) or not str(file):
        return None
    length = _value(spec, "max_seq_length")
    return scan(
        file,
        _value(spec, "model"),
        max_seq_length=length if isinstance(length, int) else None,
        train_on_inputs=_value(spec, "train_on_inputs") or "auto",
    )


def _options(where: Provider, given: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return where.options(**given).model_dump()
    except ValidationError as error:
        raise InvalidSpec(from_validation(error, where.options, (where.engine,), {})) from None


def _absolute(spec: JobSpec) -> JobSpec:
    """Paths that still hold when the run's process has another working directory."""
    changes: dict[str, Any] = {}
    for name in ("model", "training_file", "validation_file"):
        value = getattr(spec, name)
        if value is not None and Path(value).expanduser().exists():
            changes[name] = str(Path(value).expanduser().absolute())
    if spec.model == "demo":
        changes.pop("model", None)
    return spec.changed(**changes)
