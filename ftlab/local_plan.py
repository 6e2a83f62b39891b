"""What the embedded trainer will do with a job on a device: the ground of every estimate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

from ftlab.advice import held_back_rows
from ftlab.data.report import DataReport
from ftlab.data.stats import TokenStats
from ftlab.data_sizes import data_sizes
from ftlab.devices import Device, detect
from ftlab.job import LocalOptions
from ftlab.measured import settings
from ftlab.memory import FLOAT, LINEARS, Decoder, Parts, Setup, divided, memory
from ftlab.model_files import ModelInfo
from ftlab.number_formats import is_faster, shape_of
from ftlab.pieces import GRADIENTS, PIECE_TOKENS, Piece, StepRows, largest_piece
from ftlab.rulebook.shares import undivided
from ftlab.spec import JobSpec, may_mean, means, module_names


@dataclass(frozen=True)
class LocalPlan:
    """A resolved job on a device, as far as memory and time depend on it."""

    device: Device
    decoder: Decoder
    setup: Setup
    rows: StepRows
    n_steps: int | None = None
    """None is unknown."""
    validation: StepRows | None = None
    """The rows of an evaluation, which takes all at once; None when nothing is evaluated."""
    n_processes: int = 1
    """That share the rows of a step; `rows` are those of one."""
    is_sharded: bool = False
    """Whether they divide the model."""
    is_divisible: bool = True
    """Whether they could."""

    @cached_property
    def largest(self) -> Piece:
        """The piece that takes most memory."""
        return largest_piece(self.rows, self.n_steps or 1)

    @property
    def evaluated(self) -> Piece | None:
        """The largest piece of an evaluation."""
        return None if self.validation is None else largest_piece(self.validation)

    @cached_property
    def alone(self) -> Parts:
        """What one process with its share has in memory when it is most, as a probe measures it."""
        return memory(self.decoder, self.setup, self.largest, self.evaluated)

    @cached_property
    def parts(self) -> Parts:
        """The same of all processes on the device, which sum their gradients."""
        n = self.n_processes
        if n == 1:
            return self.alone
        each = self.alone
        if self.is_sharded:
            each = divided(each, self.decoder, self.setup, n)
        if not (self.is_sharded and self.setup.is_full):
            summed = FLOAT * min(self.setup.trained, GRADIENTS)
            each = replace(each, gradients=each.gradients + summed)
        return each.times(self.n_processes if self.setup.kind == "cpu" else 1)

    @property
    def may_be_sharded(self) -> bool:
        """Whether dividing the model is left to do, and can be done."""
        return self.n_processes > 1 and self.is_divisible and not self.is_sharded

    @property
    def n_devices(self) -> int:
        """That work at the same time, each on its share; processes on a CPU gain nothing."""
        return 1 if self.setup.kind == "cpu" else self.n_processes

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What a measurement of this holds for."""
        setup = {**asdict(self.setup), "modules": sorted(self.setup.modules)}
        rows = {
            "per_step": self.rows.per_step,
            "per_piece": self.rows.max_rows,
            "longest": max(self.rows.lengths, default=0),
            "tokens": round(self.rows.tokens, -1),  # a row more or less makes no other job
            "shared": self.rows.shared,
        }
        return settings(self.device, asdict(self.decoder), setup, rows)

    def changed(
        self,
        *,
        micro_batch_size: int | None = None,
        gradient_checkpointing: bool | None = None,
        shard: bool | None = None,
        max_seq_length: int | None = None,
    ) -> LocalPlan:
        """The same job with other settings; None changes nothing."""
        found = self
        if gradient_checkpointing is not None:
            found = replace(found, setup=replace(self.setup, checkpointing=gradient_checkpointing))
        if shard is not None:
            found = replace(found, is_sharded=shard)
        if micro_batch_size is not None:
            found = found._with_rows(lambda rows: replace(rows, max_rows=micro_batch_size))
        if max_seq_length is not None:
            found = found._with_rows(
                lambda rows: replace(rows, lengths=_cut(rows.lengths, max_seq_length))
            )
        return found

    def _with_rows(self, change: Callable[[StepRows], StepRows]) -> LocalPlan:
        validation = None if self.validation is None else change(self.validation)
        return replace(self, rows=change(self.rows), validation=validation)


def local_plan(
    spec: JobSpec,
    info: ModelInfo,
    device: Device,
    options: LocalOptions,
    report: DataReport | None = None,
    validation: DataReport | None = None,
) -> LocalPlan | None:
    """From a resolved spec; None when the model's shape or its adapter is unknown."""
    decoder, trained = Decoder.of(info), trained_params(spec, info)
    if decoder is None or trained is None:
        return None
    kind = device.name.partition(":")[0]
    setup = Setup(
        trained=trained,
        modules=_modules(spec, info),
        rank=spec.lora_r or 0,
        dora=spec.use_dora,
        dropout=spec.lora_dropout > 0,
        value_bytes=value_bytes(options, kind, info),
        kind=kind,
        checkpointing=bool(options.gradient_checkpointing),
        trained_share=_trained_share(spec, report),
        optimizer=spec.optimizer,
        quantization=spec.quantization,
    )
    sizes = data_sizes(spec, report, validation)
    rows = _rows(spec, options, report, sizes.rows_per_step, options.n_gpus)
    held_out = _validation(spec, options, report, validation)
    n, is_sharded = options.n_gpus, bool(options.shard) and options.n_gpus > 1
    is_divisible = undivided(spec, dtype_of(options, device)) is None
    return LocalPlan(
        device, decoder, setup, rows, sizes.n_steps, held_out, n, is_sharded, is_divisible
    )


def device_of(options: LocalOptions) -> Device:
    """The one that the options name, or the best there is."""
    known = detect()
    return next((device for device in known if device.name == options.device), known[0])


def dtype_of(options: LocalOptions, device: Device) -> str:
    """What a GPU computes in; "auto" elsewhere, where the trainer measures."""
    if options.dtype != "auto" or not device.name.startswith("cuda"):
        return options.dtype
    return "bfloat16" if device.has_bfloat16 else "float16"


def value_bytes(options: LocalOptions, kind: str, info: ModelInfo) -> int:
    """Bytes of a frozen weight; with "auto" as the trainer chooses, as far as that is known: on a
    CPU it measures when it first has a model of that width."""
    if options.dtype != "auto":
        return 4 if options.dtype == "float32" else 2
    shape = shape_of(info)
    halves = kind == "cuda" or (kind == "cpu" and shape is not None and is_faster(shape))
    return 2 if halves else 4


def trained_params(spec: JobSpec, info: ModelInfo) -> int | None:
    """Parameters that train: all of them, or rank × (inputs + outputs) over the adapter's layers.

    DoRA adds one per output. None when the model's layers are unknown.
    """
    if spec.lora is False:
        return info.n_params
    if not info.lora_params_per_rank or spec.lora_r is None:
        return None
    chosen = _chosen(spec, info)
    count = spec.lora_r * sum(info.lora_params_per_rank[name] for name in chosen)
    decoder = Decoder.of(info)
    if spec.use_dora and decoder is not None:
        count += decoder.n_layers * sum(
            decoder.linears[name][1] for name in chosen & decoder.linears.keys()
        )
    return count


def _chosen(spec: JobSpec, info: ModelInfo) -> set[str]:
    """Names of the layers that get an adapter."""
    wanted, excluded = module_names(spec.lora_trainable_modules), spec.lora_exclude_modules
    return {
        name
        for name in info.lora_params_per_rank
        if (wanted == ("all-linear",) or any(may_mean(one, name) for one in wanted))
        and not any(means(one, name) for one in excluded)
    }


def _modules(spec: JobSpec, info: ModelInfo) -> frozenset[str]:
    """The same by Llama's names; all of them for a family that calls its layers otherwise."""
    if spec.lora is False:
        return frozenset()
    return frozenset(_chosen(spec, info) & {*LINEARS}) or frozenset(LINEARS)


def _rows(
    spec: JobSpec,
    options: LocalOptions,
    report: DataReport | None,
    per_step: float,
    n_shares: int = 1,
) -> StepRows:
    """The first of so many shares of a step's rows; of the longest length that is allowed while
    the data is unknown."""
    tokens = report.sizes if report is not None else None
    if tokens is None or not tokens.lengths:
        lengths: Mapping[int, int] = dict.fromkeys([spec.max_seq_length or PIECE_TOKENS], 1)
    else:
        lengths = _cut(tokens.lengths, spec.max_seq_length)
    return StepRows(
        lengths,
        max(round(per_step / n_shares), 1),
        options.micro_batch_size,
        2 if spec.training_method == "dpo" else 1,
        _shared(spec, tokens),
        longest_of=max(round(per_step), 1),
    )


def _shared(spec: JobSpec, tokens: TokenStats | None) -> float:
    """Of all tokens, the second copies of what both answers of a pair follow, rounded: a row more
    or less makes no other job."""
    if spec.training_method != "dpo" or tokens is None:
        return 0.0
    starts = _cut(tokens.first_trained, spec.max_seq_length)
    asked = sum(place * n for place, n in starts.items())
    return round(asked / 2 / max(tokens.total_within(spec.max_seq_length), 1), 2)


def _trained_share(spec: JobSpec, report: DataReport | None) -> float:
    """Of the tokens that go through the model, rounded as well."""
    if report is None or report.tokens is None or not report.tokens.lengths:
        return 1.0
    share = report.loss_tokens / max(report.tokens.total, 1)
    return round(min(share / (1 - _shared(spec, report.tokens)), 1.0), 2)


def _validation(
    spec: JobSpec,
    options: LocalOptions,
    report: DataReport | None,
    validation: DataReport | None,
) -> StepRows | None:
    """All rows of an evaluation as one step."""
    held_out = validation if spec.validation_file else report
    if held_out is None or held_out.sizes is None or not held_out.sizes.lengths:
        return None
    n_rows = held_out.n_rows if spec.validation_file else held_back_rows(spec, held_out)
    return _rows(spec, options, held_out, n_rows) if n_rows else None


def _cut(lengths: Mapping[int, int], longest: int | None) -> Mapping[int, int]:
    """Lengths as the trainer cuts them."""
    if longest is None or longest >= max(lengths, default=0):
        return lengths
    found: dict[int, int] = {}
    for length, n in lengths.items():
        kept = min(length, longest)
        found[kept] = found.get(kept, 0) + n
    return found
