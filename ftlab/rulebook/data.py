"""What the scanned data and the spec say to each other: formats and lengths."""

from __future__ import annotations

from collections.abc import Iterator

from ftlab.data.report import DataReport
from ftlab.issues import Issue
from ftlab.limits import Limits
from ftlab.rulebook.registry import WHO, advice, error, rule
from ftlab.spec import ENGINES, LOCAL, JobSpec

TRUNCATED_SHARE = 0.01
LONG_ROWS = {"truncate": "are cut", "drop": "are left out", "stop": "keep the run from starting"}


@rule(
    report=DataReport(
        path="t.jsonl", n_rows=3, issues=(Issue("error", "line 2", blocks=("local", "together")),)
    )
)
def data_is_accepted(spec: JobSpec, limits: Limits, report: DataReport | None) -> Iterator[Issue]:
    """What keeps an engine from reading the data keeps it from training."""
    yield from refused_data("training_file", report)


def refused_data(
    field: str, report: DataReport | None, like: DataReport | None = None
) -> Iterator[Issue]:
    """What keeps an engine from reading the file of a field, or from using it beside `like`."""
    if report is None:
        return
    kind = field.removesuffix("_file")
    for engine in ENGINES:
        # What is wrong with the model is said of the model.
        refused = [i for i in report.issues if engine in i.blocks and i.where != "model"]
        if refused and not report.n_rows:  # no row is at fault: there is no file, or nothing in it
            yield error(field, refused[0].message, (engine,))
        elif refused:
            where = WHO[engine]
            others = len(refused) - 1
            kinds = "One more kind of fault is" if others == 1 else f"{others} more kinds are"
            more = f" {kinds} in it." if others else ""
            yield error(
                field,
                f"The {kind} file has rows that {where} refuses ({refused[0].message}){more} "
                "Correct those rows; a scan lists them.",
                (engine,),
            )
    if like is not None and like.format and report.format and like.format != report.format:
        yield error(
            field,
            f"The rows of the {kind} file are of format {report.format}, and those to train on of "
            f"format {like.format}; both must be of one. Give a file in that format.",
        )


@rule(report=DataReport(path="t.jsonl", n_rows=9, format="preference"))
def method_fits_the_data(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """DPO compares two answers; SFT learns one."""
    if report is None or report.format is None:
        return
    if spec.training_method == "dpo" and report.format != "preference":
        yield error(
            "training_method",
            f"training_method is dpo and the rows are of format {report.format}; DPO takes "
            "preference rows. Use sft, or give a file with preferred and other outputs.",
            fix={"training_method": "sft"},
        )
    if spec.training_method == "sft" and report.format == "preference":
        yield error(
            "training_method",
            "training_method is sft and the rows are preferences; SFT takes messages, prompt and "
            "completion, or text. Use dpo, or give a file with one answer per row.",
            fix={"training_method": "dpo"},
        )


@rule(train_on_inputs=False, report=DataReport(path="t.jsonl", n_rows=9, format="general"))
def plain_text_has_no_prompt(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """Rows of plain text have no answer that could train alone."""
    if spec.train_on_inputs is False and report is not None and report.format == "general":
        yield error(
            "train_on_inputs",
            "train_on_inputs is False and the rows are plain text; there is no answer to tell from "
            "a prompt. Use auto, or write the rows as prompt and completion.",
            fix={"train_on_inputs": "auto"},
        )


@rule(
    max_seq_length=64,
    report=DataReport.model_validate(
        {"path": "t.jsonl", "n_rows": 2, "tokens": {"lengths": {100: 2}, "by_role": {}}}
    ),
)
def rows_fit_the_length(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """Rows above max_seq_length lose their end, or are not trained at all."""
    most = limits.longest_sequence(spec.training_method)
    length = spec.max_seq_length or most
    if report is None or report.tokens is None or length is None:
        return
    longer, longest = report.tokens.n_longer(length), report.tokens.longest
    share = longer / max(report.tokens.n_sequences, 1)
    if share <= TRUNCATED_SHARE:
        return
    can_raise = spec.max_seq_length is not None and (most is None or longest <= most)
    text = (
        f"{'max_seq_length is' if spec.max_seq_length else 'the model takes at most'} {length:,}; "
        f"{longer:,} rows ({share:.0%}) are longer and {LONG_ROWS[spec.over_length]}. "
        f"The longest has {longest:,} tokens. "
        f"{'Raise max_seq_length, or shorten the rows.' if can_raise else 'Shorten the rows.'}"
    )
    fix = {"max_seq_length": longest} if can_raise else None
    if spec.over_length == "stop":
        yield error("max_seq_length", text, LOCAL, fix=fix)
    else:
        yield advice("warning", "max_seq_length", text, fix=fix)
