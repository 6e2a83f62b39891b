"""Starting a job at the hosted service from a terminal or a notebook: its price is asked about."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftlab.cli.files import read_values
from ftlab.cli.printing import say, teller

if TYPE_CHECKING:
    from ftlab.providers.together.agreement import Offer
    from ftlab.runs import Run


def submitted(file: Path, on: str, pay_up_to: float | None) -> Run | None:
    """The run of a file with the values of a spec; None where a person does not agree to its price.

    Raises FtlabError with the price where nobody can be asked.
    """
    from ftlab.providers import scan_data, submit
    from ftlab.spec import parse

    values = read_values(file)
    if on == "local":
        return submit(values)
    scans = scan_data(parse(values)[0], engine="together")
    agreed = _agreed(values, scans) if pay_up_to is None else pay_up_to
    if agreed is None:
        say("Nothing was started.")
        return None
    report, validation = scans
    return submit(values, on, report=report, validation=validation, pay_up_to=agreed)


def _agreed(values: dict[str, Any], scans: tuple[Any, Any]) -> float | None:
    """What a person agrees to pay, in US dollars; None where they don't."""
    from ftlab.providers.together.agreement import offer

    tell = teller()
    return confirmed(offer(values, *scans, told=lambda _, what: tell(what)))


def confirmed(found: Offer) -> float | None:
    """What a person agrees to pay of an offer, in US dollars; None where they don't. Raises
    FtlabError with the price where nobody can be asked."""
    from ftlab.prices import dollars
    from ftlab.providers.together.agreement import unconfirmed

    if found.most is None:
        raise unconfirmed(found)
    say(found.text)
    try:
        answer = input(f"Start it at Together, for up to {dollars(found.most)}? [y/N] ")
    except (EOFError, OSError, RuntimeError) as exc:  # the last in a notebook without a frontend
        raise unconfirmed(found) from exc
    return found.most if answer.strip().lower() in ("y", "yes") else None
