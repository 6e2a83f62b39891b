"""Whether what was exported says what the model said as it was trained, and by which figures."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ftlab.files import existing
from ftlab.html import short

PROOF = "proof.json"
EXACT, SHARE = 1e-4, 1e-6
"""The largest difference between logits that float32 makes of one sum in two orders: absolute, and
of the largest logit where that is above 100."""
FLIPPED = 1e-3
"""Share of the weights that lie so near the middle between two neighbours of a format that two
orders of summation may round them apart; float32 has 2^16 steps for one of bfloat16."""
OF_ROUNDING = (12 * FLIPPED) ** 0.5
"""What those change, of what rounding all weights changes: a step of one neighbour each against a
step's even error, whose square is a twelfth."""
BY_LLAMA = 0.9
"""Share of the tokens that llama.cpp must find most likely, too: it rounds what goes into its
products to the file's format, and takes some functions from tables."""
NOISE = 2.0
"""Two computations in one format may both be as far from float32 as one of them is."""

Kind = Literal["adapter", "merged", "gguf"]
Dtype = Literal["fp32", "bf16", "fp16"]
DTYPES: dict[str, str] = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
"""Number formats, and what torch calls them."""


class Proof(BaseModel):
    """One export as it was loaded in a fresh process, against the model as it was trained. All
    differences are the largest absolute ones between logits, computed in float32."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="strings")

    passed: bool | None
    """None where it could not be looked at."""
    problems: tuple[str, ...] = ()
    """Why it did not pass, or could not be looked at."""
    kind: Kind
    dtype: Dtype
    step: int | None = None
    """Of the checkpoint; None for what the run ended with."""
    difference: float | None = None
    """From the model as trained, with its weights rounded to the export's format."""
    bound: float | None = None
    rounding: float = 0.0
    """What rounding to the export's format changes."""
    changed: float | None = None
    """From the model as trained, with that."""
    saved: float | None = None
    """Between what the model said when it was saved and what the saved weights say; None where
    nothing was recorded."""
    saved_bound: float | None = None
    n_tensors: int = 0
    """Tensors that are bit for bit as they were made."""
    n_places: int = 0
    """Tokens behind which all logits were compared."""
    n_greedy: int = 0
    """Of them, those of answers that follow the prompts, each the most likely token."""
    n_agreed: int = 0
    """Of those, where the export finds the same token most likely."""
    llama: str = ""
    """By what llama.cpp was asked as well; empty where it is not installed."""
    llama_agreed: int = 0
    """Of those tokens, where it finds the same token most likely as the model in this format."""
    llama_difference: float | None = None
    """Between its logits and that model's."""
    llama_texts: tuple[int, int] = (0, 0)
    """Prompts of which it makes the same tokens, and all of them."""
    base: str = ""
    base_commit: str | None = None
    prompts_sha256: str = ""
    files: Mapping[str, str] = Field(default_factory=dict)
    """Name → SHA-256."""
    versions: Mapping[str, str] = Field(default_factory=dict)
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))

    @property
    def is_saved_as_trained(self) -> bool:
        """Whether the saved weights say what the model said, as far as that was recorded."""
        return self.saved is None or self.saved_bound is None or self.saved <= self.saved_bound

    @property
    def headline(self) -> str:
        """The outcome in one line."""
        if self.passed is None:
            return f"Not proved: {self.problems[0]}"
        if not self.passed:
            return f"Not the model that was trained: {self.problems[0]}"
        rounding = f", after rounding to {self.dtype}" if self.rounding else ""
        return (
            f"Proved: logits differ by {_figure(self.difference)} at most{rounding}, and "
            f"{self.n_agreed} of {self.n_greedy} tokens are the same."
        )

    @property
    def lines(self) -> list[tuple[str, str]]:
        """Each figure with its name and its basis."""
        found = [("places compared", f"{self.n_places:,}")]
        if self.difference is not None:
            bound = f"{_figure(self.difference)}; {_figure(self.bound)} is allowed"
            found.append(("largest difference", bound))
        if self.rounding:
            found.append((f"rounding to {self.dtype} changes", _figure(self.rounding)))
            found.append(("so far from the model as trained", _figure(self.changed)))
        if self.n_greedy:
            found.append(("same most likely token", f"{self.n_agreed} of {self.n_greedy}"))
        if self.llama:
            text = f"{self.llama_agreed} of {self.n_greedy}, by {self.llama}"
            found.append(("same token by llama.cpp", text))
            found.append(("its largest difference", _figure(self.llama_difference)))
            found.append(("prompts with its tokens", "{} of {}".format(*self.llama_texts)))
        if self.n_tensors:
            found.append(("tensors bit for bit as made", f"{self.n_tensors:,}"))
        if self.saved is not None:
            text = f"{_figure(self.saved)}; {_figure(self.saved_bound)} is allowed"
            found.append(("saved against trained", text))
        found.append(("base", self.base + (f" at {self.base_commit}" if self.base_commit else "")))
        with_versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        return [*found, ("loaded by", with_versions)] if with_versions else found


def _figure(value: float | None) -> str:
    return "unknown" if value is None else short(value)


def judged(made: Mapping[str, Any], found: Mapping[str, Any], texts_as: Any, **about: Any) -> Proof:
    """What the figures of an export (`made`, by the process that wrote it; `found`, by that which
    loaded it) add up to; `texts_as` are the tokens of some texts as the run's tokenizer has them.
    """
    exact, is_rounded = max(EXACT, SHARE * made["scale"]), about["dtype"] != "fp32"
    rounding = made["rounding"] if is_rounded else 0.0
    bound = max(exact, OF_ROUNDING * rounding)
    if not is_rounded:
        found = {**found, "difference": found.get("changed")}
    saved_bound = None
    if "saved" in made:
        saved_bound = max(exact, NOISE * made["saved_noise"])
    figures = {
        **{name: found.get(name) for name in ("difference", "changed")},
        **{name: found.get(name, 0) for name in ("n_places", "n_greedy", "n_agreed")},
        **(_by_llama(found, texts_as) if "llama" in found else {}),
        "versions": found.get("versions", {}),
        "rounding": rounding,
        "bound": bound,
        "saved": made.get("saved"),
        "saved_bound": saved_bound,
        "n_tensors": _n_same(made["weights"], found.get("weights") or {}),
    }
    problems = tuple(_problems(made, found, texts_as, figures, exact))
    return Proof(passed=not problems, problems=problems, **figures, **about)


def _by_llama(found: Mapping[str, Any], texts_as: Any) -> dict[str, Any]:
    same = sum(a == b for a, b in zip(found["llama_tokens"], texts_as, strict=True))
    names = ("llama", "llama_agreed", "llama_difference")
    return {**{name: found[name] for name in names}, "llama_texts": (same, len(texts_as))}


def _problems(
    made: Mapping[str, Any],
    found: Mapping[str, Any],
    texts_as: Any,
    figures: Mapping[str, Any],
    exact: float,
) -> list[str]:
    if "unloadable" in found:
        return [f"transformers and peft can't load it ({found['unloadable']})."]
    problems = list[str]()
    # Asked so that what is no number is never near enough.
    if not found["difference"] <= figures["bound"]:
        problems.append(
            f"its logits are {_figure(found['difference'])} off, and {_figure(figures['bound'])} "
            "is allowed."
        )
    if found["weights"] is not None and (others := _others(made["weights"], found["weights"])):
        problems.append(
            f"{len(others):,} of its {len(made['weights']):,} tensors are not as they were made "
            f"({others[0]} is the first)."
        )
    if not made.get("merging", 0.0) <= exact:
        problems.append(
            f"merging alone changed logits by {_figure(made['merging'])}, and {_figure(exact)} is "
            "allowed."
        )
    if "saved" in made and not made["saved"] <= figures["saved_bound"]:
        problems.append(
            f"what was saved is not what was trained: its logits are {_figure(made['saved'])} off, "
            f"and {_figure(figures['saved_bound'])} is allowed."
        )
    if "llama" in found and found["llama_agreed"] < BY_LLAMA * found["n_greedy"]:
        problems.append(
            f"llama.cpp finds {found['llama_agreed']} of its {found['n_greedy']} tokens most "
            f"likely, and {BY_LLAMA:.0%} are asked for."
        )
    if found["tokens"] is not None and found["tokens"] != texts_as:
        problems.append("its tokenizer makes other tokens of the prompts.")
    return problems


def _n_same(made: Mapping[str, str], found: Mapping[str, str]) -> int:
    return sum(found.get(name) == digest for name, digest in made.items())


def _others(made: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """The tensors that are not the same in both."""
    return [name for name in {**made, **found} if made.get(name) != found.get(name)]


def read_proof(folder: Path) -> Proof | None:
    """The proof beside an export; None where there is none, or where it can't be read."""
    file = existing(folder / PROOF)
    try:
        return None if file is None else Proof.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return None
