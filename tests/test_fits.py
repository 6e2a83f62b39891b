"""Whether a job fits, and what is offered when it does not."""

from __future__ import annotations

from ftlab.cost import estimate
from ftlab.data.report import DataReport
from ftlab.data.stats import TokenStats
from ftlab.devices import Device
from ftlab.fits import verdict
from ftlab.memory import GIB
from ftlab.model_files import ModelInfo, config_info

EIGHT_BILLION = config_info(
    "llama-8b",
    {
        "model_type": "llama",
        **{"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32},
        **{"num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256},
    },
)
SHORT = TokenStats(lengths={250: 400, 500: 400}, by_role={})
LONG = TokenStats(lengths={600: 700, 7000: 100}, by_role={})


def of(gib: float, tokens: TokenStats = SHORT, **values):
    """The estimate of an 8B job on a GPU of that size."""
    info = ModelInfo(**{**_fields(EIGHT_BILLION), "n_params": 8_030_261_248})
    report = DataReport(path="t", n_rows=800, tokens=tokens, loss_tokens=tokens.total // 2)
    gpu = Device("cuda:0", "GPU", round(gib * GIB), free_bytes=round(gib * GIB))
    spec = {"model": "m", "training_file": "t", "batch_size": 16, "lora_r": 16, **values}
    return estimate(spec, report, info, device=gpu)


def _fields(info: ModelInfo) -> dict:
    return {name: getattr(info, name) for name in ModelInfo.__dataclass_fields__}


def test_a_range_fits_when_all_of_it_is_free():
    busy = Device("cpu", "CPU", 16 * GIB, 2, 8 * GIB)
    assert verdict((6 * GIB, 8 * GIB), busy) == "fits"
    assert verdict((6 * GIB, 9 * GIB), busy) == "tight"
    assert verdict((17 * GIB, 18 * GIB), busy) == "does not fit"
    unknown = Device("cpu", "CPU", 16 * GIB, 2)
    assert verdict((10 * GIB, 15 * GIB), unknown) == "fits"


def test_what_fits_needs_no_advice():
    found = of(141)
    assert found.fits == "fits"
    assert found.advice is None


def test_fewer_rows_at_once_come_first():
    found = of(40)
    assert found.fits != "fits"
    assert found.advice is not None
    assert found.advice.fix == {"micro_batch_size": 4}
    assert "the same effective batch" in found.advice.message
    assert "4 pieces per step" in found.advice.message


def test_the_fix_makes_it_fit():
    for gib, tokens in ((40, SHORT), (24, SHORT), (22, LONG)):
        advice = of(gib, tokens).advice
        assert advice is not None
        fix = dict(advice.fix)
        options = {name: fix.pop(name) for name in [*fix] if name != "max_seq_length"}
        report = DataReport(path="t", n_rows=800, tokens=tokens, loss_tokens=tokens.total // 2)
        info = ModelInfo(**{**_fields(EIGHT_BILLION), "n_params": 8_030_261_248})
        spec = {"model": "m", "training_file": "t", "batch_size": 16, "lora_r": 16, **fix}
        gpu = Device("cuda:0", "GPU", gib * GIB, free_bytes=gib * GIB)
        assert estimate(spec, report, info, device=gpu, options=options).fits == "fits"


def test_shorter_rows_come_last_and_say_what_they_cost():
    advice = of(20, LONG).advice
    assert advice is not None
    assert advice.fix["max_seq_length"] < 7000
    assert "lose their end" in advice.message


def test_weights_that_are_too_large_are_said():
    found = of(8)
    assert found.fits == "does not fit"
    assert found.advice is not None
    assert found.advice.fix is None
    assert "15 GiB" in found.advice.message
    assert "smaller model" in found.advice.message
