"""The verb export: a spec in another tool's form, or what a run has tuned."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftlab.cli import forms
from ftlab.cli.printing import print_json, say, teller
from ftlab.errors import FtlabError

if TYPE_CHECKING:
    from ftlab.exports import Exported

OF_RUNS = ("adapter", "merged", "gguf", "hub")
"""Said here too, so that other verbs need not load what makes them."""


class Forms:
    """The forms by name; those of a spec are loaded when one is asked for: most verbs do without
    them."""

    def __contains__(self, name: object) -> bool:
        return name in self._names()

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def _names(self) -> Collection[str]:
        from ftlab.exchange import FORMS

        return (*FORMS, *OF_RUNS)


def add_export_arguments(verb: argparse.ArgumentParser) -> None:
    """WHAT FORM [--to PLACE] and what is only for runs."""
    verb.add_argument("what", metavar="WHAT", help="a JSON or TOML file with a spec, or a run")
    verb.add_argument("form", choices=Forms(), metavar="FORM", help="%(choices)s")
    verb.add_argument(
        "--to", type=Path, metavar="PLACE", help="a new file for a spec, a new folder for a run"
    )
    run = verb.add_argument_group("of a run")
    run.add_argument("--step", type=int, help="of a checkpoint; otherwise what it ended with")
    run.add_argument(
        "--dtype", choices=("auto", "fp32", "bf16", "fp16"), help="by default as it is stored"
    )
    run.add_argument("--repo", metavar="OWNER/NAME", help="send it to the hub, once it is proved")
    seen = run.add_mutually_exclusive_group()
    seen.add_argument("--private", action="store_true", help="for you alone (the default)")
    seen.add_argument("--public", action="store_true", help="for everybody")
    run.add_argument("--replace", action="store_true", help="an export that is there goes")
    run.add_argument("--converter", type=Path, metavar="FILE", help="llama.cpp's, for gguf")
    run.add_argument("--json", action="store_true")


def export(options: argparse.Namespace) -> int:
    """Write a spec in another tool's form, or what a run has tuned, proved in a fresh process.

    Of a spec the text goes to stdout, or into a new file; what it can't say, to stderr; exit 1 when
    the form has nothing like it. Values that no spec takes are refused first, since the text would
    stand for another job without them. Of a run a new folder is written: its adapter, the merged
    model, or a GGUF file. It is kept only if it says what the model said as it was trained; exit 1
    when it does not. With --json an object: place, repo, proof, notes.
    """
    if options.form in OF_RUNS:
        return _of_run(options)
    own = ("step", "dtype", "repo", "private", "public", "replace", "converter", "json")
    if given := [name for name in own if getattr(options, name) not in (None, False)]:
        raise FtlabError(
            f"--{given[0]} is given with the form {options.form}; it is for the forms of a run "
            f"({', '.join(OF_RUNS)}). Leave it out."
        )
    return forms.export(options)


def _of_run(options: argparse.Namespace) -> int:
    from ftlab.exports import export as made_of
    from ftlab.runs import attach

    tell = teller()
    exported = made_of(
        attach(options.what),
        options.to,
        options.form,
        dtype=options.dtype or "auto",
        step=options.step,
        repo=options.repo,
        private=not options.public,
        replace=options.replace,
        converter=options.converter,
        told=lambda _share, what: tell(what),
    )
    if options.json:
        print_json(exported.model_dump(mode="json"))
    else:
        _print(exported)
    return 0


def _print(exported: Exported) -> None:
    from ftlab.exports.kept import LEVELS

    proof = exported.proof
    say(f"{LEVELS[proof.passed][1]} {proof.headline}")
    rows: list[tuple[str, Any]] = [("in", exported.place), *proof.lines]
    if exported.repo:
        rows.insert(1, ("on the hub", exported.repo))
    width = max(len(title) for title, _ in rows)
    for title, value in rows:
        say(f"  {title:<{width}}  {value}")
    for note in exported.notes:
        say(note, to=sys.stderr)
    say("How to use it stands in its README.md.")
