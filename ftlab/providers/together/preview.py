"""check_template(): whether the service makes the same tokens of rows as ftlab, and trains on the
same ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import SecretStr

from ftlab.data.asked import find_tokenizer
from ftlab.data.chat import IGNORED, tokenise
from ftlab.data.report import DataReport, scan
from ftlab.data.rows import BOM, BadLine, is_blank, iter_lines, parse_line
from ftlab.data.template import CannotRender
from ftlab.data.tokens import Tokenizer
from ftlab.errors import InvalidSpec, ServiceError
from ftlab.exchange.code import UPLOADED
from ftlab.files import existing
from ftlab.html import Issues, counted
from ftlab.issues import Issue, shown
from ftlab.providers.together.account import secret
from ftlab.providers.together.asked import is_there
from ftlab.providers.together.files import problem, upload, wait_until_checked
from ftlab.providers.together.jobs import JOBS
from ftlab.spec import JobSpec, parse

if TYPE_CHECKING:
    from ftlab.providers.together.client import Client

PREVIEW = f"{JOBS}/preview"
N_ROWS = 10
MOST_IDS = 2**31
UPDATE = (
    "the tuned model must be asked in the form in which it was trained. Update the model's files "
    "here, or go by the service's figures and ask the model there."
)
SAME = (
    "Together makes the same tokens of the first rows as ftlab does, and trains on the same ones."
)
SAY_WHICH = (
    "both must train on the same. Set train_on_inputs to True or False, or go by the service's "
    "figures."
)


class Difference(NamedTuple):
    """Where two readings of a row part."""

    place: int
    """The token, from 1."""
    theirs: int | None
    """The service's id; None where its row has ended."""
    ours: int | None
    trains_there: bool | None = None
    """Set where the ids are the same, and only one of both trains on it."""


def check_template(
    spec: JobSpec | Mapping[str, Any],
    *,
    report: DataReport | None = None,
    key: str | SecretStr | None = None,
    base_url: str | None = None,
    n_rows: int = N_ROWS,
    told: Callable[[float], Any] = lambda _: None,
) -> Issues:
    """How the first rows of a job's training file differ at the hosted service from what ftlab
    makes of them: an issue names the first token that is another, or trains on one side alone.

    The file is uploaded to the account unless it is there; of one that is given by its id there,
    the first rows are read. Nothing is started and nothing is billed. `told` hears the share that
    is sent. Raises InvalidSpec for a job without a model or a file, and ServiceError.
    """
    from ftlab.providers.together.beginnings import first_lines
    from ftlab.providers.together.client import Client

    key = secret(key)  # so that no traceback shows it
    given, wrong = parse(spec)
    file = given.training_file or ""
    path = existing(file) or Path(file)
    is_id = UPLOADED.fullmatch(file) is not None
    of_file = None if is_id else problem(path, "training_file")
    wrong += [issue for issue in (of_file, _of_model(given)) if issue]
    if wrong:
        raise InvalidSpec(wrong)
    tokenizer, missing = find_tokenizer(given.model)
    if tokenizer is None:
        why = missing[0].message.removeprefix("Tokens were not counted: ")
        return Issues([_not_compared(f"The rows were not compared: {why}", "model")])
    with Client(key, base_url) as client:
        if is_id:
            wait_until_checked(client, file, file, "training_file")
            with first_lines(client, file) as path:
                found = differences(client, given, file, path, tokenizer, n_rows, name=file)
            return Issues(found)
        known = report if report is not None and report.is_of(str(path)) else scan(path)
        file_id = upload(client, path, known.sha256, told)
        wait_until_checked(client, file_id, path.name, "training_file")
        return Issues(differences(client, given, file_id, path, tokenizer, n_rows))


def _of_model(spec: JobSpec) -> Issue | None:
    """The service has nothing of this machine, and need not hear how it is called here."""
    if spec.model and is_there(spec):
        return None
    text = (
        f"model is {shown(spec.model)}; the service has the models of its list. Name one, such as "
        "Qwen/Qwen3-8B."
    )
    return Issue("error", text, "not_hosted", "model", blocks=("together",))


def differences(
    client: Client,
    spec: JobSpec,
    file_id: str,
    path: Path,
    tokenizer: Tokenizer,
    n_rows: int,
    *,
    name: str | None = None,
) -> list[Issue]:
    """Issues about the first rows of a file that the service has under that id; `name` is how a
    person calls it."""
    if spec.training_method != "sft" or path.suffix != ".jsonl":
        text = (
            "The rows were not compared: the service shows the tokens of JSONL files for "
            'training_method "sft" alone. Compare such a file, or go by the service\'s figures.'
        )
        return [Issue("tip", text, "not_compared", "training_file")]
    rows = _previewed(client, spec, file_id, n_rows)
    found, n_compared = dict[int, Difference](), 0
    for (line, row), theirs in zip(_first_rows(path, n_rows), rows, strict=False):
        try:
            ours, *_ = tokenise(row, tokenizer, spec.train_on_inputs or "auto")
        except CannotRender:
            continue  # the scan says why
        n_compared += 1
        if apart := first_difference(ours.ids, ours.labels, theirs):
            found[line] = apart
    if not n_compared:
        text = (
            f"No row was compared: the service showed {len(rows)}, and of those ftlab could read "
            "none. Look at the first rows in the Data tab, or with ftlab scan."
        )
        return [_not_compared(text, "training_file")]
    return list(_issues(found, name or path.name, tokenizer))


def _not_compared(text: str, where: str) -> Issue:
    return Issue("warning", text, "not_compared", where)


def first_difference(
    ids: Sequence[int], labels: Sequence[int], theirs: Mapping[str, Any]
) -> Difference | None:
    """Where the service's row is another than ours; None where it is the same."""
    their_ids, their_labels = theirs["input_ids"], theirs["labels"]
    n = len(their_ids) if theirs.get("truncated") is True else max(len(ids), len(their_ids))
    for at in range(n):
        ours = ids[at] if at < len(ids) else None
        other = their_ids[at] if at < len(their_ids) else None
        if ours != other:
            return Difference(at + 1, other, ours)
        there = their_labels[at] != IGNORED
        if at and there != (labels[at] != IGNORED):  # the first token is never predicted
            return Difference(at + 1, other, ours, there)
    return None


def _previewed(
    client: Client, spec: JobSpec, file_id: str, n_rows: int
) -> Sequence[Mapping[str, Any]]:
    asked: dict[str, Any] = {
        "model": spec.model,
        "training_file": file_id,
        "top_k": n_rows,
        "training_method": "sft",
    }
    if isinstance(spec.train_on_inputs, bool):
        asked["train_on_inputs"] = spec.train_on_inputs
    doing = "the tokens of rows were asked for"
    rows = client.json("POST", PREVIEW, doing, json=asked).get("rows")
    if isinstance(rows, list) and all(map(_is_row, rows)):
        return rows
    raise ServiceError(
        f"Together's reply when {doing} can't be understood; each row has input_ids and labels, "
        "one for each token. Ask again later."
    )


def _is_row(row: object) -> bool:
    if not isinstance(row, dict):
        return False
    ids, labels = row.get("input_ids"), row.get("labels")
    if not isinstance(ids, list) or not isinstance(labels, list) or len(ids) != len(labels):
        return False
    return all(type(one) is int for one in (*ids, *labels))


def _first_rows(path: Path, n_rows: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line, row) of the file's first rows; ends at a line that is none."""
    for number, line in iter_lines(path):
        line = line.removeprefix(BOM if number == 1 else b"")
        if is_blank(line):
            continue
        if n_rows == 0:
            return
        try:
            yield number, parse_line(line)
        except BadLine:
            return
        n_rows -= 1


def _issues(found: Mapping[int, Difference], name: str, tokenizer: Tokenizer) -> Iterator[Issue]:
    """One for tokens, one for what trains; each tells the first row and the lines of all."""
    for by_labels, code, where in (
        (False, "tokens_differ", "model"),
        (True, "labels_differ", "train_on_inputs"),
    ):
        lines = [n for n, apart in found.items() if (apart.trains_there is not None) == by_labels]
        if lines:
            text = _in_words(found[lines[0]], f"{name} line {lines[0]}", tokenizer)
            more = f" Also in {counted(len(lines) - 1, 'more row')}." if len(lines) > 1 else ""
            kept = tuple(lines)
            yield Issue("warning", text + more, code, where, lines=kept, count=len(lines))


def _in_words(apart: Difference, row: str, tokenizer: Tokenizer) -> str:
    theirs, ours = (_named(one, tokenizer) for one in (apart.theirs, apart.ours))
    if apart.trains_there is None:
        return f"{row}, token {apart.place}: Together has {theirs}, ftlab {ours}; {UPDATE}"
    trains, other = ("Together", "ftlab") if apart.trains_there else ("ftlab", "Together")
    return f"{row}, token {apart.place}: {trains} trains on {ours}, {other} does not; {SAY_WHICH}"


def _named(token: int | None, tokenizer: Tokenizer) -> str:
    if token is None:
        return "the end of the row"
    if not 0 <= token < MOST_IDS:
        return f"id {shown(token)}, which no model has"
    return f"{shown(tokenizer.decode([token]))} (id {token})"
