"""What a person asks a sweep to vary: each value on its own, and what is wrong with them."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any, NamedTuple

from ftlab.html import counted
from ftlab.issues import Issue, shown
from ftlab.spec import FIELDS, KNOBS, LORA, OPTIMISER, Engine, JobSpec, parse
from ftlab.sweeps.plan import RATE, SEED

MOST_ARMS = 64
NOT_SWEPT = {
    **dict.fromkeys(
        ("batch_size", "gradient_accumulation_steps"),
        "arms are compared after the same steps on the same rows",
    ),
    **dict.fromkeys(("lora", "quantization", "train_vision"), "arms share one copy of the model"),
}
"""Fields of the groups below that are the same for all arms, and why."""
OTHER_DATA = "arms are compared by the same loss after the same steps on the same rows"


class Asked(NamedTuple):
    """The arguments of a sweep, sorted."""

    values: dict[str, Any]
    """Fields that are the same for all arms."""
    varied: dict[str, list[Any]]
    """Field → its values."""
    options: dict[str, Any]
    """Those of the provider."""


def sorted_out(
    values: Mapping[str, Any], given: Mapping[str, Any], rates: Any, *, varies_rate: bool
) -> Asked:
    """What is a field and what an option; a list is varied, and one value holds for all arms."""
    fields = {name: value for name, value in given.items() if name in FIELDS}
    options = {name: value for name, value in given.items() if name not in FIELDS}
    if rates is not None:
        fields[RATE] = rates
    varied = {name: _listed(value) for name, value in fields.items() if _is_list(value)}
    if RATE not in fields and (varies_rate or not varied):
        varied = {RATE: [], **varied}
    elif not varied:  # one arm, which is called by its rate
        varied = {RATE: [fields[RATE]]}
    fixed = {name: value for name, value in fields.items() if name not in varied}
    return Asked({**values, **fixed}, varied, options)


def arm_values(asked: Asked) -> list[dict[str, Any]]:
    """The fields of each combination, as a person would give them."""
    return [
        {**asked.values, **dict(zip(asked.varied, chosen, strict=True))}
        for chosen in product(*asked.varied.values())
    ]


def as_read(asked: Asked) -> Asked:
    """With each value as the spec has it; all must be right."""
    varied = {
        name: [getattr(JobSpec(**{name: value}), name) for value in values]
        for name, values in asked.varied.items()
    }
    return asked._replace(varied=varied)


def problems(asked: Asked, engine: Engine) -> list[Issue]:
    """All that is wrong with the fields and values that are varied, but what a rule says of them
    together with others."""
    found = [issue for name in asked.varied if (issue := _not_swept(name, engine))]
    for name, values in asked.varied.items():
        if not values:
            found.append(_issue(name, f"{name} has no values; a sweep varies it over some. Give "
                f"at least one, or leave {name} out.", engine))  # fmt: skip
        for value in values:
            found += [issue for issue in parse({name: value})[1] if issue not in found]
    if SEED in asked.varied and asked.values.get("max_train_rows") is not None:
        why = f"can't be varied beside max_train_rows: it draws the rows, and {OTHER_DATA}"
        found.append(_issue(SEED, f"{SEED} {why}. Leave one of the two out.", engine))
    n_arms = len(arm_values(asked))
    if n_arms > MOST_ARMS:
        found.append(
            _issue(
                next(iter(asked.varied)),
                f"The values make {counted(n_arms, 'arm')}; a sweep has at most {MOST_ARMS}. Give "
                "fewer values, or sweep one field after the other.",
                engine,
            )
        )
    return found


def bad_rates(n: int | None, rates: Any, asked: Asked, engine: Engine) -> list[Issue]:
    """What is wrong with how many rates are asked for, or with none at all."""
    found: list[str] = []
    if n is not None and not 1 <= n <= MOST_ARMS:
        found.append(f"n is {n}; a sweep has 1 to {MOST_ARMS} arms. Give for example n=7.")
    if n is not None and rates is not None:
        found.append(
            f"n ({n}) is given beside the learning rates themselves; a sweep takes one of the two. "
            f"Leave n or {RATE} out."
        )
    if rates is not None and asked.varied.get(RATE) == []:
        found.append(
            f"{RATE} has no values; a sweep varies it over some. Give at least one, or leave "
            f"{RATE} out for those around the recommended one."
        )
    return [_issue(RATE, message, engine) for message in found]


def bad_cluster(address: str | None, engine: Engine) -> list[Issue]:
    """Why no Ray cluster can train the arms."""
    if address is None:
        return []
    found = f"ray is {shown(address)}"
    if engine != "local":
        why = f"{found}; a sweep at a service trains nothing on a cluster. Leave ray out"
    elif not address.strip():
        why = f"{found}; it takes the address of a Ray cluster that runs. Give for example auto"
    elif importlib.util.find_spec("ray") is None:
        why = (
            f"{found}, but the package ray is not installed; a sweep reaches a cluster by it. "
            'Install it with pip install "ftlab[ray]", or leave ray out'
        )
    else:
        return []
    return [_issue("ray", f"{why}.", engine)]


def _not_swept(name: str, engine: Engine) -> Issue | None:
    in_group = KNOBS[name].group in (OPTIMISER, LORA) and name not in NOT_SWEPT
    if in_group:
        return None
    why = NOT_SWEPT.get(name, OTHER_DATA)
    return _issue(
        name,
        f"{name} can't be varied within a sweep: {why}. Fields of the optimiser and of LoRA can. "
        f"Give one value of {name}, and compare sweeps or runs.",
        engine,
    )


def _issue(where: str, message: str, engine: Engine) -> Issue:
    return Issue("error", message, "sweep_is_possible", where, blocks=(engine,))


def _is_list(value: Any) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping))


def _listed(value: Any) -> list[Any]:
    """Plain values, where numpy or pandas has its own."""
    return value.tolist() if hasattr(value, "tolist") else [*value]
