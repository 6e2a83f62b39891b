"""score(): base and tuned model on rows that neither was trained on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from ftlab.answers import model_of
from ftlab.errors import RunError
from ftlab.run import Run
from ftlab.runs import attach
from ftlab.scores.asking import Models, Stopped, Told
from ftlab.scores.columns import identity_of, wanted
from ftlab.scores.filling import Filling, Progress
from ftlab.scores.found import Scores
from ftlab.scores.harness import evaluate, kept_lines
from ftlab.scores.metrics import Metric, chosen
from ftlab.scores.rows import Source, leaked, question_of, reference_of, source_of
from ftlab.scores.sheet import TUNED, Kept, ScoredRow, Sheet, alone, kept_sheets, read_sheet
from ftlab.scores.tasks import Reader, Scorable, scorable

MAX_ROWS = 200
SEED = 0
STOPPED = "The scoring was stopped; what was found is kept. Score again to go on from there."
OTHER_WEIGHTS = (
    "The run has other weights now than those that were scored; these figures are of what it had "
    "then. Score again."
)


def score(
    run: Run | Path | str | None = None,
    file: Path | str | None = None,
    *,
    metrics: Iterable[str] | None = None,
    judges: Iterable[Metric] = (),
    max_rows: int | None = MAX_ROWS,
    shots: int = 0,
    checkpoints: bool = False,
    lm_eval: Sequence[str] = (),
    max_tokens: int | None = None,
    seed: int = SEED,
    told: Told = lambda _: None,
    progress: Progress = lambda *_: None,
    given_up: Callable[[], bool] = lambda: False,
) -> Scores:
    """How good base and tuned model are on the rows of a JSONL file, or on those that the run (by
    default the newest) is measured on; at most `max_rows`, drawn by the seed, None for all.

    `shots` adds the base with so many examples of the training rows in the prompt, `checkpoints`
    each saved checkpoint. `metrics` are names, by default all that apply; `judges` come from
    `ftlab.judge`; `lm_eval` are tasks of that harness. What is found lies in the run's folder; a
    second call takes from there what it has.
    `told` hears what is waited for, `progress` how far it is, and `given_up` ends the scoring
    between two batches. Raises RunError.
    """
    found = run if isinstance(run, Run) else attach(run)
    measured = [*chosen(metrics), *judges]
    columns = list(wanted(found, shots, checkpoints=checkpoints))
    reader = Reader.of(found)
    source = source_of(found, file, max_rows, seed)
    rows = scorable(source, reader)
    sheet = _sheet(found, source, rows, reader, max_tokens, seed)

    def hear(*said: Any) -> None:
        if given_up():
            raise Stopped
        (told if len(said) == 1 else progress)(*said)

    with alone(found.score_folder):
        kept, models = Kept(found.score_folder, sheet), Models(found, hear)
        if kept.file.is_file():
            kept.sheet = read_sheet(kept.file)
        else:
            hear(f"Looking for rows of {source.rows.path.name} in the training data.")
            sheet.notes += leaked(found, source)
        try:
            Filling(found, kept, rows, reader, measured, hear).fill(columns, models)
            models.close()
            lines = evaluate(found, lm_eval, told=hear) if lm_eval else kept_lines(found)
        except Stopped:
            return Scores(kept.sheet, (STOPPED,), tuple(kept_lines(found)))
        finally:
            kept.save()
            models.close()
        scores = Scores(kept.sheet, harness=tuple(lines))
        kept.sheet.figures = scores.figures()
        kept.save()
    return scores


def kept_scores(run: Run) -> list[Scores]:
    """What was found before, the newest first; files that can't be read are passed over."""
    found, lines = list[Scores](), tuple(kept_lines(run))
    for file in kept_sheets(run.score_folder):
        with contextlib.suppress(RunError):
            sheet = read_sheet(file)
            notes = (OTHER_WEIGHTS,) if _is_of_others(run, sheet) else ()
            found.append(Scores(sheet, notes, lines))
    return found


def _is_of_others(run: Run, sheet: Sheet) -> bool:
    tuned = sheet.columns.get(TUNED)
    if tuned is None or not run.adapter.exists():
        return False
    return tuned.identity != identity_of(run.adapter)


def _sheet(
    run: Run,
    source: Source,
    rows: Scorable,
    reader: Reader,
    max_tokens: int | None,
    seed: int,
) -> Sheet:
    """The rows without a column."""
    told = [
        ScoredRow(line=line, prompt=question_of(row), reference=reference_of(row))
        for line, row in rows.rows
    ]
    settings = {
        "model": model_of(run),
        "max_tokens": max_tokens or reader.room(row.reference for row in told),
        "max_seq_length": reader.longest,
        "train_on_inputs": reader.inputs,
        "seed": seed,
    }
    return Sheet(
        run=run.id,
        file=str(source.rows.path),
        sha256=source.sha256,
        settings=settings,
        rows=told,
        notes=source.notes,
        refused=rows.notes,
    )
