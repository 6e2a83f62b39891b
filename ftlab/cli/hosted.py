"""Starting a job at the hosted service from a terminal or a notebook: its price is asked about."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ftlab.cli.files import read_values
from ftlab.cli.options import given_options
from ftlab.cli.printing import say, teller

if TYPE_CHECKING:
    from ftlab.providers.together.agreement import Offer
    from ftlab.runs import Run


def submitted(options: argparse.Namespace) -> Run | None:
    """The run of a file with the values of a spec, with the options of where it is to run; None
    where a person does not agree to its price.

    Raises FtlabError with the price where nobody can be asked.
    """
    from ftlab.providers import prepare, scan_data, submit
    from ftlab.providers.together.account import require_key
    from ftlab.spec import parse

    values, given = read_values(options.spec), given_options(options, options.on)
    if options.on == "local":
        return submit(values, **given)
    require_key()  # before anybody is asked to agree to a price
    scans = scan_data(parse(values)[0], engine="together")
    report, validation = scans
    prepare(values, options.on, report=report, validation=validation, **given)  # or it is refused
    if "pay_up_to" not in given:
        given["pay_up_to"] = _agreed(values, scans, given.get("base_url"))
    if given["pay_up_to"] is None:
        say("Nothing was started.")
        return None
    return submit(values, options.on, report=report, validation=validation, **given)


def _agreed(values: dict[str, Any], scans: tuple[Any, Any], base_url: str | None) -> float | None:
    """What a person agrees to pay, in US dollars; None where they don't."""
    from ftlab.providers.together.agreement import offer

    tell = teller()
    return confirmed(offer(values, *scans, base_url=base_url, told=lambda _, what: tell(what)))


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
