"""What the embedded trainer will do with a job on a device: the ground of every estimate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

from ftlab.data.report import DataReport
from ftlab.data.stats import TokenStats
from ftlab.devices import Device
from ftlab.job import LocalOptions
from ftlab.measured import settings
from ftlab.memory import LINEARS, Decoder, Parts, Setup, memory
from ftlab.model_files import ModelInfo
from ftlab.number_formats import is_faster, shape_of
from ftlab.pieces import PIECE_TOKENS, Piece, largest_pieces
from ftlab.spec import JobSpec, may_mean, means, module_names
from ftlab.timing import Typical


@dataclass(frozen=True)
class LocalPlan:
    """A resolved job on a device, as far as memory and time depend on it."""

    device: Device
    decoder: Decoder
    setup: Setup
    rows: Typical
    micro_batch_size: int | None = None
    validation: Mapping[int, int] = field(default_factory=dict)
    """Length → validation rows; empty when nothing is evaluated."""

    @cached_property
    def pieces(self) -> list[Piece]:
        """Those that may take most memory."""
        return largest_pieces(self.rows.lengths, self.rows.rows, self.micro_batch_size)

    @property
    def evaluated(self) -> Piece | None:
        """The largest piece of an evaluation, which takes all rows at once."""
        n_rows = max(sum(self.validation.values()), 1)
        found = largest_pieces(self.validation, n_rows, self.micro_batch_size)
        return max(found, key=lambda piece: piece.tokens, default=None)

    @cached_property
    def parts(self) -> Parts:
        """What is in memory when it is most."""
        return memory(self.decoder, self.setup, self.pieces, self.evaluated)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What a measurement of this holds for."""
        setup = {**asdict(self.setup), "modules": sorted(self.setup.modules)}
        rows = {
            "pieces": [[piece.rows, piece.length, round(piece.filled, 2)] for piece in self.pieces],
            "per_step": self.rows.rows,
        }
        return settings(self.device, asdict(self.decoder), setup, rows)

    def changed(
        self,
        *,
        micro_batch_size: int | None = None,
        gradient_checkpointing: bool | None = None,
        max_seq_length: int | None = None,
    ) -> LocalPlan:
        """The same job with other settings; None changes nothing."""
        found = self
        if micro_batch_size is not None:
            rows = replace(self.rows, max_rows=micro_batch_size)
            found = replace(found, micro_batch_size=micro_batch_size, rows=rows)
        if gradient_checkpointing is not None:
            found = replace(found, setup=replace(self.setup, checkpointing=gradient_checkpointing))
        if max_seq_length is not None:
            rows = replace(found.rows, lengths=_cut(found.rows.lengths, max_seq_length))
            found = replace(found, rows=rows, validation=_cut(self.validation, max_seq_length))
        return found


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
        checkpointing=options.gradient_checkpointing,
        trained_share=_trained_share(report),
        optimizer=spec.optimizer,
        quantization=spec.quantization,
        method=spec.training_method,
    )
    rows, measured = _rows(spec, options, report), _validation(spec, report, validation)
    held_out = _cut(measured.lengths, spec.max_seq_length) if measured else {}
    return LocalPlan(device, decoder, setup, rows, options.micro_batch_size, held_out)


def value_bytes(options: LocalOptions, kind: str, info: ModelInfo) -> int:
    """Bytes of a frozen weight; with "auto" as the trainer chooses, as far as that is known: on a
    CPU it measures when it first has a model of that width."""
    if options.dtype != "auto":
        return 4 if options.dtype == "float32" else 2
    shape = shape_of(info)
    halves = kind != "cpu" or (shape is not None and is_faster(shape))
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


def _rows(spec: JobSpec, options: LocalOptions, report: DataReport | None) -> Typical:
    """The rows of a step; of the longest length that is allowed while the data is unknown."""
    per_step = int(spec.batch_size) * (spec.gradient_accumulation_steps or 1)
    tokens = report.sizes if report is not None else None
    if tokens is None or not tokens.lengths:
        lengths = {spec.max_seq_length or PIECE_TOKENS: 1}
        return Typical(lengths, per_step, options.micro_batch_size)
    lengths = _cut(tokens.lengths, spec.max_seq_length)
    return Typical(lengths, per_step, options.micro_batch_size)


def _trained_share(report: DataReport | None) -> float:
    """Of the tokens of the file, rounded: a row more or less makes no other job."""
    if report is None or report.tokens is None or not report.tokens.lengths:
        return 1.0
    return round(min(report.loss_tokens / max(report.tokens.total, 1), 1.0), 2)


def _validation(
    spec: JobSpec, report: DataReport | None, validation: DataReport | None
) -> TokenStats | None:
    if spec.validation_file:
        return validation.sizes if validation is not None else None
    return report.sizes if spec.validation_split and report is not None else None


def _cut(lengths: Mapping[int, int], longest: int | None) -> Mapping[int, int]:
    """Lengths as the trainer cuts them."""
    if longest is None or longest >= max(lengths, default=0):
        return lengths
    found: dict[int, int] = {}
    for length, n in lengths.items():
        kept = min(length, longest)
        found[kept] = found.get(kept, 0) + n
    return found
