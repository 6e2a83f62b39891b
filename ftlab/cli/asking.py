"""The verbs that ask a run's models: ask, and serve for other programs."""

from __future__ import annotations

import argparse
import contextlib
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ftlab.cli.printing import print_json, say, teller, visible

if TYPE_CHECKING:
    from ftlab.answers import Comparison

SAMPLING = ("max_tokens", "temperature", "top_p", "seed")


def ask(options: argparse.Namespace) -> int:
    """What the base model and a run's tuned model answer to one prompt, as they write it.

    A job at Together whose result is not here is asked there, which is billed by the tokens. With
    --json an object: prompt, base, tuned.
    """
    if options.json:
        print_json(answers_of(options, told=teller())._asdict())
        return 0
    answers_of(options, told=teller(), heard=_printer())
    print()
    return 0


def answers_of(options: argparse.Namespace, **more: Any) -> Comparison:
    """What the arguments ask for."""
    from ftlab.answers import ask as ask_both
    from ftlab.runs import attach as find

    given = {name: getattr(options, name) for name in SAMPLING}
    sampling = {name: value for name, value in given.items() if value is not None}
    run = find(options.run)
    return ask_both(
        run, options.prompt, step=options.step, system=options.system, **sampling, **more
    )


def _printer() -> Callable[[str, str], None]:
    """Prints the pieces of two answers, each under the name of its side."""
    shown = ""

    def heard(side: str, piece: str) -> None:
        nonlocal shown
        if side != shown:
            print(f"{chr(10) * 2 if shown else ''}{side}:")
            shown = side
        # A terminal knows what to do with a tab, which code is full of.
        said = "\t".join(map(visible, piece.split("\t"))) if piece else "(nothing)"
        print(said, end="", flush=True)

    return heard


def serve(options: argparse.Namespace) -> int:
    """Let programs of this machine ask a run's models as they ask OpenAI, until Ctrl-C.

    It listens on 127.0.0.1 alone and answers who sends the token, which is made anew each time and
    printed here. "base" is the base model, the run's id what it tuned, ID:STEP a checkpoint.
    """
    from ftlab.runs import attach as find

    with find(options.run).serve(options.port) as served:
        say(f"base_url  {served.base_url}")
        say(f"token     {served.token}")
        say(f"models    {', '.join(served.models)}")
        say("Ctrl-C ends it.", to=sys.stderr)
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()
    return 0
