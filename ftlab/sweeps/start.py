"""Starting a sweep: what is asked for is checked whole, planned, priced, and set going."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from ftlab.advice import recommend
from ftlab.cost import estimate
from ftlab.data.report import DataReport
from ftlab.data_sizes import data_sizes
from ftlab.errors import FtlabError, InvalidSpec
from ftlab.issues import Issue, by_gravity, errors_for
from ftlab.network_folders import network_warning
from ftlab.providers import (
    Provider,
    Ready,
    examine,
    get_provider,
    model_of,
    option_issues,
    prepare,
    scan_data,
)
from ftlab.rates import CONSTANT
from ftlab.runs import Runs
from ftlab.spec import Engine, JobSpec, parse
from ftlab.sweeps.asked import (
    MOST_ARMS,
    Asked,
    arm_values,
    as_read,
    bad_cluster,
    bad_rates,
    problems,
    sorted_out,
)
from ftlab.sweeps.folder import Sweep
from ftlab.sweeps.plan import MOST_ADDED, RATE, Bounds, grid, planned
from ftlab.sweeps.ready import ReadySweep, agree

ARMS: dict[Engine, int] = {"local": 7, "together": 3}
"""Where nobody asks for more: what is paid for has fewer."""
NOMINAL_STEPS = 240  # of an arm at the service, where nothing says how many there are
SPLIT = 0.05
SPLIT_WHY = "the arms of a sweep are compared by their validation loss, and there was no such data"


def sweep(
    spec: JobSpec | Mapping[str, Any],
    provider: str = "local",
    *,
    folder: Path | str | None = None,
    key: str | SecretStr | None = None,
    **asked: Any,
) -> Sweep:
    """Start one job in several variants and return the sweep at once; it goes on without this
    process.

    Varies the learning rate: over `learning_rate=[…]`, or over `n=7` of them (hosted 3) a factor
    √10 apart around the recommended one. Any other field that is given as a list is varied too, in
    all combinations, or alone where neither rates nor `n` are given: `lora_r=[8, 64]`. Arms that
    fall behind are ended on the way unless `halving=False`; `range_test=True` bounds the rates by
    one short run first; `max_train_rows=2000` takes a part of the rows, the same for all arms.
    Arms train side by side on `n_gpus=4` of this machine, or as tasks of a Ray cluster whose
    machines share the files: `ray="auto"`, or its address.

    Other arguments are as for `submit`; raises InvalidSpec with every issue. Where it is paid for,
    `pay_up_to` (US dollars) agrees to the price of all arms together.
    """
    secret = SecretStr(key) if isinstance(key, str) else key
    key = None  # so that no traceback shows it
    return started(prepare_sweep(spec, provider, **asked), folder, secret)


def started(
    ready: ReadySweep, folder: Path | str | None = None, key: SecretStr | None = None
) -> Sweep:
    """Set a sweep going that was prepared. Raises FtlabError where its price is not agreed to."""
    agree(ready, key)
    found = Sweep.of(ready.plan, Runs(folder).folder)
    if warning := network_warning(found.path.parent):
        found.warn(warning)
    found.start(key)
    return found


def prepare_sweep(
    spec: JobSpec | Mapping[str, Any],
    provider: str = "local",
    *,
    learning_rate: Sequence[float] | float | None = None,
    n: int | None = None,
    halving: bool = True,
    range_test: bool = False,
    max_train_rows: int | None = None,
    ray: str | None = None,
    report: DataReport | None = None,
    validation: DataReport | None = None,
    pay_up_to: float | str | None = None,
    **fields_and_options: Any,
) -> ReadySweep:
    """Check and plan a sweep as `sweep` does of the same arguments, and start nothing."""
    where = get_provider(provider)
    where.require()
    given, wrong = _values(spec)
    own = {"max_train_rows": max_train_rows} if max_train_rows is not None else {}
    asked = sorted_out(
        {**given, **own}, fields_and_options, learning_rate, varies_rate=n is not None
    )
    wrong += bad_rates(n, learning_rate, asked, where.engine)
    wrong += bad_cluster(ray, where.engine)
    asked, reasons = _with_validation(asked, where.engine)
    scans = scan_data(parse(asked.values)[0], report, validation, where.engine)
    asked, recommended, bounds = _with_rates(asked, where, scans[0], n)
    asked = _sharing(asked, pay_up_to)
    if refused := [*wrong, *_refused(asked, where, scans)]:
        raise InvalidSpec(by_gravity(refused))
    asked = as_read(asked)
    ready = _middle(asked, provider, scans, recommended)
    job = ready.job.model_copy(update={"reasons": {**ready.job.reasons, **reasons}})
    plan = planned(
        job,
        asked.varied,
        _n_steps(ready),
        given={**given, **{name: asked.values[name] for name in reasons}},
        halving=halving,
        range_test=range_test,
        recommended=recommended if RATE in asked.varied else None,
        bounds=bounds,
        most_added=MOST_ADDED if where.engine == "local" else 0,
        ray=ray,
    )
    return ReadySweep(plan, where, ready.report, ready.validation)


def _values(spec: JobSpec | Mapping[str, Any]) -> tuple[dict[str, Any], list[Issue]]:
    """The fields that were given and can be read, and what is wrong with the others."""
    parsed, wrong = parse(spec)
    return parsed.model_dump(exclude_unset=True), wrong


def _with_validation(asked: Asked, engine: Engine) -> tuple[Asked, dict[str, str]]:
    """With a share of the rows held back where there is no validation data, and field → why. At
    the service that takes a file, which the rules ask for."""
    has_data = asked.values.get("validation_file") or asked.values.get("validation_split")
    if has_data or engine != "local":
        return asked, {}
    values = {**asked.values, "validation_split": SPLIT}
    return asked._replace(values=values), {"validation_split": SPLIT_WHY}


def _with_rates(
    asked: Asked, where: Provider, report: DataReport | None, n: int | None
) -> tuple[Asked, float, Bounds]:
    """With the rates of the grid where none were given; the recommended one; and within which
    bounds rates lie."""
    free = {name: value for name, value in asked.values.items() if name != RATE}
    spec, _ = parse(free)
    info, _ = model_of(spec)
    advice = recommend(spec, report, info, where.engine).get(RATE)
    recommended = float(advice.value) if advice is not None else CONSTANT
    limits = where.limits(info)
    bounds = Bounds(limits.min_learning_rate or 0.0, limits.max_learning_rate or 1.0)
    if asked.varied.get(RATE) == []:
        count = ARMS[where.engine] if n is None else min(max(n, 1), MOST_ARMS)
        rates = [*grid(recommended, count, bounds)]
        asked = asked._replace(varied={**asked.varied, RATE: rates})
    return asked, recommended, bounds


def _sharing(asked: Asked, pay_up_to: float | str | None) -> Asked:
    """With what all arms may cost as what each may cost, where that is an option at all."""
    if pay_up_to is None:
        return asked
    share = pay_up_to
    with contextlib.suppress(ValueError):  # what is no number is told of where options are checked
        share = float(pay_up_to) / max(len(arm_values(asked)), 1)
    return asked._replace(options={**asked.options, "pay_up_to": share})


def _refused(
    asked: Asked, where: Provider, scans: tuple[DataReport | None, DataReport | None]
) -> list[Issue]:
    """Every issue because of which the provider, or a sweep at all, would refuse; each once."""
    spec = parse(asked.values)[0]
    found = [*problems(asked, where.engine), *option_issues(where, asked.options, spec)]
    if not found:
        for values in arm_values(asked):
            found += examine(values, where, *scans)
    else:
        found += examine(asked.values, where, *scans)
    if not (asked.values.get("validation_file") or asked.values.get("validation_split")):
        found.append(_no_validation(where.engine))
    return list({issue.message: issue for issue in errors_for(found, where.engine)}.values())


def _no_validation(engine: Engine) -> Issue:
    return Issue(
        "error",
        "There is no validation data; the arms of a sweep are compared by their validation loss. "
        "Give a validation_file; ftlab.split_file makes one of the training file.",
        "sweep_has_validation",
        "validation_file",
        blocks=(engine,),
    )


def _middle(
    asked: Asked,
    provider: str,
    scans: tuple[DataReport | None, DataReport | None],
    recommended: float,
) -> Ready:
    """The job that all arms share, with the first of the values that are varied."""
    values = {**asked.values, **{name: values[0] for name, values in asked.varied.items()}}
    if rates := asked.varied.get(RATE):
        values[RATE] = min(rates, key=lambda rate: abs(rate - recommended))
    return prepare(values, provider, report=scans[0], validation=scans[1], **asked.options)


def _n_steps(ready: Ready) -> int:
    """Of an arm, about: what an arm that has begun says counts more. At the service the batch, and
    with it the steps, is not known before."""
    spec = ready.job.spec
    if ready.where.engine != "local":
        found = estimate(spec, ready.report, validation=ready.validation)
        return found.n_steps or NOMINAL_STEPS
    sizes = data_sizes(spec, ready.report, ready.validation)
    if sizes.n_steps is None:
        raise FtlabError(
            f"The steps of an arm are not known ({' '.join(sizes.basis)}); a sweep compares its "
            "arms after the same steps. Set packing to false, or give a max_seq_length."
        )
    return sizes.n_steps
