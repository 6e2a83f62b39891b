"""What a hosted job costs, by the table of rates.

tokens = n_epochs × training tokens + n_evals × validation tokens; without packing a training row
counts max_seq_length (docs.together.ai, fine-tuning pricing, 2026). The service's own estimate
comes before this where it is at hand (`service_estimate.py`); what answers of the tuned model
cost afterwards is in `running_costs.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from ftlab.limits import Limits
from ftlab.model_files import ModelInfo
from ftlab.price_table import BILLION, Bracket, Rates, rates
from ftlab.spec import JobSpec

MILLION = 1e6


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars from `low` to `high`; both are None when unknown, and then `basis` says why."""

    low: float | None = None
    high: float | None = None
    basis: tuple[str, ...] = ()

    def in_words(self) -> str:
        """ "$4.10 to $5.20", "$0.39", "unknown"."""
        if self.low is None or self.high is None:
            return "unknown"
        low, high = dollars(self.low), dollars(self.high)
        return low if low == high else f"{low} to {high}"


def dollars(amount: float) -> str:
    """With cents below 100 dollars: "$0.39", "$1,240"."""
    if 0 < amount < 0.01:
        return "under $0.01"
    return f"${amount:,.2f}" if amount < 100 else f"${amount:,.0f}"


class _Unknown(Exception):
    """Why there is no price."""


@dataclass(frozen=True, slots=True)
class _Usage:
    """Tokens that are charged over the whole job."""

    trained: int
    measured: int
    least: float
    """The share of the job after which early stopping may end it."""

    @property
    def tokens(self) -> int:
        return self.trained + self.measured


@dataclass(frozen=True, slots=True)
class _Offer:
    """A rate that may apply; US dollars per million tokens."""

    bracket: Bracket
    rate: float


def hosted_price(
    spec: JobSpec,
    info: ModelInfo,
    train_tokens: int | None,
    eval_tokens: int | None,
    *,
    n_rows: int | None = None,
    limits: Limits | None = None,
    table: Rates | None = None,
) -> Price:
    """What the service will charge for the job, by the rates of the table.

    `train_tokens` and `eval_tokens` are those of the files, once through. `n_rows` are the
    training rows; they count when packing is off, at max_seq_length each or at the most that
    `limits` allow (the catalogue's, if none are given). The range covers what is open: LoRA or
    all weights, an early stop, a size between two brackets, a minimum that nobody confirmed.
    """
    table = table or rates()
    try:
        offers = _offers(spec, info, table)
        usage = _usage(spec, limits or info.hosted or Limits(), train_tokens, eval_tokens, n_rows)
    except _Unknown as reason:
        return Price(basis=(str(reason),))
    costs = [offer.rate * usage.tokens / MILLION for offer in offers]
    return Price(
        max(min(costs) * usage.least, *(offer.bracket.minimum for offer in offers)),
        max(*costs, *(_highest_minimum(offer.bracket) for offer in offers)),
        (
            _bill(spec, table, offers, usage),
            *_left_open(spec, usage, counts_validation=eval_tokens is not None),
            *_minimum(offers, max(costs)),
        ),
    )


def _offers(spec: JobSpec, info: ModelInfo, table: Rates) -> list[_Offer]:
    """Every rate that may apply: of both trainings where the service chooses."""
    brackets = table.brackets_of(info)
    if not brackets:
        raise _Unknown(_no_bracket(info, table))
    trainings = {None: ("lora", "full"), True: ("lora",), False: ("full",)}[spec.lora]
    offers = [
        _Offer(bracket, known[training])
        for bracket in brackets
        for known in (bracket.rates.get(spec.training_method, {}),)
        for training in trainings
        if training in known
    ]
    if not offers:
        what = "training all weights" if spec.lora is False else spec.training_method
        raise _Unknown(
            f"No price: {brackets[0].title} has no rate for {what} ({_dated(table)}). "
            "Choose another kind of training, or ask the service."
        )
    return offers


def _no_bracket(info: ModelInfo, table: Rates) -> str:
    if info.n_params is None:
        who = info.name or "the model"
        return f"No price: rates go by the size of a model, and that of {who} is not known."
    most = max((bracket.to_b for bracket in table.brackets), default=0)
    return (
        f"No price: {info.name} has {info.n_params / BILLION:.3g}B parameters; the rates here end "
        f"at {most:g}B, and larger models have rates of their own ({_dated(table)}). Ask the "
        "service."
    )


def _dated(table: Rates) -> str:
    return f"{table.source}, {table.as_of}"


def _usage(
    spec: JobSpec,
    limits: Limits,
    train_tokens: int | None,
    eval_tokens: int | None,
    n_rows: int | None,
) -> _Usage:
    once = train_tokens
    if spec.packing is False:
        length = spec.max_seq_length or limits.longest_sequence(spec.training_method)
        once = None if n_rows is None or length is None else n_rows * length
    if once is None:
        raise _Unknown(
            "No price: the tokens of the training file are not counted yet."
            if spec.packing is not False
            else "No price: without packing each row counts max_seq_length tokens, and that "
            "length or the number of rows is not known."
        )
    n_evals = spec.n_evals or 0
    return _Usage(spec.n_epochs * once, n_evals * (eval_tokens or 0), _least_share(spec, n_evals))


def _least_share(spec: JobSpec, n_evals: int) -> float:
    """After the evaluations that are not judged, one sets the best and `patience` miss it."""
    if not spec.early_stopping_enabled or not n_evals:
        return 1.0
    least = spec.early_stopping_warmup_evals + 1 + spec.early_stopping_patience
    return min(1.0, least / n_evals)


def _highest_minimum(bracket: Bracket) -> float:
    return max(bracket.minimum, bracket.unconfirmed_minimum)


def _bill(spec: JobSpec, table: Rates, offers: list[_Offer], usage: _Usage) -> str:
    """ "6,300,000 tokens × $0.48 per million (up to 16B, sft, LoRA; …)"."""
    values = " or ".join(f"${rate:.2f}" for rate in sorted({offer.rate for offer in offers}))
    titles = " or ".join(dict.fromkeys(offer.bracket.title for offer in offers))
    trained = {None: "LoRA or all weights", True: "LoRA", False: "all weights"}[spec.lora]
    return (
        f"{usage.tokens:,} tokens × {values} per million ({titles}, {spec.training_method}, "
        f"{trained}; rates of {table.as_of}, {table.source})"
    )


def _left_open(spec: JobSpec, usage: _Usage, *, counts_validation: bool) -> list[str]:
    """What else the price rests on."""
    lines = {
        "Without packing each training row counts max_seq_length tokens.": spec.packing is False,
        "The validation tokens are not counted yet and not in the price.": bool(
            spec.n_evals and spec.validation_file and not counts_validation
        ),
        f"Early stopping may end the job after {usage.least:.0%} of it.": usage.least < 1,
        "The rate is that of the template model's size.": spec.from_hf_model is not None,
    }
    return [line for line, applies in lines.items() if applies]


def _minimum(offers: list[_Offer], cost: float) -> list[str]:
    """What a small job may cost at least, where that is more than its tokens."""
    bracket = max((offer.bracket for offer in offers), key=_highest_minimum)
    least = _highest_minimum(bracket)
    if least <= cost:
        return []
    source = bracket.minimum_source or bracket.title
    return [f"A job may cost {dollars(least)} at least ({source})."]
