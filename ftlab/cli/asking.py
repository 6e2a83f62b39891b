"""The verbs that ask a run's models: ask, and serve for other programs."""

from __future__ import annotations

import argparse
import contextlib
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ftlab.cli.numbers import from_zero, port, positive, top_p
from ftlab.cli.printing import print_json, say, say_line, teller, visible

if TYPE_CHECKING:
    from ftlab.answers import Comparison
    from ftlab.answers.served import Served
    from ftlab.answers.sides import Side
    from ftlab.run import Run

CLIENT_KEY = 'getpass("token: ")'
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

    given = {name: getattr(options, name) for name in SAMPLING}
    sampling = {name: value for name, value in given.items() if value is not None}
    run, step = _run_and_step(options.run, options.step)
    return ask_both(run, options.prompt, step=step, system=options.system, **sampling, **more)


def _run_and_step(name: str | None, step: int | None) -> tuple[Run, int | None]:
    """The run that is named; otherwise the newest that can answer, which is said."""
    from ftlab.runs import attach as find

    if name is not None:
        return find(name), step
    what = "an adapter or a checkpoint" if step is None else f"a checkpoint of step {step:,}"
    side = _newest(lambda one: step in (None, one.step), what)
    return side.run, side.step


def _to_serve(name: str | None) -> Run:
    from ftlab.runs import attach as find

    if name is not None:
        return find(name)
    return _newest(lambda one: one.run.adapter.exists(), "an adapter").run


def _newest(wanted: Callable[[Side], bool], what: str) -> Side:
    from ftlab.answers.sides import newest_side

    side = newest_side(wanted, what)
    name = side.run.name and f" ({side.run.name})"
    text = f"Run {side.run.id}{name} is taken ({side.title}), the newest that has {what}."
    say_line(text, to=sys.stderr)
    return side


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
    printed here, with the code of a client, which asks for it. "base" is the base model, the run's
    id what it tuned, ID:STEP a checkpoint.
    """
    with _to_serve(options.run).serve(options.port) as served:
        say(f"base_url  {served.base_url}")
        say(f"token     {served.token}")
        say(f"models    {', '.join(served.models)}")
        say(f"\n{_client(served)}")
        say("Ctrl-C ends it.", to=sys.stderr)
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()
    return 0


def _client(served: Served) -> str:
    """Code to paste, which asks for the token: what holds it would be kept with the notebook."""
    return f"from getpass import getpass\n\n{served.snippet(key=CLIENT_KEY)}"


def add_ask_arguments(verb: argparse.ArgumentParser) -> None:
    """[RUN] PROMPT and how to answer, as in the notebook too."""
    verb.add_argument("run", nargs="?", help="id or folder; or the newest that can answer")
    verb.add_argument("prompt")
    verb.add_argument("--step", type=positive, metavar="N", help="ask the checkpoint of this step")
    verb.add_argument("--system", metavar="TEXT", default="", help="a system prompt before it")
    verb.add_argument("--max-tokens", type=positive, metavar="N", help="by default 256")
    verb.add_argument(
        "--temperature", type=from_zero, metavar="T", help="0 takes the likeliest token (default)"
    )
    verb.add_argument("--top-p", type=top_p, metavar="P", help="by default 1")
    verb.add_argument("--seed", type=int, metavar="N", help="of the draws; by default 0")
    verb.add_argument("--json", action="store_true")


def add_serve_arguments(verb: argparse.ArgumentParser) -> None:
    """[RUN] [--port N]."""
    verb.add_argument("run", nargs="?", help="id or folder; or the newest with an adapter")
    verb.add_argument("--port", type=port, default=0, help="otherwise one that is free")
