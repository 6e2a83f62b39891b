"""What is usual for few, some and many rows: NeMo AutoModel's tables as data.

From its fine-tuning hyperparameter guide (docs/guides/llm, 2026-08). Where the guide contradicts
itself (epochs on small data: 3 to 5 in the table, "beyond 3 nearly always overfits" in a tip;
alpha 2 to 4 times the rank in the table, equal to it in a rule), the table stands here and the
other is among what `recommend()` says that others say.
"""

from __future__ import annotations

from dataclasses import dataclass

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Size:
    """Ranges by field for a size of data, with an adapter and without."""

    title: str
    lora: dict[str, Range]
    full: dict[str, Range]

    def ranges(self, *, lora: bool) -> dict[str, Range]:
        return self.lora if lora else self.full


FEW, MANY = 5_000, 50_000  # rows
# The guide gives no weight decay for LoRA; that of full fine-tuning stands in for it.
SMALL = Size(
    "fewer than 5,000 rows",
    lora={
        "learning_rate": (1e-5, 5e-5),
        "weight_decay": (0.01, 0.1),
        "n_epochs": (3, 5),
        "batch_size": (16, 32),
        "lora_r": (4, 8),
        "lora_alpha": (2, 4),
        "lora_dropout": (0.05, 0.1),
    },
    full={
        "learning_rate": (1e-6, 5e-6),
        "weight_decay": (0.01, 0.1),
        "n_epochs": (1, 3),
        "batch_size": (16, 32),
    },
)
MEDIUM = Size(
    "5,000 to 50,000 rows",
    lora={
        "learning_rate": (1e-5, 1e-4),
        "weight_decay": (0.01, 0.01),
        "n_epochs": (2, 4),
        "batch_size": (32, 64),
        "lora_r": (8, 16),
        "lora_alpha": (2, 4),
        "lora_dropout": (0.05, 0.05),
    },
    full={
        "learning_rate": (5e-6, 2e-5),
        "weight_decay": (0.01, 0.01),
        "n_epochs": (2, 5),
        "batch_size": (32, 64),
    },
)
LARGE = Size(
    "more than 50,000 rows",
    lora={
        "learning_rate": (5e-5, 2e-4),
        "weight_decay": (0, 0.01),
        "n_epochs": (1, 3),
        "batch_size": (64, 128),
        "lora_r": (16, 64),
        "lora_alpha": (2, 2),
        "lora_dropout": (0, 0.05),
    },
    full={
        "learning_rate": (1e-5, 3e-5),
        "weight_decay": (0, 0.01),
        "n_epochs": (1, 3),
        "batch_size": (64, 128),
    },
)
SIZES = (SMALL, MEDIUM, LARGE)
QLORA: dict[str, Range] = {
    "learning_rate": (1e-5, 2e-4),
    "weight_decay": (0.01, 0.01),
    "lora_r": (16, 64),
    "lora_dropout": (0.05, 0.1),
}
"""With a base in 4 bits, for any number of rows."""
LORA_ONLY = LARGE.lora.keys() - LARGE.full.keys()


def size_of(n_rows: int | None) -> Size | None:
    """The size that a number of rows belongs to; None when it is not known."""
    if n_rows is None:
        return None
    return SMALL if n_rows < FEW else MEDIUM if n_rows <= MANY else LARGE


def span(field: str, *, lora: bool) -> Range:
    """From the lowest to the highest of all sizes."""
    every = [size.ranges(lora=lora)[field] for size in SIZES]
    return min(low for low, _ in every), max(high for _, high in every)
