"""What the models are asked of each row: its prompt as text, and its sequences as training has
them; with examples before it, as many as fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from ftlab.answers import model_of
from ftlab.data.chat import Tokens, tokenise
from ftlab.data.formats import row_problems
from ftlab.data.problems import refused_by
from ftlab.data.template import CannotRender
from ftlab.data.tokens import Tokenizer, load_tokenizer
from ftlab.errors import RunError
from ftlab.html import counted
from ftlab.models import fetch, read_info
from ftlab.run import Run
from ftlab.scores.asking import Task, Trained
from ftlab.scores.rows import Row, Source, prompt_of, readable
from ftlab.scores.shots import Shots, with_examples

LEAST_TOKENS, MOST_TOKENS = 32, 512
ROOM = 1.5
"""Tokens that an answer may take, as a multiple of the longest reference."""
CONTEXT = 4096
"""Tokens, where a model does not tell its context."""


class Reader(NamedTuple):
    """How a run's rows become text and tokens."""

    tokenizer: Tokenizer
    now: datetime
    """What a template that writes the date will write: as in training, when the job was made."""
    inputs: bool | str
    longest: int
    """Tokens at which training cuts a row."""
    context: int

    @classmethod
    def of(cls, run: Run) -> Reader:
        model, spec = model_of(run), run.job.spec
        folder = fetch(model, weights=False)
        context = read_info(str(folder)).context_length or CONTEXT
        return cls(
            tokenizer=load_tokenizer(folder),
            now=run.job.created_at.astimezone(),
            inputs=spec.train_on_inputs or "auto",
            longest=spec.max_seq_length or context,
            context=context,
        )

    def room(self, references: Iterable[str | None]) -> int:
        """Tokens that answers may take."""
        longest = max((self._length(text) for text in references if text), default=0)
        return min(max(round(ROOM * longest), LEAST_TOKENS), MOST_TOKENS, self.context // 2)

    def task(self, place: int, row: Row, shown: Row) -> Task:
        """What is asked of a row that is shown with examples before it, or as it is. Raises
        CannotRender."""
        prompt = prompt_of(shown, self.tokenizer, self.now)
        text = None if prompt is None else prompt.text
        return Task(
            place,
            text,
            is_plain=prompt is not None and prompt.is_plain,
            n_tokens=0 if text is None else self._length(text),
            sequences=self._sequences(row, shown),
        )

    def _sequences(self, row: Row, shown: Row) -> list[Trained]:
        """Cut where training cuts the row; what stands before it does not count."""
        own = self._tokens(row)
        if shown is row:
            return [_trained(one.cut(self.longest)) for one in own]
        if self.inputs is True:
            return []  # the examples would count too
        pairs = zip(own, self._tokens(shown), strict=True)
        return [_trained(long.cut(self.longest + len(long.ids) - len(o.ids))) for o, long in pairs]

    def _tokens(self, row: Row) -> Sequence[Tokens]:
        return tokenise(row, self.tokenizer, self.inputs, now=self.now)

    def _length(self, text: str) -> int:
        return len(self.tokenizer.encode(text)[0])


def _trained(tokens: Tokens) -> Trained:
    return Trained(tokens.ids, tokens.labels)


class Scorable(NamedTuple):
    """The rows that can be scored, and what is to be said of the others."""

    rows: list[tuple[int, Row]]
    """(line, row)."""
    tasks: list[Task]
    """Of each as it is."""
    notes: list[str]


def scorable(source: Source, reader: Reader) -> Scorable:
    """Rows that training would take. Raises RunError where there are none."""
    found, refused = Scorable([], [], []), list[tuple[int, str]]()
    for line, row in readable(source):
        try:
            if why := row if isinstance(row, str) else _refusal(row):
                raise CannotRender(why)
            assert not isinstance(row, str)
            found.tasks.append(reader.task(len(found.tasks), row, row))
            found.rows.append((line, row))
        except CannotRender as exc:
            refused.append((line, str(exc)))
    if refused:
        line, why = refused[0]
        rows = counted(len(refused), "row")
        found.notes.append(f"{rows} can't be scored, the first on line {line:,}: {why}")
    if not found.rows:
        raise RunError(f"{source.rows.path.name}: {found.notes[0]}")
    return found


def _refusal(row: Row) -> str:
    found = row_problems(dict(row))
    return next((one.message for one in found if refused_by("local", [one])), "")


class Shown(NamedTuple):
    """What is asked where examples stand before the rows."""

    tasks: list[Task]
    notes: list[str]


def with_shots(
    rows: Sequence[tuple[int, Row]], reader: Reader, max_tokens: int, shots: Shots
) -> Shown:
    """Each row with as many examples before it as fit in the model's context."""
    tasks, used = list[Task](), Counter[int]()
    for place, (line, row) in enumerate(rows):
        examples = shots.before(line, row)
        while not _fits(
            task := reader.task(place, row, with_examples(row, examples)), reader, max_tokens
        ):
            if not examples:
                break
            examples = examples[1:]
        tasks.append(task)
        used[len(examples)] += 1
    fewer = used.total() - used[shots.n]
    if not fewer:
        return Shown(tasks, [])
    text = (
        f"{counted(fewer, 'row')} stand behind fewer than {counted(shots.n, 'example')} "
        f"({min(used):,} at least); prompt and answer must fit in {reader.context:,} tokens, and "
        "examples must ask something else than the row. Take fewer examples."
    )
    return Shown(tasks, [text])


def _fits(task: Task, reader: Reader, max_tokens: int) -> bool:
    longest = max((len(one.ids) for one in task.sequences), default=0)
    return max(task.n_tokens + max_tokens, longest) <= reader.context
