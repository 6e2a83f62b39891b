"""What hangs together: what a change of one field asks of others, as tips with a fix.

A tie looks at a spec before and after a change. It speaks only of values that the person gave:
what was left out follows by itself, because the recommendation does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ftlab.advice import amounts
from ftlab.advice.adapter import rank
from ftlab.advice.amounts import MOST_EPOCHS
from ftlab.advice.case import BATCH_SIZES, ENOUGH_STEPS, NEMO, SMALL_BATCH, TINKER, Case
from ftlab.data.report import DataReport
from ftlab.issues import Issue
from ftlab.models import ModelInfo
from ftlab.rates import TINKER_LORA, best_rate, rounded, rows_factor
from ftlab.recommendation import in_range, shown
from ftlab.schedule import total_steps
from ftlab.spec import parse

NOTICEABLE = 1.15  # a smaller change of the rate is lost in what nobody knows of it
JUMP = 3.0  # times the rate before, from where a start without warm-up is steep
WARMUP = 0.05


@dataclass(frozen=True)
class Change:
    """A spec before and after, each with what is known of its model and data."""

    before: Case
    after: Case
    given: frozenset[str]
    """Fields that the person set, and set alike before."""

    def is_kept(self, name: str) -> bool:
        """Whether a value was typed before the change and still stands."""
        return name in self.given

    def is_new(self, name: str) -> bool:
        return getattr(self.before.spec, name) != getattr(self.after.spec, name)


Tie = Callable[[Change], Iterator[Issue]]


@dataclass(frozen=True, slots=True)
class RegisteredTie:
    name: str
    find: Tie
    before: dict[str, Any]
    """Values that, with `after`, show the tie."""
    after: dict[str, Any]
    report: DataReport | None


TIES: list[RegisteredTie] = []


def tie(
    before: dict[str, Any], after: dict[str, Any], report: DataReport | None = None
) -> Callable[[Tie], Tie]:
    """Register a tie under its function's name, with a change that shows it."""

    def register(find: Tie) -> Tie:
        TIES.append(RegisteredTie(find.__name__, find, before, {**before, **after}, report))
        return find

    return register


def ties(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    report: DataReport | None = None,
    info: ModelInfo | None = None,
) -> list[Issue]:
    """Tips with a fix for what a change entails; none where nothing given has to move.

    `before` and `after` are the values that a person gave, valid or not; `report` and `info` belong
    to `after`. When a scan is done, call it with the values before without a training_file.
    """
    change = _change(before, after, report, info)
    return [replace(issue, code=tie.name) for tie in TIES for issue in tie.find(change)]


def _change(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    report: DataReport | None,
    info: ModelInfo | None,
) -> Change:
    old, new = parse(before)[0], parse(after)[0]
    known = info or ModelInfo(name=new.model or "")
    same_model, same_file = old.model == new.model, old.training_file == new.training_file
    was = known if same_model else ModelInfo(name=old.model or "")
    kept = {
        name
        for name in new.model_fields_set & old.model_fields_set
        if getattr(old, name) == getattr(new, name) is not None
    }
    return Change(
        Case(old, was, report if same_file else None), Case(new, known, report), frozenset(kept)
    )


def _tip(where: str, message: str, fix: dict[str, Any]) -> Issue:
    return Issue("tip", message, where=where, fix=fix)


# --- the learning rate -----------------------------------------------------------------------


@tie({"batch_size": 8, "learning_rate": 2e-4}, {"batch_size": 16})
def rate_follows(change: Change) -> Iterator[Issue]:
    """The rate goes with the batch, the adapter and the model: one tip for all that changed."""
    before, after = change.before, change.after
    rate = after.spec.learning_rate
    if rate is None or not change.is_kept("learning_rate") or before.dpo or after.dpo:
        return
    causes = [cause for cause in _causes(before, after) if abs(math.log(cause[0])) > 0.01]
    factor = math.prod(times for times, _ in causes)
    if max(factor, 1 / factor) < NOTICEABLE:
        return
    new = rounded(rate * factor)
    yield _tip(
        "learning_rate",
        f"{'; '.join(text for _, text in causes)}. learning_rate {shown(rate)} was for the values "
        f"before; {shown(new)} is as bold for these. Use {shown(new)}.",
        {"learning_rate": new},
    )


def _causes(before: Case, after: Case) -> Iterator[tuple[float, str]]:
    """(factor of the rate, why) of each thing that it depends on."""
    old, new = before.setup, after.setup
    if old.lora != new.lora:
        what = "all weights train" if old.lora else "an adapter trains"
        times = 1 / TINKER_LORA if old.lora else TINKER_LORA
        word = "a tenth of the rate" if old.lora else "ten times the rate"
        yield times, f"Now {what}, which takes {word} (Tinker's formula, {NEMO})"
    elif new.lora and (old.rank, old.alpha) != (new.rank, new.alpha):
        one = best_rate(after.info, old._replace(rows=None))
        other = best_rate(after.info, new._replace(rows=None))
        text = f"rank {old.rank} → {new.rank}, alpha {old.alpha:g} → {new.alpha:g}"
        yield other / one, f"{text}: × {other / one:.2g} (ftlab's fit of published sweeps)"
    if old.rows is not None and new.rows is not None and old.rows != new.rows:
        times = rows_factor(new.rows) / rows_factor(old.rows)
        text = f"{old.rows} → {new.rows} rows per step: × {times:.2g}"
        yield times, f"{text}, the root of the batch ({NEMO}, {TINKER})"
    if before.spec.model and after.spec.model and before.spec.model != after.spec.model:
        times = best_rate(after.info, new) / best_rate(before.info, new)
        text = f"{after.spec.model} instead of {before.spec.model}: × {times:.2g}"
        yield times, f"{text} (ftlab's fit of published sweeps)"


@tie({"learning_rate": 2e-4}, {"training_method": "dpo"})
def rate_of_the_method(change: Change) -> Iterator[Issue]:
    """Preferences take far smaller steps than answers."""
    rate, after = change.after.spec.learning_rate, change.after
    if rate is None or not change.is_kept("learning_rate") or not change.is_new("training_method"):
        return
    usual = rounded(best_rate(after.info, after.setup))
    if max(rate / usual, usual / rate) < JUMP:
        return
    yield _tip(
        "learning_rate",
        f"training_method is now {after.spec.training_method}; {shown(usual)} is usual there, and "
        f"learning_rate is {shown(rate)}. Use {shown(usual)}.",
        {"learning_rate": usual},
    )


@tie({"learning_rate": 1e-4}, {"learning_rate": 1e-3})
def warmup_for_a_higher_rate(change: Change) -> Iterator[Issue]:
    """A much higher rate needs a gentler start."""
    old, new = change.before.spec.learning_rate, change.after.spec.learning_rate
    if old and new and new / old >= JUMP and change.after.spec.warmup_ratio == 0:
        yield _tip(
            "warmup_ratio",
            f"learning_rate went from {shown(old)} to {shown(new)} and warmup_ratio is 0; 0.03 to "
            f"0.1 keeps the first steps from spiking ({NEMO}). Use {WARMUP}.",
            {"warmup_ratio": WARMUP},
        )


# --- the adapter -----------------------------------------------------------------------------


@tie({"lora_r": 8, "lora_alpha": 16}, {"lora_r": 32})
def alpha_follows_the_rank(change: Change) -> Iterator[Issue]:
    """The update is scaled by alpha / rank."""
    old, new = change.before.spec.lora_r, change.after.spec.lora_r
    alpha = change.after.spec.lora_alpha
    if not old or not new or old == new or alpha is None or not change.is_kept("lora_alpha"):
        return
    same = max(1, round(alpha * new / old))
    yield _tip(
        "lora_alpha",
        f"lora_r went from {old} to {new} and lora_alpha stayed {alpha}: the update is scaled by "
        f"{alpha / new:.2g} instead of {alpha / old:.2g}; 1 to 4 is usual ({NEMO}). Use {same} to "
        "scale as before.",
        {"lora_alpha": same},
    )


# --- amounts ---------------------------------------------------------------------------------


@tie({"n_epochs": 3}, {"training_method": "dpo"})
def epochs_of_the_method(change: Change) -> Iterator[Issue]:
    """Preferences are learned by heart sooner."""
    epochs = change.after.spec.n_epochs
    if change.is_new("training_method") and change.after.dpo and epochs > 1:
        yield _tip(
            "n_epochs",
            f"training_method is now dpo and n_epochs is {epochs}; 1 to 3 is usual, and 1 the safe "
            "start (Zephyr's recipes). Use 1.",
            {"n_epochs": 1},
        )


@tie({"batch_size": 8}, {"batch_size": 64}, DataReport(path="t.jsonl", n_rows=1_000))
def enough_steps_are_left(change: Change) -> Iterator[Issue]:
    """A change that leaves fewer than a hundred steps."""
    before, after = change.before.n_steps, change.after.n_steps
    if after is None or after >= ENOUGH_STEPS or (before or ENOUGH_STEPS) < ENOUGH_STEPS:
        return
    fix = _more_steps(change.after)
    if fix:
        ((name, value),) = fix.items()
        yield _tip(
            name,
            f"The run now has {after} steps, where it had {before or 'an unknown number'}; "
            f"{ENOUGH_STEPS} or more usually train better ({TINKER}). Fewer rows per step or more "
            f"epochs give them. Use {name} {value}.",
            fix,
        )


def _more_steps(case: Case) -> dict[str, Any]:
    """The largest batch that leaves a hundred steps; otherwise the fewest epochs that do."""
    spec, rows = case.spec, case.n_sequences or 0
    accumulated = spec.gradient_accumulation_steps or 1
    largest = spec.batch_size if isinstance(spec.batch_size, int) else math.inf
    if spec.max_steps:
        return {}
    for size in BATCH_SIZES:
        steps = total_steps(rows, size * accumulated, spec.n_epochs)
        if SMALL_BATCH <= size < largest and steps >= ENOUGH_STEPS:
            return {"batch_size": size}
    steps = case.n_steps or 1
    epochs = spec.n_epochs * -(-ENOUGH_STEPS // steps)
    return {"n_epochs": epochs} if epochs <= MOST_EPOCHS else {}


@tie(
    {"lora_r": 64, "n_epochs": 8},
    {"training_file": "t.jsonl"},
    DataReport(path="t.jsonl", n_rows=400),
)
def values_for_this_much_data(change: Change) -> Iterator[Issue]:
    """Another file: a rank and epochs that were given for another amount of data."""
    case = change.after
    if case.size is None or not change.is_new("training_file"):
        return
    advised = {"n_epochs": amounts.n_epochs(case), **({"lora_r": rank(case)} if case.lora else {})}
    for name, advice in advised.items():
        given = getattr(case.spec, name)
        if change.is_kept(name) and not (advice.low or 0) <= given <= (advice.high or given):
            yield _tip(
                name,
                f"{name} is {given}; for {case.size.title}, {in_range(advice.low, advice.high)} is "
                f"usual ({advice.source}). Use {advice.value}.",
                {name: advice.value},
            )
