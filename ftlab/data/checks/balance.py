"""Checks of a whole file's numbers: lengths, weights, order, and what two files share."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ftlab.data.checks.registry import Thresholds, conversation, whole_check
from ftlab.data.columns import Columns
from ftlab.issues import LINES_KEPT, Issue, Level

ENOUGH_TO_ORDER = 50
"""Rows from which on an order is no accident."""
ENOUGH_TO_WEIGH = 100
"""Rows from which on one of them should not matter much."""
UNLIKELY = -5.0
"""Standard deviations below the expected number of runs."""
GROWTH = 1.5
"""Mean length of the first and the last fifth, below which a growth is of no matter."""
PAIRS_SHOWN = 3


@whole_check(example=[conversation("A word " * 200 + str(i), "Yes, it is.") for i in range(3)])
def few_trained_tokens(columns: Columns, limits: Thresholds) -> Iterator[Issue]:
    """Most of the time would go into tokens that teach nothing."""
    if columns.n_tokens is None or columns.n_trained is None or not columns.n_tokens.sum():
        return
    trained, total = int(columns.n_trained.sum()), int(columns.n_tokens.sum())
    if 0 < trained < limits.trained * total:
        yield Issue(
            "warning",
            f"{columns.name}: {trained:,} of {total:,} tokens ({trained / total:.1%}) train; "
            f"{limits.trained:.0%} or more are usual, since the others cost as much time. Shorten "
            "the prompts, or set train_on_inputs.",
            code="few_trained_tokens",
            where="train_on_inputs",
        )


def _one_long(n: int) -> list[dict]:
    long = conversation("Tell me everything", "It was a long story. " * 1_500)
    return [*(conversation(f"Order {i}?", f"Order {i} left.") for i in range(n)), long]


@whole_check(example=_one_long(120))
def heavy_rows(columns: Columns, limits: Thresholds) -> Iterator[Issue]:
    """One row with a large part of all tokens."""
    sizes, unit = _sizes(columns)
    total = int(sizes.sum())
    rows = np.flatnonzero(sizes > limits.heavy_row * total)
    if len(sizes) >= ENOUGH_TO_WEIGH and len(rows):
        lines = columns.lines[rows]
        first = int(sizes[rows[0]])
        yield Issue(
            "tip",
            f"{columns.name} line {lines[0]}: this row has {first:,} of the file's {total:,} "
            f"{unit} ({first / total:.0%}); no row should outweigh {limits.heavy_row:.0%} of the "
            "file. Cut it into several rows, or check that it is meant.",
            code="heavy_rows",
            lines=tuple(lines[:LINES_KEPT].tolist()),
            count=len(rows),
        )


@whole_check(example=_one_long(120))
def uneven_lengths(columns: Columns, limits: Thresholds) -> Iterator[Issue]:
    """A few rows hold nearly everything that is learnt."""
    sizes, unit = _sizes(columns)
    if len(sizes) >= ENOUGH_TO_WEIGH and (share := gini(sizes)) > limits.gini:
        top = np.sort(sizes)[-max(len(sizes) // 10, 1) :].sum() / sizes.sum()
        yield Issue(
            "tip",
            f"{columns.name}: the longest tenth of the rows holds {top:.0%} of all {unit} (Gini "
            f"coefficient {share:.2f}; up to {limits.gini:g} is usual). The file teaches mostly "
            "what the long rows say; split or shorten them if that is not meant.",
            code="uneven_lengths",
        )


def _sizes(columns: Columns) -> tuple[np.ndarray, str]:
    if columns.n_tokens is not None:
        return columns.n_tokens, "tokens"
    return columns.n_chars, "characters"


def gini(sizes: np.ndarray) -> float:
    """0 where all are equal, near 1 where one has everything."""
    total = float(sizes.sum())
    if not len(sizes) or not total:
        return 0.0
    ranks = np.arange(1, len(sizes) + 1)
    return float(2 * (ranks * np.sort(sizes)).sum() / (len(sizes) * total) - 1 - 1 / len(sizes))


def _with_system(row: dict) -> dict:
    return {"messages": [{"role": "system", "content": "Be brief."}, *row["messages"]]}


_ORDERS = [conversation(f"Where is order {i}?", f"Order {i} left on Monday.") for i in range(30)]


@whole_check(example=[_with_system(row) if i % 2 else row for i, row in enumerate(_ORDERS)])
def some_system_prompts(columns: Columns, limits: Thresholds) -> Iterator[Issue]:
    """A model asked with a system prompt should have been trained with one, and the inverse."""
    n, total = sum(columns.systems.values()), len(columns.lines)
    if total and limits.edges < n / total < 1 - limits.edges:
        yield Issue(
            "tip",
            f"{columns.name}: {n:,} of {total:,} rows ({n / total:.0%}) have a system prompt "
            f"({len(columns.systems):,} different); the model will be asked with or without one. "
            "Give all rows the one you will ask with, unless both are meant.",
            code="some_system_prompts",
            count=n,
        )


@whole_check(
    example=[
        {
            "input": {"messages": [{"role": "user", "content": f"Why is {i} odd?"}]},
            "preferred_output": [{"role": "assistant", "content": f"Since {i} " * 12}],
            "non_preferred_output": [{"role": "assistant", "content": f"No {i}"}],
        }
        for i in range(1, 25, 2)
    ]
)
def length_bias(columns: Columns, limits: Thresholds) -> Iterator[Issue]:
    """Preference training that only ever prefers the longer answer learns length."""
    n = len(columns.chosen_chars)
    if n < 10 or n != len(columns.rejected_chars):
        return
    ratio = float(np.median((columns.chosen_chars + 1) / (columns.rejected_chars + 1)))
    if not 1 / limits.length_ratio <= ratio <= limits.length_ratio:
        longer = f"{ratio:.1f} times as long as" if ratio > 1 else f"{ratio:.0%} as long as"
        yield Issue(
            "tip",
            f"{columns.name}: half of the preferred answers are {longer} the other or beyond; from "
            f"{1 / limits.length_ratio:g} to {limits.length_ratio:g} times is usual, or the model "
            "learns length and not quality. Add pairs in which the other length wins, or set "
            "dpo_normalize_logratios_by_length.",
            code="length_bias",
            where="dpo_normalize_logratios_by_length",
        )


# --- the order of rows -----------------------------------------------------------------------


@whole_check(example=[conversation(f"Order {i}?", "It left. " * (i + 1)) for i in range(60)])
def sorted_by_length(columns: Columns, limits: Thresholds) -> Iterator[Issue]:
    """A file sorted by length trains on long rows when the learning rate is low, or too high."""
    if len(columns.n_chars) < ENOUGH_TO_ORDER:
        return
    rank = spearman(columns.n_chars)
    fifth = len(columns.n_chars) // 5
    ends = columns.n_chars[:fifth].mean(), columns.n_chars[-fifth:].mean()
    if abs(rank) > limits.rank_correlation and max(ends) > GROWTH * min(ends):
        grow = "longer" if rank > 0 else "shorter"
        yield Issue(
            "tip",
            f"{columns.name}: rows get {grow} along the file (rank correlation {rank:.2f}); rows "
            "should come in random order wherever an engine does not shuffle. Shuffle the file.",
            code="sorted_by_length",
        )


def spearman(values: np.ndarray) -> float:
    """Rank correlation with the place in the file; equal values share their mean rank."""
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    if len(counts) < 2:
        return 0.0
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[group]
    return float(np.corrcoef(np.arange(len(values)), ranks)[0, 1])


@whole_check(
    example=[conversation(f"Is {i} above 30?", "No." if i < 31 else "Yes.") for i in range(60)]
)
def sorted_by_class(columns: Columns, limits: Thresholds) -> Iterator[Issue]:
    """Whole classes one after another make the model forget the first."""
    n = len(columns.answer_hash)
    if n < ENOUGH_TO_ORDER:
        return
    sizes = np.unique(columns.answer_hash, return_counts=True)[1]
    if not 2 <= len(sizes) <= min(limits.classes, n // 4):
        return
    runs = 1 + int((columns.answer_hash[1:] != columns.answer_hash[:-1]).sum())
    expected, deviation = expected_runs(sizes)
    if deviation and (runs - expected) / deviation < UNLIKELY:
        yield Issue(
            "tip",
            f"{columns.name}: rows with the same answer stand together ({runs:,} runs of equal "
            f"answers, about {expected:,.0f} in random order); rows should come in random order "
            "wherever an engine does not shuffle. Shuffle the file.",
            code="sorted_by_class",
        )


def expected_runs(sizes: np.ndarray) -> tuple[float, float]:
    """(mean, standard deviation) of the runs of equal values in random order, where each value
    stands there `sizes` times (Wald and Wolfowitz, for more than two values)."""
    counts = sizes.astype(float)
    n, squares, cubes = counts.sum(), (counts**2).sum(), (counts**3).sum()
    variance = (squares * (squares + n * (n + 1)) - 2 * n * cubes - n**3) / (n**2 * (n - 1))
    return float(1 + n - squares / n), float(np.sqrt(max(variance, 0.0)))


@whole_check(example=[{**row, "weight": 0} for row in _ORDERS[:3]])
def all_weights_zero(columns: Columns, limits: Thresholds) -> Iterator[Issue]:
    """A file in which every weight is 0 trains on nothing."""
    total = len(columns.lines)
    if total and columns.n_zero_weight >= total:
        yield Issue(
            "error",
            f"{columns.name}: all {total:,} rows have weight 0, so nothing would train; a weight "
            "of 1 is what a row has without one. Give the rows that count a weight above 0.",
            code="all_weights_zero",
            where="weight",
            count=total,
        )


# --- two files -------------------------------------------------------------------------------


def leakage(train: Columns, validation: Columns) -> Iterator[Issue]:
    """Validation rows that are trained on: their loss says nothing."""
    exact = shared(train, validation, "row_hash")
    if exact:
        yield _leak(train, validation, exact, "error", "leakage", "this row is", "rows")
    known = {line for _, line in exact}
    prompts = [p for p in shared(train, validation, "prompt_hash") if p[1] not in known]
    if prompts:
        yield _leak(
            train, validation, prompts, "warning", "prompt_leakage", "the prompt of this row is",
            "prompts",
        )  # fmt: skip


def leaked_lines(train: Columns, validation: Columns) -> set[int]:
    """Lines of validation rows that `leakage` finds, all of them."""
    columns = ("row_hash", "prompt_hash")
    return {line for column in columns for _, line in shared(train, validation, column)}


def shared(train: Columns, validation: Columns, column: str) -> list[tuple[int, int]]:
    """(line in train, line in validation) of rows with the same hash; the first of train's rows
    for each of validation's, in their order."""
    theirs, first = np.unique(getattr(train, column), return_index=True)
    ours = getattr(validation, column)
    if not len(theirs) or not len(ours):
        return []
    at = np.minimum(np.searchsorted(theirs, ours), len(theirs) - 1)
    rows = np.flatnonzero((theirs[at] == ours) & (ours != 0))
    pairs = zip(train.lines[first[at[rows]]], validation.lines[rows], strict=True)
    return [(int(a), int(b)) for a, b in pairs]


def _leak(
    train: Columns,
    validation: Columns,
    pairs: list[tuple[int, int]],
    level: Level,
    code: str,
    what: str,
    plural: str,
) -> Issue:
    line = pairs[0][1]
    return Issue(
        level,
        f"{validation.name} line {line}: {what} in {train.name} too ({shown_pairs(pairs)}); what "
        "is trained on can't test the model. Take it out of one of the two. "
        f"{len(pairs):,} of {len(validation.lines):,} {plural} are in both.",
        code=code,
        where="validation_file",
        lines=tuple(b for _, b in pairs[:LINES_KEPT]),
        count=len(pairs),
    )


def shown_pairs(pairs: list[tuple[int, int]]) -> str:
    """The first pairs of lines in words."""
    shown = ", ".join(f"{b} is there line {a}" for a, b in pairs[:PAIRS_SHOWN])
    return f"line {shown}{', …' if len(pairs) > PAIRS_SHOWN else ''}"
