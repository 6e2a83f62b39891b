"""How long a job takes: what it computes and what it moves, over how fast the device does both.

The constants were fitted on real runs (tests/benchmarks/estimates.py). A measurement on this
machine (`measured.py`) replaces them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ftlab.memory import FLOAT, Decoder, Setup, logit_bytes, passing_per_token, saved_per_token
from ftlab.pieces import PIECE_TOKENS, Piece, cut, typical_step

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Work:
    """What a device has to do."""

    operations: float = 0.0
    """Multiplications and additions of matrices."""
    traffic: float = 0.0
    """Bytes that everything else writes: norms, activations, masks, the loss."""
    calls: float = 0.0
    """Layers gone through, forward and back, whatever the rows: each costs some calls."""
    steps: float = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(
            self.operations + other.operations,
            self.traffic + other.traffic,
            self.calls + other.calls,
            self.steps + other.steps,
        )

    def __mul__(self, times: float) -> Work:
        return Work(
            self.operations * times, self.traffic * times, self.calls * times, self.steps * times
        )


@dataclass(frozen=True, slots=True)
class Speed:
    """What a device does in a second, and how far that may be off."""

    operations: float
    traffic: float
    call: float
    """Seconds for one layer however few the rows."""
    step: float
    """Seconds for a step whatever is in it."""
    start: float
    """Seconds from pressing the button to the first step, and from the last one to the end."""
    spread: Range
    """The shortest and the longest time, as shares of the estimate."""

    def seconds(self, work: Work) -> float:
        return (
            work.operations / self.operations
            + work.traffic / self.traffic
            + work.calls * self.call
            + work.steps * self.step
        )


@dataclass(frozen=True, slots=True)
class Typical:
    """What the rows of a step are like."""

    lengths: Mapping[int, int]
    """Length in tokens → sequences of the file, cut as the trainer cuts them."""
    rows: int
    """Rows per step."""
    max_rows: int | None = None
    """Most rows per piece."""


# Fitted on 2 cores of an AMD EPYC (2026-11) in float32; other processors are up to three times
# slower or twice as fast.
PER_CORE = Speed(102e9, 1.7e9, 0.5e-3, 0.005, 8.0, (0.5, 3.0))
# 30 % of what makers give for bf16 on data-centre GPUs, and a third of their memory's speed; not
# measured. Consumer cards have a fifth of it.
GPU = Speed(150e12, 1e12, 0.4e-3, 0.03, 12.0, (0.4, 6.0))


def speed_of(kind: str, n_cores: int) -> Speed:
    """What is assumed of a device that nothing was measured on."""
    if kind != "cpu":
        return GPU
    cores = max(n_cores, 1)
    return Speed(
        PER_CORE.operations * cores,
        PER_CORE.traffic * cores,
        PER_CORE.call,
        PER_CORE.step,
        PER_CORE.start,
        PER_CORE.spread,
    )


def training_work(decoder: Decoder, setup: Setup, pieces: Iterable[Piece]) -> Work:
    """One step over these pieces."""
    done = [_training(decoder, setup, piece) for piece in pieces]
    return sum(done, Work(steps=1.0))


def evaluation_work(decoder: Decoder, setup: Setup, pieces: Iterable[Piece]) -> Work:
    """The pieces once forward, without an adapter's gradient or a step."""
    return sum((_forward(decoder, setup, piece) for piece in pieces), Work())


def typical_work(decoder: Decoder, setup: Setup, rows: Typical) -> Work:
    """Per training token: a step of rows as the file has them, over its tokens."""
    lengths = typical_step(rows.lengths, rows.rows)
    work = training_work(decoder, setup, cut(lengths, rows.max_rows))
    return Work(work.operations, work.traffic, work.calls) * (1 / max(sum(lengths), 1))


def even_pieces(tokens: int, length: float) -> list[Piece]:
    """Rows of about one length, packed into full pieces, as an evaluation sorts them."""
    longest = max(round(length), 1)
    rows = max(PIECE_TOKENS // longest, 1)
    return [Piece(rows, longest)] * max(round(tokens / (rows * longest)), 1)


# --- one piece -------------------------------------------------------------------------------


def _training(decoder: Decoder, setup: Setup, piece: Piece) -> Work:
    """Forward, and back: once for the values, and once for the weights that train.

    With checkpointing the layers go forward twice.
    """
    layers, head = _layer_operations(decoder, piece), _head_operations(decoder)
    own = 2.0 * setup.trained
    again = 1.0 if setup.checkpointing else 0.0
    if setup.is_full:
        operations = (3 + again) * layers + 3 * head
    else:
        operations = (2 + again) * layers + 2 * head + (3 + again) * own
    moved = decoder.n_layers * (
        saved_per_token(decoder, setup, piece) + passing_per_token(decoder, setup, piece)
    )
    moved += decoder.vocabulary * logit_bytes(setup, piece)
    traffic = piece.tokens * moved * (1 + again / 3)
    return Work(
        operations * piece.tokens,
        traffic + _dora_traffic(decoder, setup) * (1 + again),
        decoder.n_layers * (3 + again),
    )


def _forward(decoder: Decoder, setup: Setup, piece: Piece) -> Work:
    own = 0.0 if setup.is_full else 2.0 * setup.trained
    operations = _layer_operations(decoder, piece) + _head_operations(decoder) + own
    passing = decoder.n_layers * passing_per_token(decoder, setup, piece)
    moved = passing + decoder.vocabulary * setup.value_bytes
    return Work(
        operations * piece.tokens,
        moved * piece.tokens + _dora_traffic(decoder, setup),
        decoder.n_layers,
    )


def _layer_operations(decoder: Decoder, piece: Piece) -> float:
    """Of all layers, forward, per token: 2 per weight, and 4 per query value and token before."""
    before = piece.length if piece.rows > 1 else piece.length / 2  # a mask hides, it saves nothing
    return 2 * decoder.n_linear + 4 * decoder.n_layers * decoder.queries * before


def _head_operations(decoder: Decoder) -> float:
    return 2 * decoder.hidden * decoder.vocabulary


def _dora_traffic(decoder: Decoder, setup: Setup) -> float:
    """Of a piece whatever its rows: DoRA writes each adapted weight anew, and a unit matrix."""
    if not setup.dora:
        return 0.0
    adapted = (decoder.linears[name] for name in setup.modules & decoder.linears.keys())
    return FLOAT * decoder.n_layers * sum(i * i + 4 * i * o for i, o in adapted)
