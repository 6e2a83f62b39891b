"""How long a job takes: what it computes and what it moves, over how fast the device does both.

The constants were fitted on real runs (tests/benchmarks/estimates.py). A measurement on this
machine (`measured.py`) replaces them.
"""

from __future__ import annotations

from dataclasses import dataclass

from ftlab.memory import FLOAT, Decoder, Setup, narrowed, saved
from ftlab.pieces import Piece, StepRows, typical_piece

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


# Fitted on 2 cores of an AMD EPYC without AMX (2026-11) in float32; other processors are
# up to three times slower or twice as fast.
PER_CORE = Speed(71e9, 9.1e9, 0.5e-3, 0.005, 8.0, (0.5, 3.0))
# 30 % of what makers give for bf16 on data-centre GPUs, and a third of their memory's speed; not
# measured. Consumer cards have a fifth of it.
GPU = Speed(150e12, 1e12, 0.4e-3, 0.03, 12.0, (0.4, 6.0))
# What a small Apple chip has on paper in float32, and half of its memory's speed; not measured.
APPLE = Speed(2e12, 50e9, 1e-3, 0.03, 12.0, (0.2, 4.0))


def speed_of(kind: str, n_cores: int) -> Speed:
    """What is assumed of a device that nothing was measured on."""
    if kind != "cpu":
        return APPLE if kind == "mps" else GPU
    cores = max(n_cores, 1)
    return Speed(
        PER_CORE.operations * cores,
        PER_CORE.traffic * cores,
        PER_CORE.call,
        PER_CORE.step,
        PER_CORE.start,
        PER_CORE.spread,
    )


def training_work(decoder: Decoder, setup: Setup, rows: StepRows) -> Work:
    """Per token of the file: its share of a piece, forward and back."""
    return _training(decoder, setup, typical_piece(rows)) * _share_of_token(rows)


def evaluation_work(decoder: Decoder, setup: Setup, rows: StepRows) -> Work:
    """Per token of the file: its share of a piece, once forward."""
    return _forward(decoder, setup, typical_piece(rows)) * _share_of_token(rows)


def _share_of_token(rows: StepRows) -> float:
    """Of a piece; of a pair all tokens of both answers count."""
    return 1 / max(rows.rows_per_piece * rows.tokens, 1)


# --- one piece -------------------------------------------------------------------------------


def _training(decoder: Decoder, setup: Setup, piece: Piece) -> Work:
    """Forward, and back: once for the values, and once for the weights that train.

    With checkpointing the layers go forward twice. Attention computes itself again on the way
    back, two and a half times as much as forward (Dao et al., 2205.14135). A head that trains
    computes its logits twice; one that does not has its gradient with them.
    """
    again = 1.0 if setup.checkpointing else 0.0
    layers, attention = _layers(decoder, setup, piece), _attention(decoder, piece)
    head, own = _head(decoder, setup, piece), _adapter(decoder, setup, piece)
    operations = (3.5 + again) * attention
    if setup.is_full:
        operations += (3 + again) * layers + 4 * head
    else:
        operations += (2 + again) * layers + 2 * head + (3 + again) * own
    moved = saved(decoder, setup, piece) + piece.tokens * _passing_per_token(decoder, setup)
    traffic = (decoder.n_layers * moved - narrowed(decoder, setup, piece)) * (1 + again / 3)
    return Work(
        operations,
        traffic + _logit_traffic(decoder, setup, piece) + _dora_traffic(decoder, setup, 1 + again),
        decoder.n_layers * (3 + again),
    )


def _forward(decoder: Decoder, setup: Setup, piece: Piece) -> Work:
    own = 0.0 if setup.is_full else _adapter(decoder, setup, piece)
    layers = _layers(decoder, setup, piece) + _attention(decoder, piece)
    traffic = decoder.n_layers * piece.tokens * _passing_per_token(decoder, setup)
    return Work(
        layers + _head(decoder, setup, piece) + own,
        traffic + _logit_traffic(decoder, setup, piece) / 2 + _dora_traffic(decoder, setup, 1),
        decoder.n_layers,
    )


def _layers(decoder: Decoder, setup: Setup, piece: Piece) -> float:
    """Of all linear layers, forward: 2 per weight and token that it sees."""
    return 2 * piece.tokens * (decoder.n_linear - setup.left_out * decoder.n_narrow)


def _adapter(decoder: Decoder, setup: Setup, piece: Piece) -> float:
    """Of what trains, forward: as large a share of it is left out as of the linear layers."""
    seen = _layers(decoder, setup, piece) / (2 * piece.tokens * decoder.n_linear)
    return 2 * setup.trained * piece.tokens * seen


def _attention(decoder: Decoder, piece: Piece) -> float:
    """Of all layers, forward: 4 per query value and token that it looks at, half of the squares."""
    return 4 * decoder.n_layers * decoder.queries * piece.squares / 2


def _head(decoder: Decoder, setup: Setup, piece: Piece) -> float:
    """Forward, of the trained places alone."""
    return 2 * decoder.hidden * decoder.vocabulary * setup.trained_share * piece.tokens


def _logit_traffic(decoder: Decoder, setup: Setup, piece: Piece) -> float:
    """Logits, their exponentials and their gradients."""
    return 3 * FLOAT * decoder.vocabulary * setup.trained_share * piece.tokens


def _passing_per_token(decoder: Decoder, setup: Setup) -> float:
    """Bytes that one layer makes of a token and does not keep."""
    size = setup.value_bytes
    norms = 2 * 2 * FLOAT * decoder.hidden
    turned = 3 * size * (decoder.queries + decoder.keys)  # rotary positions
    if setup.is_full or setup.is_fused:
        return norms + turned
    steps = 5 if setup.dora else 3  # base, adapter and sum; DoRA scales both
    adapted = setup.modules & decoder.linears.keys()
    return norms + turned + steps * FLOAT * sum(decoder.linears[name][1] for name in adapted)


def _dora_traffic(decoder: Decoder, setup: Setup, times: float) -> float:
    """Of a piece whatever its rows: DoRA writes each adapted weight anew, and a unit matrix."""
    if not setup.dora:
        return 0.0
    adapted = (decoder.linears[name] for name in setup.modules & decoder.linears.keys())
    return times * FLOAT * decoder.n_layers * sum(i * i + 4 * i * o for i, o in adapted)
