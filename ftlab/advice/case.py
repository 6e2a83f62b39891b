"""What is known of a job when its fields are advised on."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TypeVar

from ftlab.data.held_back import n_held_back
from ftlab.data.report import DataReport
from ftlab.models import ModelInfo
from ftlab.rates import Setup
from ftlab.recommendation import Other, in_range
from ftlab.schedule import total_steps
from ftlab.sizes import LARGE, LORA_ONLY, QLORA, SMALL, Range, Size, size_of, span
from ftlab.spec import Engine, JobSpec

NEMO, TINKER, TOGETHER = "NeMo AutoModel's guide", "Tinker's guide", "Together's default"
UNSLOTH, TRL = "Unsloth's guide", "TRL's default"

ENOUGH_STEPS = 100  # Tinker's guide: at least 100, best 1,000 or more
SMALL_BATCH = 4
BATCH_SIZES = (64, 32, 16, 8, 4, 2, 1)
RANK = 16

T = TypeVar("T")


class Case:
    """A spec with its model and data, and the few figures that several fields depend on."""

    def __init__(
        self,
        spec: JobSpec,
        info: ModelInfo,
        report: DataReport | None,
        engine: Engine = "local",
    ) -> None:
        self.spec, self.info, self.report = spec, info, report
        self.hosted = engine == "together"
        self.n_rows = training_rows(spec, report)
        self.size: Size | None = size_of(self.n_rows)
        self.lora = spec.lora is not False
        self.dpo = spec.training_method == "dpo"

    @property
    def data(self) -> str:
        """How much data there is, in words."""
        return "any number of rows" if self.size is None else self.size.title

    def by_size(self, *, small: T, usual: T, large: T) -> T:
        """One of three, by how much data there is; `usual` also when that is not known."""
        return small if self.size is SMALL else large if self.size is LARGE else usual

    def usual(self, field: str) -> Range:
        """NeMo's range for QLoRA or for this much data; for any, when that is not known."""
        if self._is_qlora(field):
            return QLORA[field]
        lora = self.lora or field in LORA_ONLY
        return span(field, lora=lora) if self.size is None else self.size.ranges(lora=lora)[field]

    def within(self, field: str, value: float) -> float:
        """A value, or the end of NeMo's range that is nearest to it."""
        low, high = self.usual(field)
        return min(max(value, low), high)

    def source(self, field: str) -> str:
        """NeMo's guide, and for what it says this."""
        return f"{NEMO}, {'QLoRA' if self._is_qlora(field) else self.data}"

    def nemo(self, field: str) -> Other:
        """NeMo's range as another opinion."""
        return Other(in_range(*self.usual(field)), self.source(field))

    def _is_qlora(self, field: str) -> bool:
        return self.spec.quantization == "nf4" and field in QLORA

    @cached_property
    def batch(self) -> int | None:
        """The recommended batch: the largest of 16 (32, 64 for more rows) with a hundred steps."""
        if self.n_rows is None:
            return None
        n_sequences = self.n_sequences or self.n_rows
        fitting = [size for size in BATCH_SIZES if size <= self.largest_batch]
        enough = [s for s in fitting if n_sequences * self.spec.n_epochs / s >= ENOUGH_STEPS]
        return min(max(enough[0] if enough else 0, SMALL_BATCH), n_sequences)

    @property
    def largest_batch(self) -> int:
        return self.by_size(small=16, usual=32, large=64)

    @cached_property
    def sequences_per_step(self) -> int | None:
        """Rows in an optimizer step, or packs of them; None when the engine chooses."""
        given, chosen = self.spec.batch_size, None if self.hosted else self.batch
        size = given if isinstance(given, int) else chosen
        return None if size is None else size * (self.spec.gradient_accumulation_steps or 1)

    @property
    def packs(self) -> bool:
        """Whether a sequence is made of several rows."""
        return bool(self.hosted if self.spec.packing is None else self.spec.packing)

    @property
    def _rows_per_sequence(self) -> float | None:
        """1, or with packing as many rows as fit on average."""
        if not self.packs:
            return 1.0
        tokens, longest = self.report and self.report.tokens, self.spec.max_seq_length
        if not tokens or not tokens.n_sequences or longest is None:
            return None
        return max(1.0, longest * tokens.n_sequences / max(tokens.total_within(longest), 1))

    @cached_property
    def n_sequences(self) -> int | None:
        """Rows, or packs of them; None when their number is not known."""
        if not self.hosted:
            return training_sequences(self.spec, self.report)
        rows = self._rows_per_sequence
        return None if self.n_rows is None or rows is None else math.ceil(self.n_rows / rows)

    @property
    def sequences(self) -> str:
        """How many there are, in words."""
        if self.packs and self.n_sequences is not None:
            return f"{self.n_sequences:,} packs"
        return f"{self.n_rows or 0:,} rows"

    @cached_property
    def rows_per_step(self) -> int | None:
        """Rows in an optimizer step; None when the engine chooses, or packs who knows how many."""
        rows = self._rows_per_sequence
        if self.sequences_per_step is None or rows is None:
            return None
        return round(self.sequences_per_step * rows)

    @property
    def n_steps(self) -> int | None:
        if self.n_sequences is None or self.sequences_per_step is None:
            return None
        spec = self.spec
        return total_steps(self.n_sequences, self.sequences_per_step, spec.n_epochs, spec.max_steps)

    @property
    def rank(self) -> int:
        """The rank that is given, or else recommended."""
        return self.spec.lora_r or self.usual_rank

    @property
    def usual_rank(self) -> int:
        return int(self.within("lora_r", self.by_size(small=8, usual=RANK, large=32)))

    @property
    def setup(self) -> Setup:
        """What the learning rate depends on."""
        alpha = self.spec.lora_alpha or 2 * self.rank
        return Setup(
            lora=self.lora,
            rank=self.rank,
            # rsLoRA divides alpha by the root of the rank instead of the rank
            alpha=alpha * math.sqrt(self.rank) if self.spec.use_rslora else alpha,
            rows=self.rows_per_step,
            method=self.spec.training_method,
        )


def setup_of(spec: JobSpec, report: DataReport | None = None) -> Setup:
    """What the learning rate of a spec depends on; what was left out stands as recommended."""
    return Case(spec, ModelInfo(name=""), report).setup


def training_rows(spec: JobSpec, report: DataReport | None) -> int | None:
    """Rows that train once validation rows are held back; None when the data is not known."""
    if report is None or not report.n_rows:
        return None
    # Where equal rows leave none to train, the run says so itself; till then the share counts.
    by_share = round(report.n_rows * (1 - (spec.validation_split or 0)))
    rows = report.n_rows - held_back_rows(spec, report) or by_share
    return max(1, min(rows, spec.max_train_rows or report.n_rows))


def held_back_rows(spec: JobSpec, report: DataReport) -> int:
    """Rows of the training file that the run is measured on instead."""
    return n_held_back(report, spec.validation_split) if spec.validation_split else 0


def training_sequences(spec: JobSpec, report: DataReport | None) -> int | None:
    """Rows that train, or where the spec packs them packs; None when that is not known."""
    n_rows = training_rows(spec, report)
    if not spec.packing or n_rows is None or report is None:
        return n_rows
    if report.sizes is None or not report.sizes.n_sequences or spec.max_seq_length is None:
        return None
    n_packs = report.sizes.packs_within(spec.max_seq_length)
    return math.ceil(n_packs * n_rows / report.n_rows)
