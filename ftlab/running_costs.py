"""What a tuned model costs while it answers, and what a job on this machine costs."""

from __future__ import annotations

from ftlab.model_files import ModelInfo
from ftlab.price_table import Hardware, Rates, rates
from ftlab.prices import Price

# bf16 weights take 2 bytes each; the room is a guess at what the conversations in hand take.
SERVING_BYTES, SERVING_ROOM, GIB = 2, 1.2, 2**30
GPU_COUNTS = (1, 2, 4, 8)
SECONDS_PER_HOUR, MINUTES_PER_HOUR, WATTS_PER_KILOWATT = 3600, 60, 1000


def endpoint_price(
    info: ModelInfo, minutes: float = 60, *, hardware: str | None = None, table: Rates | None = None
) -> Price:
    """What answers of the tuned model cost: a dedicated endpoint that runs for these minutes.

    On the cheapest hardware of the table (or the one of that name) that holds the weights in
    bf16; it bills while it runs, used or not.
    """
    table = table or rates()
    if info.n_params is None:
        who = info.name or "the model"
        return Price(basis=(f"No price: the size of {who} is not known, and so its hardware.",))
    needed = info.n_params * SERVING_BYTES * SERVING_ROOM
    fitting = [
        (count * machine.usd_per_hour, count, machine)
        for machine in table.hardware
        if hardware in (None, machine.name)
        for count in GPU_COUNTS
        if count * machine.gib * GIB >= needed
    ]
    if not fitting:
        return Price(basis=(_too_large(info, needed, table, hardware),))
    hourly, count, machine = min(fitting, key=lambda option: option[:2])
    return Price(
        hourly * minutes / MINUTES_PER_HOUR,
        hourly * minutes / MINUTES_PER_HOUR,
        (_endpoint_basis(count, machine, table),),
    )


def _too_large(info: ModelInfo, needed: float, table: Rates, hardware: str | None) -> str:
    names = hardware or ", ".join(machine.name for machine in table.hardware) or "none"
    return (
        f"No price: {info.name} needs {needed / GIB:.3g} GiB, more than {GPU_COUNTS[-1]} GPUs of "
        f"those with a rate have ({names}). Ask the service."
    )


def _endpoint_basis(count: int, machine: Hardware, table: Rates) -> str:
    hourly = count * machine.usd_per_hour
    per_gpu = ", taken per GPU" if count > 1 else ""
    return (
        f"{count} × {machine.name} at ${hourly / MINUTES_PER_HOUR:.3g} per minute{per_gpu} while "
        f"the endpoint runs, used or not (rates of {table.hardware_as_of}, {table.hardware_source})"
    )


def local_price(
    seconds: tuple[float, float],
    *,
    usd_per_hour: float | None = None,
    watts: float | None = None,
    usd_per_kwh: float | None = None,
) -> Price:
    """What a job here costs from its shortest to its longest duration, at the person's own rate:
    an hourly one, or power and the price of energy; both are added when both are given."""
    hourly, basis = 0.0, []
    if usd_per_hour is not None:
        hourly += usd_per_hour
        basis.append(f"${usd_per_hour:g} per hour")
    if watts is not None and usd_per_kwh is not None:
        hourly += watts / WATTS_PER_KILOWATT * usd_per_kwh
        basis.append(f"{watts:g} W at ${usd_per_kwh:g} per kWh")
    if not basis:
        return Price(basis=("No price: give a rate per hour, or watts and a price per kWh.",))
    low, high = (hourly * duration / SECONDS_PER_HOUR for duration in seconds)
    return Price(low, high, (" and ".join(basis),))
