"""What a job keeps in memory, part by part, on one device.

What autograd keeps for the backward pass follows from the shape of a layer; it is exact for a
Llama as the embedded trainer runs it, in either number format (tests/test_memory.py holds it
against saved-tensor hooks). Other families differ by a norm or two. What the trainer's process
takes besides was fitted on real runs (tests/benchmarks/estimates.py).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property

from ftlab.model_files import ModelInfo
from ftlab.pieces import LOGITS, LONG, NARROW, Piece

GIB, MIB = 2**30, 2**20
FLOAT = 4  # bytes of float32; an adapter, its gradients and its states are held in it
WEIGHT_BYTES = {"none": None, "int8": 1.0, "nf4": 2 / 3.2}
"""Per weight of a linear layer: nf4 with its scales as Unsloth's VRAM_ESTIMATION.md has it (2026);
None is the number format's own size."""
STATE_BYTES = {"adamw": 8, "adamw_8bit": 2, "sgd": 0}
"""Of the optimizer, per trained parameter (torch's AdamW keeps two moments)."""

# The process with torch, transformers and peft loaded, and what its allocator holds back. CPU:
# fitted (2026-11, torch 2.13, Linux); GPU: the driver's context and the libraries' workspaces, 1.4
# GB in Unsloth's account.
PROCESS_BYTES = {"cpu": 0.45 * GIB, "cuda": 1.4e9, "mps": 1.4e9}
# What oneDNN keeps of the 128 products that it compiled last for a CPU's bfloat16 (processes.py):
# 0.43 MiB each (1.81 against 1.65 GiB with and without the first 370; torch 2.13, 2026-11).
COMPILED_BYTES = 128 * 0.43 * MIB
# And what lies between tensors of unequal length where none fits any more: of nine jobs 0.06 to
# 0.3 GiB, most where rows are long (2026-11).
HOLES_BYTES = 0.15 * GIB
# On a CPU torch draws the mask of peft's dropout by way of another tensor, whose place between two
# that stay glibc can't fill again. Bytes per value that is dropped, fitted (2026-11, glibc 2.36).
DROPOUT_HELD = 1.7


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
    def n_narrow(self) -> int:
        """Those of the last layer that leave out what does not train."""
        return sum(i * o for name, (i, o) in self.linears.items() if name not in WHOLE)

    @property
    def n_linear(self) -> int:
        """Parameters of all linear layers but the output head."""
        return self.n_layers * sum(inputs * outputs for inputs, outputs in self.linears.values())


LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
SHARING = {"q_proj": "in", "k_proj": "in", "v_proj": "in", "gate_proj": "mlp", "up_proj": "mlp"}
"""Layers that read the same input."""
WHOLE = frozenset({"k_proj", "v_proj"})
"""Layers that see every token in the last layer, too: the others leave out what does not train."""


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
    """Of the device: cpu, cuda or mps."""
    checkpointing: bool = False
    trained_share: float = 1.0
    """Of the tokens of a piece, those that add to the loss, 0 to 1."""
    optimizer: str = "adamw"
    quantization: str = "none"

    @property
    def left_out(self) -> float:
        """Share of the tokens that the last layer leaves out."""
        return 1 - self.trained_share if self.trained_share <= NARROW else 0.0

    @property
    def is_full(self) -> bool:
        return not self.modules

    @property
    def is_mixed(self) -> bool:
        """Whether float32 weights are computed with as bfloat16 copies."""
        return self.is_full and self.value_bytes < FLOAT

    @property
    def is_fused(self) -> bool:
        """Whether a layer and its adapter are one step, as they are in the plain case."""
        return not (self.is_full or self.dora or self.quantization != "none")


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
    """The output head's values, some at a time, with the loss's copies of them."""
    workspace: float = 0.0
    """Of one layer, where that is more than the logits; with dropout what the allocator holds."""
    process: float = 0.0

    def times(self, n: int) -> Parts:
        """Of so many processes."""
        return Parts(*(n * getattr(self, field.name) for field in fields(self)))

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


def divided(parts: Parts, decoder: Decoder, setup: Setup, n: int) -> Parts:
    """The same where each of `n` processes has its share of the weights, and of what belongs to
    those that train. Whole at a time are the layer that computes and the one that comes next, the
    embeddings and the head; where all weights train, so are the gradients of one of them."""
    beside = decoder.n_params - decoder.n_linear
    layer = decoder.n_linear / decoder.n_layers
    gathered = setup.value_bytes * (beside + 2 * layer)
    if not setup.is_full:
        return replace(parts, weights=parts.weights / n + gathered)
    return replace(
        parts,
        weights=FLOAT * decoder.n_params / n + gathered,
        gradients=parts.gradients / n + FLOAT * max(beside, layer),
        optimizer=parts.optimizer / n,
    )


def memory(decoder: Decoder, setup: Setup, largest: Piece, evaluated: Piece | None = None) -> Parts:
    """The larger of what the largest piece takes while it trains, and of an evaluation."""
    fixed = _fixed(decoder, setup)
    found = [_training(decoder, setup, largest, fixed)]
    if evaluated is not None:
        found.append(_with_rows(decoder, setup, evaluated, fixed, 0.0, 0.0))
    return max(found, key=lambda parts: parts.total)


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
        process=PROCESS_BYTES[setup.kind] + _of_halves(setup),
    )


def _of_halves(setup: Setup) -> float:
    computes_in_halves = setup.kind == "cpu" and setup.value_bytes < FLOAT
    return COMPILED_BYTES + HOLES_BYTES if computes_in_halves else 0.0


def _training(decoder: Decoder, setup: Setup, piece: Piece, fixed: Parts) -> Parts:
    one, again = saved(decoder, setup, piece), 0.0
    kept = decoder.n_layers * one - narrowed(decoder, setup, piece)
    if setup.checkpointing:
        kept = decoder.n_layers * piece.tokens * setup.value_bytes * decoder.hidden
        again = one
    if setup.dora:
        again = max(again, _dora_weights(decoder, setup))
    found = _with_rows(decoder, setup, piece, fixed, kept, again)
    return replace(found, workspace=found.workspace + _held(decoder, setup, piece))


def _with_rows(
    decoder: Decoder, setup: Setup, piece: Piece, fixed: Parts, kept: float, again: float
) -> Parts:
    """`kept` stays until the backward pass; then comes the head, then one layer after another,
    with what it computes `again`."""
    logits = logit_bytes(decoder, setup, piece)
    layer = piece.tokens * setup.value_bytes * 4 * (decoder.feed_forward + decoder.hidden) + again
    return replace(fixed, activations=kept, logits=logits, workspace=max(layer - logits, 0.0))


def _held(decoder: Decoder, setup: Setup, piece: Piece) -> float:
    if not setup.dropout or setup.is_fused or setup.checkpointing or setup.kind != "cpu":
        return 0.0
    widths = (decoder.linears[name][0] for name in setup.modules & decoder.linears.keys())
    return DROPOUT_HELD * decoder.n_layers * piece.tokens * sum(widths)


# --- one layer -------------------------------------------------------------------------------


def saved(decoder: Decoder, setup: Setup, piece: Piece) -> float:
    """Bytes that one layer keeps of a piece for its backward pass, without checkpointing.

    What stands behind a shared beginning has a copy of its keys and values, and on a CPU a mask in
    numbers.
    """
    is_long = piece.squares >= LONG * piece.tokens and not piece.masked
    attended = _attended(setup, is_long=is_long)
    kept = piece.tokens * saved_per_token(decoder, setup, is_long=is_long)
    kept += 2 * attended * decoder.keys * piece.behind
    if setup.kind == "cpu":
        kept += attended * piece.masked
    return kept


def _attended(setup: Setup, *, is_long: bool) -> int:
    """Bytes per value in attention: a CPU attends in float32 to what is short or masked."""
    return setup.value_bytes if is_long or setup.kind != "cpu" else FLOAT


def saved_per_token(decoder: Decoder, setup: Setup, *, is_long: bool = False) -> float:
    """Bytes that one layer keeps of a token of a sequence, a long one or not, that shares
    nothing."""
    # A norm's input, in float32 but where it is computed in fewer passes, and its factor.
    norms = 2 * (_normed(setup) * decoder.hidden + FLOAT)
    if setup.is_full:  # the normalised values, for the norm's own weight
        norms += 2 * FLOAT * decoder.hidden
    attention = _attended(setup, is_long=is_long) * (2 * decoder.queries + 2 * decoder.keys)
    gated = _gated(decoder, setup)
    return norms + attention + gated + _inputs(decoder, setup) + _adapters(decoder, setup)


def _normed(setup: Setup) -> int:
    """Bytes per value of what a norm keeps."""
    return setup.value_bytes if setup.kind == "cpu" and not setup.is_full else FLOAT


def narrowed(decoder: Decoder, setup: Setup, piece: Piece) -> float:
    """Bytes that the last layer keeps less than another: of what it leaves out, all but the norms'
    inputs and attention's."""
    if not setup.left_out:
        return 0.0
    less = _gated(decoder, setup) + _narrow_inputs(decoder, setup)
    # Where queries read what keys and values read, they have a piece of their own of it now.
    own = setup.value_bytes * decoder.hidden if _queries_share(setup) else 0
    return piece.tokens * (setup.left_out * less - (1 - setup.left_out) * own)


def _narrow_inputs(decoder: Decoder, setup: Setup) -> float:
    """What the layers that leave out something keep of a token alone, and an adapter's inner
    values."""
    if setup.is_full:
        readers = 3 if setup.is_mixed else 1  # queries, gate and up; or the last two as one
        attended = decoder.queries if setup.kind == "cpu" else 0
        read = readers * decoder.hidden + attended + decoder.feed_forward
        return setup.value_bytes * read
    found, narrow = 0.0, setup.modules - WHOLE
    if narrow:
        found += _adapters(decoder, replace(setup, modules=narrow))
    if _queries_share(setup):
        narrow -= {"q_proj"}
        found += setup.dropout * setup.is_fused * decoder.hidden
    return found + (_inputs(decoder, replace(setup, modules=narrow)) if narrow else 0.0)


def _queries_share(setup: Setup) -> bool:
    """Whether queries read the same tensor as keys or values."""
    if setup.is_full:
        return not setup.is_mixed
    as_it_is = setup.is_fused or not (setup.dropout or setup.value_bytes < FLOAT)
    return as_it_is and "q_proj" in setup.modules and bool(setup.modules & WHOLE)


def _gated(decoder: Decoder, setup: Setup) -> float:
    """Gate, its activation, and what that is multiplied with."""
    return 3 * setup.value_bytes * decoder.feed_forward


def _inputs(decoder: Decoder, setup: Setup) -> float:
    """Inputs of linear layers, which only weights that train ask for.

    In one step with its layer, an adapter reads them as they are, and each keeps a byte per value
    of what it drops. Alone it reads them in float32: a copy for each where that is not the format,
    and with dropout what is left of them and the mask.
    """
    own = decoder.queries if setup.kind == "cpu" else 0  # a GPU's attention keeps o_proj's itself
    if setup.is_full:
        # Mixed, each of the five layers that read the same two inputs keeps its own copy.
        readers = 5 if setup.is_mixed else 2
        return setup.value_bytes * (readers * decoder.hidden + own + decoder.feed_forward)
    widths = {name: decoder.linears[name][0] for name in setup.modules & decoder.linears.keys()}
    if setup.dropout and not setup.is_fused:
        return 2 * FLOAT * sum(widths.values())
    if not setup.is_fused and setup.value_bytes < FLOAT:
        return FLOAT * sum(widths.values())
    once = {SHARING.get(name, name): width for name, width in widths.items()}
    if "o_proj" in once:
        once["o_proj"] = own
    return setup.value_bytes * sum(once.values()) + setup.dropout * sum(widths.values())


def _adapters(decoder: Decoder, setup: Setup) -> float:
    """What an adapter keeps: its inner values, and with DoRA both results that it scales."""
    adapted = setup.modules & decoder.linears.keys()
    inner = (setup.value_bytes if setup.is_fused else FLOAT) * setup.rank * len(adapted)
    if not setup.dora:
        return inner
    outputs = sum(decoder.linears[name][1] for name in adapted)
    return inner + (setup.value_bytes + FLOAT) * outputs


def _dora_weights(decoder: Decoder, setup: Setup) -> float:
    """DoRA makes the whole weight of a layer to measure its columns: three copies, and a unit
    matrix to multiply the adapter out."""
    adapted = (decoder.linears[name] for name in setup.modules & decoder.linears.keys())
    return FLOAT * max((i * i + 3 * i * o for i, o in adapted), default=0)


def logit_bytes(decoder: Decoder, setup: Setup, piece: Piece) -> float:
    """Bytes of the head where it needs most: of the logits that are there at once, and of the
    hidden values of all trained places with their gradients.

    A head that does not train makes logits, which become the gradient; in another format than
    float32 these are three tensors. One that trains has log-probabilities and two gradients on the
    way back, and the gradient of its weight before that is added to the others.
    """
    size, trained = setup.value_bytes, setup.trained_share * piece.tokens
    each = 3 * FLOAT if setup.is_full else FLOAT + (2 * size if size < FLOAT else 0)
    own = FLOAT * decoder.vocabulary * decoder.hidden if setup.is_full else 0
    at_once = min(trained, max(LOGITS // decoder.vocabulary, 1)) * decoder.vocabulary
    return each * at_once + own + 2 * size * trained * decoder.hidden


def two_digits(value: float) -> str:
    """The two leading digits of a figure, or all before the point where these are more."""
    return f"{value:,.0f}" if value >= 99.5 else f"{value:.2g}"
