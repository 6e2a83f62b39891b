"""Checks of a whole file, on the columns that a scan keeps of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from ftlab.data.checks.registry import Thresholds, conversation, whole_check
from ftlab.data.columns import Columns
from ftlab.issues import LINES_KEPT, Issue, Level, shown

SEVERAL = 5
"""Rows that a habit takes."""
ENOUGH = 20
"""Rows from which on a share says something."""
MIX = np.uint64(0x9E3779B97F4A7C15)
"""An odd factor with bits all over, so that two hashes make a third."""


def _rows(n: int, answer: str = "It left on day {i}, line {i}.") -> list[dict]:
    return [conversation(f"Where is order {i}?", answer.format(i=i)) for i in range(n)]


@whole_check(example=_rows(3))
def few_rows(columns: Columns, limits: Thresholds) -> Iterator[Issue]:
    """With very few rows a run learns them by heart or nothing at all."""
    n = columns.n_rows
    if 0 < n < limits.some_rows:
        few = n < limits.few_rows
        wanted = limits.few_rows if few else limits.some_rows
        yield Issue(
            "warning" if few else "tip",
            f"{columns.name} has {n:,} row{'s' * (n > 1)}; {wanted:,} or more are usual. "
            "Collect more rows, or expect to train for several epochs.",
            code="few_rows",
        )


@whole_check(example=[*_rows(2), *_rows(2)])
def duplicates(columns: Columns, limits: Thresholds) -> Iterator[Issue]:
    """Rows that say the same as an earlier one."""
    copies = copies_in(columns.row_hash)
    if not len(copies):
        return
    sizes = np.unique(columns.row_hash, return_counts=True)[1]
    lines = _first_lines(columns.lines[copies])
    share = len(copies) / max(columns.n_rows, len(columns.lines))
    yield Issue(
        "warning" if share > limits.duplicates else "tip",
        f"{columns.name} line {lines[0]}: this row says the same as an earlier one; a row trains "
        f"as often as it stands there. Take the copies out unless that is meant. {len(copies):,} "
        f"of {columns.n_rows:,} rows ({share:.1%}) are copies; the commonest row stands there "
        f"{sizes.max():,} times.",
        code="duplicates",
        lines=lines,
        count=len(copies),
        fix="duplicate",
    )


def copies_in(hashes: np.ndarray) -> np.ndarray:
    """Places of the values that stand there before, in file order."""
    order = np.argsort(hashes, kind="stable")
    again = hashes[order][1:] == hashes[order][:-1]
    return np.sort(order[1:][again])


def _first_lines(lines: np.ndarray) -> tuple[int, ...]:
    return tuple(lines[:LINES_KEPT].tolist())


@whole_check(example=[conversation("Hello", text) for text in ("Good day", "Good evening")])
def same_prompt_other_answer(columns: Columns, limits: Thresholds) -> Iterator[Issue]:
    """Different answers to one prompt: wanted for variety, a fault where one answer is right."""
    pairs = columns.prompt_hash * MIX + columns.answer_hash
    first = np.unique(pairs, return_index=True)[1]
    prompts, n_answers = np.unique(columns.prompt_hash[first], return_counts=True)
    several = prompts[(n_answers > 1) & (prompts != 0)]
    rows = np.flatnonzero(np.isin(columns.prompt_hash, several))
    if not len(rows):
        return
    lines = _first_lines(columns.lines[rows])
    share = len(rows) / len(columns.lines)
    grave = share > limits.other_answers and columns.format != "preference"
    yield Issue(
        "warning" if grave else "tip",
        f"{columns.name} line {lines[0]}: this prompt stands there again with another answer; "
        "where one answer is right, a prompt should have one. Keep the better answer, unless the "
        f"variety is meant. {len(rows):,} rows ({share:.1%}) share {len(several):,} such "
        "prompts.",
        code="same_prompt_other_answer",
        lines=lines,
        count=len(rows),
    )


@whole_check(example=[*_rows(10), conversation("Did it arrive?", "Yes.")])
def short_answers(columns: Columns, limits: Thresholds) -> Iterator[Issue]:
    """A few answers of a word or two among long ones; where most are short, labels are the task."""
    n, total = columns.n_short_answers, len(columns.lines)
    if n and n <= limits.short_answers * total:
        yield Issue(
            "tip",
            f"{columns.name} line {columns.short_lines[0]}: the answer has fewer than three words, "
            "while most here have more; a model learns to answer as briefly. Check that it is "
            f"whole. {n:,} of {total:,} rows have this.",
            code="short_answers",
            lines=tuple(columns.short_lines[:LINES_KEPT]),
            count=n,
        )


# --- what answers say ------------------------------------------------------------------------


@whole_check(example=_rows(30, "Thank you for asking us about this fine order {i}."))
def same_opening(columns: Columns, limits: Thresholds) -> Iterator[Issue]:
    """Answers that all start alike make a model that starts alike."""
    yield from _repeated(columns, limits, "same_opening", "start", columns.openings)


@whole_check(example=_rows(30, "{i} left on Monday. Please do not hesitate to ask us again!"))
def same_closing(columns: Columns, limits: Thresholds) -> Iterator[Issue]:
    """Answers that all end alike make a model that ends alike."""
    yield from _repeated(columns, limits, "same_closing", "end", columns.closings)


def _repeated(
    columns: Columns, limits: Thresholds, code: str, verb: str, texts: dict[str, int]
) -> Iterator[Issue]:
    total = len(columns.lines)
    if total < ENOUGH or not texts or _classes(columns, limits):
        return
    text, n = max(texts.items(), key=lambda pair: pair[1])
    share = n / total
    if text and n >= SEVERAL and share > limits.repeated:
        yield Issue(
            "warning" if share > limits.very_repeated else "tip",
            f'{columns.name}: {n:,} of {total:,} answers ({share:.0%}) {verb} with "{text}"; the '
            "model will write it about as often. Vary them, unless that is wanted.",
            code=code,
            count=n,
        )


def _classes(columns: Columns, limits: Thresholds) -> dict[str, int]:
    """Answer → rows where answers are labels; else nothing."""
    total = len(columns.lines)
    few = 0 < len(columns.answers) <= limits.classes
    covered = sum(columns.answers.values()) > limits.covered * total
    repeated = len(columns.answers) <= total / 4
    return dict(columns.answers) if few and covered and repeated and total >= ENOUGH else {}


@whole_check(example=[conversation(f"Is {i} even?", "Yes." if i else "Never.") for i in range(101)])
def class_balance(columns: Columns, limits: Thresholds) -> Iterator[Issue]:
    """A class with hardly any rows is not learnt; a single class needs no model."""
    classes = _classes(columns, limits)
    if not classes:
        return
    total = sum(classes.values())
    rarest, n = min(classes.items(), key=lambda pair: pair[1])
    shares = np.array(list(classes.values())) / total
    if len(classes) > 1 and n >= limits.rare_class * total:
        return
    if len(classes) == 1:
        found = f"all {total:,} answers are {shown(rarest)}; a model learns to say it always"
    else:
        evenness = -(shares * np.log(shares)).sum() / np.log(len(classes))
        found = (
            f"the answers are {len(classes)} classes, and {shown(rarest)} has {n:,} of {total:,} "
            f"rows ({n / total:.1%}; evenness {evenness:.2f} of 1); a class of less than "
            f"{limits.rare_class:.0%} is hardly learnt"
        )
    yield Issue(
        "warning",
        f"{columns.name}: {found}. Add rows of the rare classes, or weight them.",
        code="class_balance",
        count=n,
    )


@whole_check(
    example=[
        *_rows(9),
        *(conversation("Where is my order, please?", "Заказ отправлен вчера.") for _ in range(1)),
    ]
)
def answer_in_other_script(columns: Columns, limits: Thresholds) -> Iterator[Issue]:
    """An answer in another writing system than its question."""
    n, total = columns.n_other_script, len(columns.lines)
    if not n:
        return
    share, lines = n / total, tuple(columns.other_script_lines[:LINES_KEPT])
    yield Issue(
        "warning" if share > limits.other_script else "tip",
        f"{columns.name} line {lines[0]}: the answer is written in another script than the prompt; "
        "unless it translates, a model should answer in the language it is asked in. Check these "
        f"rows. {n:,} of {total:,} rows ({share:.1%}) have this.",
        code="answer_in_other_script",
        lines=lines,
        count=n,
    )


@whole_check(
    example=[
        *_rows(15),
        *(conversation(f"Где заказ {i}?", f"Заказ {i} отправлен вчера.") for i in range(15)),
    ]
)
def mixed_scripts(columns: Columns, limits: Thresholds) -> Iterator[Issue]:
    """Answers in several writing systems."""
    written = {name: n for name, n in columns.scripts.items() if name != "none" and n}
    total = sum(written.values())
    if total < ENOUGH:
        return
    common = {k: n for k, n in written.items() if n > limits.other_script * total}
    if len(common) > 1:
        parts = sorted(common.items(), key=lambda pair: -pair[1])
        shares = ", ".join(f"{name} {n / total:.0%}" for name, n in parts)
        yield Issue(
            "tip",
            f"{columns.name}: answers are written in several scripts ({shares}); a model learns "
            "all of them. Split the file if only one is wanted.",
            code="mixed_scripts",
            count=total - parts[0][1],
        )


@whole_check(
    example=[
        {"prompt": f"Question {i}:", "completion": (" " if i % 2 else "\n") + f"answer {i}"}
        for i in range(30)
    ]
)
def mixed_edges(columns: Columns, limits: Thresholds) -> Iterator[Issue]:
    """The place between prompt and completion should look alike in all rows."""
    cures = {
        "prompt ends with": ("Take the white space off the ends of the prompts.", "whitespace"),
        "completion starts with": ("Start all completions alike.", None),
    }
    for side, (cure, fix) in cures.items():
        counts = {k: n for k, n in columns.edges.items() if k.startswith(side) and n}
        total = sum(counts.values())
        common = {k: n for k, n in counts.items() if n >= limits.edges * total}
        if total >= ENOUGH and len(common) > 1:
            parts = sorted(common.items(), key=lambda pair: -pair[1])
            shares = ", ".join(f"{k.rpartition(' ')[2]} {n / total:.0%}" for k, n in parts)
            yield Issue(
                "tip",
                f"{columns.name}: where the {side} is not the same in all rows ({shares}); one "
                f"style throughout is learnt more easily. {cure}",
                code="mixed_edges",
                where=side.partition(" ")[0],
                count=total - parts[0][1],
                fix=fix,
            )


# --- what the counts of other checks mean ----------------------------------------------------


def raised(
    issues: Iterable[Issue], n_rows: int, thresholds: Thresholds | None = None
) -> Iterator[Issue]:
    """The issues, graver where so many rows have them that it matters for the whole."""
    limits = thresholds or Thresholds()
    steps = {"refusal": limits.refusals, "answer_cut": limits.answers_cut}
    levels: dict[str, Level] = {"refusal": "warning", "answer_cut": "error"}
    counts: dict[str, int] = {}
    kept = list(issues)
    for issue in kept:
        if issue.code in steps:
            counts[issue.code] = counts.get(issue.code, 0) + issue.count
    for issue in kept:
        share = counts.get(issue.code, 0) / max(n_rows, 1)
        if issue.code not in steps or share <= steps[issue.code]:
            yield issue
        else:
            text = f"{issue.message} That is {share:.1%} of all rows."
            yield replace(issue, level=levels[issue.code], message=text)
