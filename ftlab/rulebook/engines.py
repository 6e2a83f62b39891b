"""What an engine honours; the rest is said, never dropped."""

from __future__ import annotations

from collections.abc import Iterator

from ftlab.data.report import DataReport
from ftlab.issues import Issue, shown
from ftlab.limits import Limits
from ftlab.rulebook.registry import WHO, WHOSE, advice, error, is_set, rule
from ftlab.spec import ENGINES, HOSTED, KNOBS, LOCAL, JobSpec


@rule(validation_split=0.1, neftune_noise_alpha=5.0)
def field_is_honoured(spec: JobSpec, limits: Limits, report: DataReport | None) -> Iterator[Issue]:
    """A field that an engine can't honour is said, never dropped."""
    given = spec.model_fields_set
    for name, knob in KNOBS.items():
        if len(knob.providers) == len(ENGINES) or name not in given or not is_set(spec, name):
            continue
        for engine in ENGINES:
            if engine not in knob.providers:
                yield error(
                    name,
                    f"{name} is {shown(getattr(spec, name))}; {WHO[engine]} has no such setting. "
                    f"Leave it out for {WHOSE[engine]}.",
                    (engine,),
                    fix={name: None},
                )


LOW_BITS = {"quantization": ("nf4", "int8"), "optimizer": ("adamw_8bit",)}
"""Values that bitsandbytes is needed for."""


@rule(limits=Limits(no_low_bits="it takes an NVIDIA GPU"), optimizer="adamw_8bit")
def low_bits_are_possible(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """Not every machine computes with numbers of 8 or 4 bits."""
    for name, values in LOW_BITS.items():
        if limits.no_low_bits and getattr(spec, name) in values:
            yield error(
                name,
                f"{name} is {shown(getattr(spec, name))}; {limits.no_low_bits}. "
                "Leave it out, or train on a machine that has it.",
                LOCAL,
                fix={name: None},
            )


@rule(packing=True, training_method="dpo")
def pairs_are_not_packed(
    spec: JobSpec, limits: Limits, report: DataReport | None
) -> Iterator[Issue]:
    """A pack is one sequence of several rows; a pair is two."""
    if spec.packing and spec.training_method == "dpo":
        yield error(
            "packing",
            f"packing is True and training_method is dpo; {WHO['local']} packs rows with one "
            "answer, not pairs. Leave packing out.",
            LOCAL,
            fix={"packing": None},
        )


@rule(packing=True, report=DataReport(path="t.jsonl", n_rows=9))
def packs_have_a_size(spec: JobSpec, limits: Limits, report: DataReport | None) -> Iterator[Issue]:
    """Left out, max_seq_length is that of the longest row, where that is known."""
    if not spec.packing or spec.max_seq_length or report is None or report.sizes is not None:
        return
    yield error(
        "max_seq_length",
        f"packing is True, max_seq_length is left out and the tokens of the rows are not counted; "
        f"{WHO['local']} fills packs up to max_seq_length. Give max_seq_length, or a model whose "
        "tokenizer is here.",
        LOCAL,
    )


@rule(lr_scheduler_type="wsd")
def hosted_schedules(spec: JobSpec, limits: Limits, report: DataReport | None) -> Iterator[Issue]:
    """The service knows two schedules, and takes any other word for linear."""
    if spec.lr_scheduler_type not in ("cosine", "linear"):
        yield error(
            "lr_scheduler_type",
            f"lr_scheduler_type is {spec.lr_scheduler_type}; hosted jobs take cosine or linear. "
            "Use cosine.",
            HOSTED,
            fix={"lr_scheduler_type": "cosine"},
        )


@rule(packing=False)
def padding_is_billed(spec: JobSpec, limits: Limits, report: DataReport | None) -> Iterator[Issue]:
    """Without packing a hosted job pays for rows × max_seq_length (docs.together.ai, 2026-08)."""
    if spec.packing is not False:
        return
    longest = spec.max_seq_length or limits.longest_sequence(spec.training_method)
    here = ""
    if report is not None and report.tokens is not None and longest:
        billed = report.tokens.n_sequences * longest
        here = f", here {billed:,} tokens per epoch instead of {report.tokens.total:,}"
    yield advice(
        "warning",
        "packing",
        f"packing is False; a hosted job is then billed for all rows as if each had max_seq_length "
        f"tokens{here}. Leave packing on, or lower max_seq_length.",
        fix={"packing": None},
    )
