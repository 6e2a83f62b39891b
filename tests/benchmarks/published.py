"""The memory formula beside runs that NVIDIA published: 8 × H100, FSDP2, GiB per GPU.

Settings are those of the recipes of the same names (NVIDIA-NeMo/Automodel, examples/llm_finetune,
2026). What they do not say (how long the padded rows were) is a range: from no padding to twice
the tokens that count.
"""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass
from pathlib import Path

from ftlab.memory import GIB, LINEARS, Decoder, Setup, saved_per_token

PADDING = (1.0, 2.0)  # tokens with padding over those without, where several rows go together
TRAINED_BYTES = 2 + 2 + 4  # bf16: weight, gradient, and Adam's moments, which keep the format
FROZEN_BYTES = 2
LOGIT_BYTES = 3 * 4  # all at once: log-probabilities and two gradients in fp32


@dataclass(frozen=True)
class Published:
    """One run, as far as its recipe says."""

    decoder: Decoder
    rows: int
    """Rows that a GPU takes at once."""
    per_step: int
    """Rows of all GPUs in a step."""
    shards: int = 8
    """GPUs that share the parameters."""
    rank: int | None = None
    """Of the adapter; None trains all weights."""
    differs: str = ""
    """What the formula leaves out."""

    def memory(self, tokens_per_step: float, padding: float) -> tuple[float, float, float]:
        """Bytes per GPU: parameters with all that belongs to them, activations, logits."""
        modules = frozenset(LINEARS) if self.rank else frozenset[str]()
        setup = Setup(0, modules, self.rank or 0, value_bytes=2, kind="cuda")
        tokens = self.rows * padding * tokens_per_step / self.per_step
        each = TRAINED_BYTES if self.rank is None else FROZEN_BYTES
        kept = self.decoder.n_layers * saved_per_token(self.decoder, setup)
        return (
            each * self.decoder.n_params / self.shards,
            kept * tokens,
            self.decoder.vocabulary * LOGIT_BYTES * tokens,
        )


# Widths of the feed-forward layers: of a mixture of experts, those that work on a token.
RUNS = {
    "llama3_2_1b_squad": Published(
        Decoder(1_235_814_400, 2048, 8192, 2048, 512, 16, 128_256),
        rows=8,
        per_step=64,
        differs="the layer that FSDP has gathered (0.1) and embedding and head (0.5)",
    ),
    "llama3_1_8b_hellaswag_pp": Published(
        Decoder(8_030_261_248, 4096, 14_336, 4096, 1024, 16, 128_256),
        rows=4,
        per_step=256,
        differs="two pipeline stages of 16 layers: between micro-batches each GPU keeps its half "
        "of the weights and their gradients whole (15), and several micro-batches are under way",
    ),
    "llama3_3_nemotron_super_49B_squad_peft": Published(
        Decoder(49_867_000_000, 8192, 28_672, 8192, 1024, 80, 128_256),
        rows=1,
        per_step=8,
        rank=8,
        differs="embedding and head gathered (3.9), two layers gathered ahead (up to 3.2 at this "
        "width) and their copies in flight; its layers are of unequal width, taken as Llama 70B's",
    ),
    "gpt_oss_20b": Published(
        Decoder(20_914_757_184, 2880, 4 * 2880, 4096, 512, 24, 201_088),
        rows=64,
        per_step=512,
        differs="rows of all GPUs meet at the experts, each copied to four of them, and flex "
        "attention keeps its blocks; only experts are shared out by 8, the rest as FSDP does",
    ),
    "qwen3_moe_30b_te_deepep": Published(
        Decoder(30_532_122_624, 2048, 8 * 768, 4096, 512, 48, 151_936),
        rows=32,
        per_step=512,
        differs="rows are copied to eight experts each on their way; two micro-batches per step",
    ),
    "moonlight_16b_te": Published(
        Decoder(15_960_000_000, 2048, 8 * 1408, 3072, 3072, 27, 163_840),
        rows=32,
        per_step=512,
        differs="weights stay gathered after the forward pass (reshard_after_forward: false: its "
        "dense part), latent attention keeps keys of full width, and copies on the way to experts",
    ),
}
UNKNOWN = {
    "nemotron_nano_9b_squad": "most layers are Mamba-2, whose states the formula does not have",
    "nemotron_flash_1b_squad": "a mix of attention, Mamba and DeltaNet, and its loss is NaN",
}


def compare(folder: Path) -> int:
    """Print what was published and what the formula gives."""
    print("GiB per GPU              published        formula: parameters + activations + logits")
    for file in sorted(folder.glob("*.jsonl")):
        name = file.stem.removesuffix("_h100")
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        seen = [row["mem"] for row in rows if row.get("mem") is not None]
        tokens = statistics.median(row["num_tokens_per_step"] for row in rows)
        print(f"{name}\n    {statistics.median(seen):5.1f}, at most {max(seen):.1f}", end="")
        if name not in RUNS:
            print(f"      not given: {UNKNOWN.get(name, 'its recipe is not known here')}")
            continue
        run = RUNS[name]
        paddings = PADDING if run.rows > 1 else (1.0, 1.0)
        low, high = (run.memory(tokens, padding) for padding in paddings)
        fixed, (kept, logits) = low[0], zip(low[1:], high[1:], strict=True)
        print(
            f"      {_range((sum(low), sum(high)))}: {fixed / GIB:.1f} + "
            f"{_range(kept)} + {_range(logits)}; left out: {run.differs}"
        )
    return 0


def _range(ends: tuple[float, float]) -> str:
    low, high = (f"{end / GIB:.1f}" for end in ends)
    return low if low == high else f"{low} to {high}"
