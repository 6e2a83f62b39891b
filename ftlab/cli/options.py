"""The providers' own options as arguments, made from their models as the form is."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from pydantic.fields import FieldInfo

from ftlab.errors import FtlabError

TITLES = {"local": "on this machine", "together": "at Together (--on together)"}


def add_provider_options(verb: argparse.ArgumentParser) -> None:
    """--n-gpus, --pay-up-to and so on, each in the group of its provider; what is given is checked
    by its model later."""
    for provider, title in TITLES.items():
        group = verb.add_argument_group(title)
        for name, field in _fields_of(provider):
            group.add_argument(
                _flag(name),
                dest=name,
                default=argparse.SUPPRESS,
                metavar="VALUE",
                help=_help(field),
            )


def given_options(options: argparse.Namespace, provider: str) -> dict[str, Any]:
    """What was given for a provider. Raises FtlabError for an option of another one."""
    found = dict[str, Any]()
    for other in TITLES:
        given = {n: getattr(options, n) for n, _ in _fields_of(other) if hasattr(options, n)}
        if given and other != provider:
            flags = " and ".join(map(_flag, given))
            raise FtlabError(
                f"{flags} {'is' if len(given) == 1 else 'are'} given for a job on {provider}, but "
                f"{'says' if len(given) == 1 else 'say'} how one runs on {other}. Leave that out, "
                f"or add --on {other}."
            )
        found |= given
    return found


def _fields_of(provider: str) -> Iterator[tuple[str, FieldInfo]]:
    from ftlab.job import LocalOptions, TogetherOptions

    models = {"local": LocalOptions, "together": TogetherOptions}
    yield from models[provider].model_fields.items()


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _help(field: FieldInfo) -> str:
    """What it means, and what it takes; argparse reads % as a place for a value."""
    from ftlab.issues import allowed

    text = " ".join((field.description or "").split())
    return f"{text} It takes {allowed(field)}.".replace("%", "%%")


def add_engine_argument(verb: argparse.ArgumentParser, default: str) -> None:
    """--for local|together."""
    verb.add_argument(
        "--for",
        dest="engine",
        choices=("local", "together"),
        default=default,
        help="whose rules decide: the embedded trainer's or the hosted service's (%(default)s)",
    )
