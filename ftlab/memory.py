"""What a job keeps in memory, part by part, on one device.

What autograd keeps for the backward pass follows from the shape of a layer; it is exact for a
Llama as transformers and peft run it, in either number format (tests/test_memory.py holds it
against saved-tensor hooks). Other families differ by a norm or two. What the embedded trainer's
process takes besides was fitted on real runs (tests/benchmarks/estimates.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from functools import cached_property

from ftlab.model_files import ModelInfo
from ftlab.pieces import Piece

GIB, MIB = 2**30, 2**20
FLOAT = 4  # bytes of float32; an adapter, its gradients and its states are held in it
WEIGHT_BYTES = {"none": None, "int8": 1.0, "nf4": 2 / 3.2}
"""Per weight of a linear layer: nf4 with its scales as Unsloth's VRAM_ESTIMATION.md has it (2026);
None is the number format's own size."""
STATE_BYTES = {"adamw": 8, "adamw_8bit": 2, "sgd": 0}
"""Of the optimizer, per trained parameter (torch's AdamW keeps two moments)."""

# The process with torch, transformers and peft loaded. CPU: measured (2026-11, torch 2.13, Linux);
# GPU: the driver's context and the libraries' workspaces, 1.4 GB in Unsloth's account.
PROCESS_BYTES = {"cpu": 0.53 * GIB, "cuda": 1.4e9}
# glibc keeps memory that a layer used and gave back: its free pieces are a little too small for
# what the next layer asks for. The share was fitted; tensors above its limit go back at once.
RETAINED = {"cpu": 0.29, "cuda": 0.0}
RETURNED_FROM = 32 * MIB


@dataclass(frozen=True)
class Decoder:
    """The shape of a decoder-only model; widths in values."""

    n_params: int
    hidden: int
    feed_forward: int
    queries: int
    """All heads together."""
    keys: int
    """All key heads together, and as wide are the values."""
    n_layers: int
    vocabulary: int

    @classmethod
    def of(cls, info: ModelInfo) -> Decoder | None:
        """None when a figure of it is unknown."""
        if not (info.n_params and info.hidden_size and info.n_layers and info.vocab_size):
            return None
        per_head = info.head_dim or info.hidden_size // (info.n_heads or info.hidden_size)
        queries = per_head * info.n_heads if info.n_heads else info.hidden_size
        return cls(
            info.n_params,
            info.hidden_size,
            info.intermediate_size or 4 * info.hidden_size,
            queries,
            info.kv_width or queries,
            info.n_layers,
            info.vocab_size,
        )

    @cached_property
    def linears(self) -> dict[str, tuple[int, int]]:
        """Layer name → inputs and outputs, of one layer."""
        return {
            "q_proj": (self.hidden, self.queries),
            "k_proj": (self.hidden, self.keys),
            "v_proj": (self.hidden, self.keys),
            "o_proj": (self.queries, self.hidden),
            "gate_proj": (self.hidden, self.feed_forward),
            "up_proj": (self.hidden, self.feed_forward),
            "down_proj": (self.feed_forward, self.hidden),
        }

    @property
    def n_linear(self) -> int:
        """Parameters of all linear layers but the output head."""
        return self.n_layers * sum(inputs * outputs for inputs, outputs in self.linears.values())


LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
SHARING = {"q_proj": "in", "k_proj": "in", "v_proj": "in", "gate_proj": "mlp", "up_proj": "mlp"}
"""Layers that read the same input; `o_proj` reads what attention keeps anyway."""


@dataclass(frozen=True)
class Setup:
    """What the memory depends on besides the model and the rows."""

    trained: int
    """Parameters that train."""
    modules: frozenset[str] = frozenset()
    """Layers with an adapter; empty when all weights train."""
    rank: int = 0
    dora: bool = False
    dropout: bool = False
    value_bytes: int = FLOAT
    """Of a frozen weight and of an activation: 4, or 2 in bfloat16."""
    kind: str = "cpu"
    """Of the device: cpu or cuda."""
    checkpointing: bool = False
    trained_share: float = 1.0
    """Of the tokens, those that add to the loss, 0 to 1."""
    optimizer: str = "adamw"
    quantization: str = "none"
    method: str = "sft"

    @property
    def is_full(self) -> bool:
        return not self.modules

    @property
    def is_mixed(self) -> bool:
        """Whether float32 weights are computed with as bfloat16 copies."""
        return self.is_full and self.value_bytes < FLOAT

    def as_sequences(self, piece: Piece) -> Piece:
        """What goes through the model at once: of a pair both answers."""
        return piece._replace(rows=2 * piece.rows) if self.method == "dpo" else piece


@dataclass(frozen=True, slots=True)
class Parts:
    """Bytes at the moment when most is in memory; their sum is the peak."""

    weights: float = 0.0
    adapter: float = 0.0
    gradients: float = 0.0
    optimizer: float = 0.0
    activations: float = 0.0
    """What is kept for the backward pass."""
    logits: float = 0.0
    """The output head's values and the loss's copies of them."""
    workspace: float = 0.0
    """Of one layer where that is more than the logits, and what the allocator holds back."""
    process: float = 0.0

    @property
    def total(self) -> float:
        return sum(getattr(self, field.name) for field in fields(self))

    @property
    def certain(self) -> float:
        """What follows from the model and its adapter alone."""
        return self.weights + self.adapter + self.gradients + self.optimizer

    def in_words(self) -> str:
        """ "weights 0.37, activations 1.4, logits 0.74 GiB": what is worth naming."""
        sizes = {field.name: getattr(self, field.name) for field in fields(self)}
        worth = {name: size for name, size in sizes.items() if size > 0.01 * self.total}
        shown = [f"{name} {two_digits(size / GIB)}" for name, size in worth.items()]
        return f"{', '.join(shown)} GiB"


def memory(
    decoder: Decoder, setup: Setup, pieces: Iterable[Piece], evaluated: Piece | None = None
) -> Parts:
    """The largest of what the pieces take while they train, and of an evaluation of `evaluated`."""
    fixed = _fixed(decoder, setup)
    found = [_training(decoder, setup, setup.as_sequences(piece), fixed) for piece in pieces]
    if evaluated is not None:
        found.append(_evaluating(decoder, setup, setup.as_sequences(evaluated), fixed))
    return max(found, key=lambda parts: parts.total, default=fixed)


def _fixed(decoder: Decoder, setup: Setup) -> Parts:
    """What does not depend on the rows.

    What trains is held in float32, and so are its gradients: an adapter, or all weights, which in
    bfloat16 are computed with as copies.
    """
    own = WEIGHT_BYTES[setup.quantization]
    weights = setup.value_bytes * decoder.n_params
    if own is not None:
        weights += (own - setup.value_bytes) * decoder.n_linear
    masters = FLOAT * decoder.n_params if setup.is_mixed else 0.0
    return Parts(
        weights=weights + masters,
        adapter=0.0 if setup.is_full else FLOAT * setup.trained,
        gradients=FLOAT * setup.trained,
        optimizer=STATE_BYTES[setup.optimizer] * setup.trained,
        process=PROCESS_BYTES[setup.kind],
    )


def _training(decoder: Decoder, setup: Setup, piece: Piece, fixed: Parts) -> Parts:
    kept = piece.tokens * saved_per_token(decoder, setup, piece)
    layer = piece.tokens * setup.value_bytes * 4 * (decoder.feed_forward + decoder.hidden)
    if setup.checkpointing:
        layer += kept
        kept = piece.tokens * setup.value_bytes * decoder.hidden
    if setup.dora:
        layer = max(layer, _dora_weights(decoder, setup))
    return _with_rows(decoder, setup, piece, fixed, decoder.n_layers * kept, layer)


def _evaluating(decoder: Decoder, setup: Setup, piece: Piece, fixed: Parts) -> Parts:
    layer = piece.tokens * setup.value_bytes * 4 * (decoder.feed_forward + decoder.hidden)
    return _with_rows(decoder, setup, piece, fixed, 0.0, layer)


def _with_rows(
    decoder: Decoder, setup: Setup, piece: Piece, fixed: Parts, kept: float, layer: float
) -> Parts:
    """`kept` stays until the backward pass; then comes the head, then one `layer` after another."""
    logits = piece.tokens * decoder.vocabulary * logit_bytes(setup, piece)
    passing = piece.tokens * decoder.n_layers * passing_per_token(decoder, setup, piece)
    retained = RETAINED[setup.kind] * passing
    return replace(
        fixed, activations=kept, logits=logits, workspace=max(layer - logits, 0.0) + retained
    )


# --- one layer -------------------------------------------------------------------------------


def saved_per_token(decoder: Decoder, setup: Setup, piece: Piece) -> float:
    """Bytes that one layer keeps of a token for its backward pass, without checkpointing."""
    size = setup.value_bytes
    norms = 2 * FLOAT * (decoder.hidden + 1)  # their inputs, in float32 in any case
    if setup.is_full:  # the normalised values, for the norm's own weight
        norms += 2 * (FLOAT if setup.is_mixed else size) * decoder.hidden
    # Rows of unequal length bring a mask, for which keys are repeated to as many as the queries;
    # attention keeps it as numbers, one per pair of tokens.
    keys = decoder.queries if piece.rows > 1 else decoder.keys
    mask = piece.length if piece.rows > 1 else 0
    attention = size * (2 * decoder.queries + 2 * keys + mask)
    gated = 3 * size * decoder.feed_forward  # gate, its activation, and what it is multiplied with
    return norms + attention + gated + _inputs(decoder, setup) + _adapters(decoder, setup)


def _inputs(decoder: Decoder, setup: Setup) -> float:
    """Inputs of linear layers, which only weights that train ask for.

    An adapter reads them in float32: a copy for each where that is not the format, and with
    dropout what is left of them and the mask.
    """
    if setup.is_full:
        # Mixed, each of the five layers that read the same two inputs keeps its own copy.
        readers = 5 if setup.is_mixed else 2
        return setup.value_bytes * (readers * decoder.hidden + decoder.feed_forward)
    widths = {name: decoder.linears[name][0] for name in setup.modules & decoder.linears.keys()}
    if setup.dropout:
        return 2 * FLOAT * sum(widths.values())
    if setup.value_bytes < FLOAT:
        return FLOAT * sum(widths.values())
    own = {SHARING.get(name, name): width for name, width in widths.items() if name != "o_proj"}
    return FLOAT * sum(own.values())


def _adapters(decoder: Decoder, setup: Setup) -> float:
    """What an adapter keeps: its inner values, and with DoRA both results that it scales."""
    adapted = setup.modules & decoder.linears.keys()
    inner = FLOAT * setup.rank * len(adapted)
    if not setup.dora:
        return inner
    outputs = sum(decoder.linears[name][1] for name in adapted)
    return inner + (setup.value_bytes + FLOAT) * outputs


def passing_per_token(decoder: Decoder, setup: Setup, piece: Piece) -> float:
    """Bytes that one layer makes of a token and gives back to the allocator in the forward pass."""
    size = setup.value_bytes
    norms = [(decoder.hidden, 2 * 2 * FLOAT)]
    turned = [(decoder.queries, 3 * size), (decoder.keys, 3 * size)]  # rotary positions
    steps = 5 if setup.dora else 3  # base, adapter and sum; DoRA scales both
    adapted = setup.modules & decoder.linears.keys()
    added = [(decoder.linears[name][1], steps * FLOAT) for name in adapted]
    return sum(
        width * bytes_each
        for width, bytes_each in (*norms, *turned, *added)
        if piece.tokens * width * size < RETURNED_FROM
    )


def _dora_weights(decoder: Decoder, setup: Setup) -> float:
    """DoRA makes the whole weight of a layer to measure its columns: three copies, and a unit
    matrix to multiply the adapter out."""
    adapted = (decoder.linears[name] for name in setup.modules & decoder.linears.keys())
    return FLOAT * max((i * i + 3 * i * o for i, o in adapted), default=0)


def logit_bytes(setup: Setup, piece: Piece) -> float:
    """Bytes per logit where the loss needs most, as the trainer's losses have it.

    It makes the logits of all places, takes those of the trained ones, and keeps their
    log-softmax; on the way back come the gradients of both, and the same for all places.
    """
    size, share = setup.value_bytes, setup.trained_share * piece.filled
    forward = size + share * max(size + FLOAT, 2 * FLOAT)
    return max(forward, 3 * FLOAT * share, 2 * size)


def two_digits(value: float) -> str:
    """The two leading digits of a figure, or all before the point where these are more."""
    return f"{value:,.0f}" if value >= 99.5 else f"{value:.2g}"
