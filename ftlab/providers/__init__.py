"""Providers: where a job runs. A table of names, and an entry-point group for others.

A provider turns a run folder into a run that goes on by itself; from then on everything reads
the folder. `submit()` is the one way to start.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from pydantic import BaseModel, SecretStr, ValidationError

import ftlab
from ftlab.data.report import DataReport, scan
from ftlab.errors import FtlabError, InvalidSpec
from ftlab.exchange.code import UPLOADED
from ftlab.files import existing
from ftlab.issues import Issue, by_gravity, errors_for, from_validation
from ftlab.job import Estimated, Job
from ftlab.models import Limits, ModelInfo, model_problem, read_info
from ftlab.names import FOREIGN_NAMES, OTHER_UNITS
from ftlab.network_folders import network_warning
from ftlab.origin import Start, started
from ftlab.rules import resolve
from ftlab.runs import Run, Runs
from ftlab.spec import Engine, JobSpec, parse

PROVIDERS: dict[str, str] = {
    "local": "ftlab.providers.local:Local",
    "together": "ftlab.providers.together.provider:Together",
}
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

    def missing(self, options: Any, spec: JobSpec) -> list[Issue]:
        """What the options ask for that is not there, or not for such a job."""
        ...

    def settled(
        self,
        options: Any,
        spec: JobSpec,
        report: DataReport | None,
        validation: DataReport | None,
    ) -> tuple[BaseModel, dict[str, str]]:
        """Its options for a resolved spec with what was left open decided, and option → why."""
        ...

    def limits_now(
        self, spec: JobSpec, options: Mapping[str, Any], key: SecretStr | None = None
    ) -> Limits | None:
        """What it accepts for the model of a job by its own word; None where it can't be asked."""
        ...

    def examine(
        self,
        values: JobSpec | Mapping[str, Any],
        report: DataReport | None = None,
        validation: DataReport | None = None,
        limits: Limits | None = None,
    ) -> list[Issue]:
        """All that is to be said about a job before it starts: its spec, its model, its data.
        `limits` are what `limits_now` has found."""
        ...

    def agree(
        self,
        job: Job,
        report: DataReport | None = None,
        validation: DataReport | None = None,
        key: SecretStr | None = None,
    ) -> None:
        """Raise FtlabError where a person has to agree to something first, as to a price."""
        ...

    def start(self, run: Run, key: SecretStr | None = None) -> None:
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
    validation: DataReport | None = None,
    folder: Path | str | None = None,
    key: str | SecretStr | None = None,
    **options: Any,
) -> Run:
    """Start a job and return its run at once; it goes on without this process.

    Scans the data files unless `report` and `validation` are scans of them as they are now and
    for this spec. Raises InvalidSpec with every issue when the provider
    would refuse. `folder` is where runs lie; `options` are the provider's own. A job at Together
    is paid for: `pay_up_to` (US dollars) is the option that agrees to its price, and without it
    FtlabError names that. `key` is that of the account, if it is not in the environment or the
    system's keyring.
    """
    secret = SecretStr(key) if isinstance(key, str) else key
    key = None  # so that no traceback shows it
    ready = prepare(spec, provider, report=report, validation=validation, key=secret, **options)
    ready.where.agree(ready.job, ready.report, ready.validation, secret)
    run = Run.create(ready.job, Runs(folder).folder)
    if warning := network_warning(run.path.parent):
        run.warn(warning)
    ready.where.start(run, secret)
    return run


class Ready(NamedTuple):
    """A job that its provider takes, and the scans of its files."""

    job: Job
    where: Provider
    report: DataReport | None
    validation: DataReport | None


def prepare(
    spec: JobSpec | Mapping[str, Any],
    provider: str = "local",
    *,
    report: DataReport | None = None,
    validation: DataReport | None = None,
    key: SecretStr | None = None,
    **options: Any,
) -> Ready:
    """Check and resolve a job as `submit` does, and start nothing."""
    where = get_provider(provider)
    where.require()
    given, _, of_origin = _started(spec, where)
    report, validation = scan_data(given, report, validation, where.engine)
    limits, info = where.limits_now(given, options, key), model_of(given)[0]
    found = examine(spec, where, report, validation, limits)
    found += option_issues(where, options, given)
    if refused := errors_for(found, where.engine):
        raise InvalidSpec(refused)
    known = replace(info, hosted=limits or info.hosted)
    resolved = resolve(given, report, known, where.engine)
    chosen, why = where.settled(where.options(**options), resolved.spec, report, validation)
    job = Job(
        spec=_absolute(resolved.spec, where.engine),
        provider=provider,
        options=chosen.model_dump(),
        reasons={**resolved.reasons, **of_origin, **why},
        data_sha256=report.sha256 if report else "",
        validation_sha256=validation.sha256 if validation else "",
        data_format=report.format if report else None,
        estimate=_estimated(resolved.spec, report, validation, chosen, where.engine),
        ftlab_version=ftlab.__version__,
    )
    return Ready(job, where, report, validation)


def _estimated(
    spec: JobSpec,
    report: DataReport | None,
    validation: DataReport | None,
    options: BaseModel,
    engine: Engine,
) -> Estimated:
    """What is held against what the job takes, once it has."""
    from ftlab.cost import estimate  # not before there is a job

    if engine != "local":
        return Estimated(usd=estimate(spec, report, validation=validation).price)
    found = estimate(spec, report, validation=validation, options=options.model_dump())
    return Estimated(seconds=found.duration, usd=found.local_price)


def examine(
    values: JobSpec | Mapping[str, Any],
    where: Provider,
    report: DataReport | None = None,
    validation: DataReport | None = None,
    limits: Limits | None = None,
) -> list[Issue]:
    """All that is to be said about a job before it starts: its spec, its model, its data."""
    return by_gravity(where.examine(values, report, validation, limits))


def option_issues(where: Provider, given: Mapping[str, Any], spec: JobSpec) -> list[Issue]:
    """What is to be said about the provider's own options for a job."""
    try:
        return where.missing(where.options(**given), spec)
    except ValidationError as error:
        return from_validation(error, where.options, (where.engine,), FOREIGN_NAMES, OTHER_UNITS)


def _started(values: JobSpec | Mapping[str, Any], where: Provider) -> Start:
    """The spec of the valid fields, with what an adapter brings that it goes on from here."""
    given, _ = parse(values)
    return started(given) if where.engine == "local" else Start(given, [], {})


def model_of(spec: JobSpec) -> tuple[ModelInfo, Issue | None]:
    """What the model's files say, and what is wrong with them."""
    if not spec.model:
        return ModelInfo(name=""), None
    problem = model_problem(spec.model)
    broken = problem is not None and problem.level == "error"
    return ModelInfo(name=spec.model) if broken else read_info(spec.model), problem


def scan_data(
    spec: JobSpec,
    report: DataReport | None = None,
    validation: DataReport | None = None,
    engine: Engine = "local",
) -> tuple[DataReport | None, DataReport | None]:
    """Reports of the training and the validation file: those that are given where they still
    hold, otherwise new ones. The service has looked into its own files itself."""
    return (
        _scan(spec, spec.training_file, report, engine),
        _scan(spec, spec.validation_file, validation, engine),
    )


def _scan(
    spec: JobSpec, file: str | None, known: DataReport | None, engine: Engine
) -> DataReport | None:
    if file is None or (engine == "together" and _is_there(file)):
        return None
    if known is not None and known.holds_for(spec, file):
        return known
    return scan(
        file,
        spec.model,
        max_seq_length=spec.max_seq_length,
        train_on_inputs=spec.train_on_inputs or "auto",
    )


def _is_there(file: str) -> bool:
    """Whether a name is that of a file at the service."""
    return UPLOADED.fullmatch(file) is not None


def _absolute(spec: JobSpec, engine: Engine) -> JobSpec:
    """Paths that still hold when the run's process has another working directory; what is at the
    service has names and no paths."""
    changes: dict[str, Any] = {}
    for name in ("model", "training_file", "validation_file"):
        value = getattr(spec, name)
        if value is None or (engine == "together" and (name == "model" or _is_there(value))):
            continue
        if (path := existing(value)) is not None:
            changes[name] = str(path.absolute())
    if spec.model == "demo":
        changes.pop("model", None)
    return spec.changed(**changes)
