"""Estimate: what a job will take, as figures and in words."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from ftlab.devices import Device
from ftlab.fits import Verdict, in_gib, verdict
from ftlab.html import escaped, facts, issue_list, short
from ftlab.issues import Issue
from ftlab.measured import Measurement
from ftlab.memory import GIB, Parts, two_digits
from ftlab.prices import Price
from ftlab.service_estimate import ServiceEstimate
from ftlab.timing import Range


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a job will take; None is unknown. Ranges are (low, high)."""

    train_tokens: int | None = None
    """Tokens that go through the model for training, over all epochs."""
    eval_tokens: int | None = None
    n_steps: int | None = None
    trainable_params: int | None = None
    trainable_share: float | None = None
    """Of the model's own parameters, 0 to 1."""
    adapter_bytes: int | None = None
    price: Range | None = None
    """US dollars on the hosted service; None when no rate is known."""
    local_price: Range | None = None
    """US dollars on this machine; None without `usd_per_hour` among the options."""
    answers_per_hour: Range | None = None
    """US dollars for an hour of answers of the tuned model from the hosted service, whose dedicated
    endpoint bills while it runs, used or not; None when the model's size is unknown."""
    duration: Range | None = None
    """Seconds on `device`."""
    memory: Range | None = None
    """Bytes on `device`, peak."""
    device: Device | None = None
    incomplete: bool = False
    """Some fields are wrong; the figures are those of the valid ones."""
    guessed: bool = False
    """Tokens, and what follows from them, are a guess by the number of characters."""
    basis: tuple[str, ...] = ()
    """What the figures rest on; a line about one figure begins with its name."""
    parts: Parts | None = None
    """Bytes at the peak by the formula, part by part."""
    gradient_checkpointing: bool | None = None
    """Whether the trainer computes activations twice: what was chosen, or what makes the job fit
    where nothing was; None when the memory is unknown."""
    shard: bool | None = None
    """Whether the processes divide the model, likewise."""
    advice: Issue | None = None
    """What to change when the memory is tight or does not suffice; its fix may name options."""
    measured: Measurement | None = None
    """The probe of exactly this job, if there was one."""

    @property
    def fits(self) -> Verdict | None:
        """Whether the memory suffices on `device`."""
        if self.memory is None or self.device is None:
            return None
        return verdict(self.memory, self.device)

    def priced_by(self, service: ServiceEstimate, *, packing: bool | None = None) -> Estimate:
        """With the service's own price in place of the table's, which stays in the basis; where
        the service gave none, or one that does not know that `packing` is off, that is there."""
        own = tuple(f"Price: {line}" for line in service.price.basis)
        price = service.price
        if price.low is not None and packing is False:
            said = f"Price: {price.in_words()} by Together, which does not know that packing is off"
            return replace(self, basis=(said, *self.basis))
        if price.low is None or price.high is None:
            return replace(self, basis=(*own, *self.basis))
        table = Price(*(self.price or (None, None))).in_words()
        old = next((line for line in self.basis if line.startswith("Price: ")), "Price: no rates")
        said = f"Price: by the table of rates {table}: {old.removeprefix('Price: ')}"
        basis = (*own, *(said if line == old else line for line in self.basis))
        return replace(self, price=(price.low, price.high), basis=basis)

    def in_words(self) -> dict[str, str]:
        """What a person reads: each figure with its unit."""
        return {
            "steps": _count(self.n_steps),
            "tokens": _tokens_in_words(self),
            "adapter": _adapter_in_words(self),
            "time": duration_in_words(self.duration),
            "memory": _memory_in_words(self),
            "price": _price_in_words(self),
            "answers": _answers_in_words(self),
        }

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON: every field by its name, and `fits`."""
        advice = None if self.advice is None else self.advice.as_dict()
        return {**asdict(self), "fits": self.fits, "advice": advice}

    def _repr_html_(self) -> str:
        lines = "".join(f"<div>{escaped(line)}</div>" for line in self.basis)
        advice = issue_list([self.advice]) if self.advice is not None else ""
        title = "<summary>Where these figures come from</summary>"
        return f"{facts(self.in_words())}{advice}<details>{title}{lines}</details>"


# --- words -----------------------------------------------------------------------------------


def _count(value: int | None) -> str:
    return "unknown" if value is None else short(value)


def _tokens_in_words(found: Estimate) -> str:
    if found.train_tokens is None or not found.guessed:
        return _count(found.train_tokens)
    return f"about {short(float(f'{found.train_tokens:.2g}'))}"


def _adapter_in_words(found: Estimate) -> str:
    if found.trainable_params is None or found.adapter_bytes is None:
        return "unknown"
    share = f" ({found.trainable_share:.2%} of the model)" if found.trainable_share else ""
    return (
        f"{short(found.trainable_params)} parameters{share}, {bytes_in_words(found.adapter_bytes)}"
    )


def bytes_in_words(n: float) -> str:
    """With three digits and its unit: "2.15 MiB"."""
    for unit, size in {"GiB": 2**30, "MiB": 2**20}.items():
        if n >= size:
            return f"{n / size:.3g} {unit}"
    return f"{n / 1024:.3g} KiB"


def duration_in_words(duration: tuple[float, float] | None) -> str:
    """A range of time, each end in its own unit: "26 s to 2.7 min", "38 to 46 min"."""
    if duration is None:
        return "unknown"
    (low, low_unit), (high, high_unit) = map(_in_unit, duration)
    unit = "" if low_unit == high_unit else f" {low_unit}"
    return f"{two_digits(low)}{unit} to {two_digits(high)} {high_unit}"


def _in_unit(seconds: float) -> tuple[float, str]:
    for unit, size in {"days": 86400, "h": 3600, "min": 60}.items():
        if seconds >= 1.5 * size:
            return seconds / size, unit
    return seconds, "s"


def _price_in_words(found: Estimate) -> str:
    here = Price(*found.local_price).in_words() if found.local_price else "none"
    hosted = Price(*(found.price or (None, None))).in_words()
    return f"{here} on this machine; hosted {hosted}"


def _answers_in_words(found: Estimate) -> str:
    if found.answers_per_hour is None:
        return "none on this machine; hosted unknown"
    per_hour = Price(*found.answers_per_hour).in_words()
    return f"none on this machine; hosted {per_hour} per hour"


def _memory_in_words(found: Estimate) -> str:
    if found.memory is None or found.device is None:
        return "unknown"
    there = f"{found.device.memory_bytes / GIB:.3g} on the {found.device.title}"
    return f"{in_gib(found.memory)} of {there}: {found.fits}"
