"""The verb about models: models."""

from __future__ import annotations

import argparse

from ftlab.cli.printing import print_table, say


def models(options: argparse.Namespace) -> int:
    """List the models of the hub that are on this machine, and the room for more."""
    from ftlab.model_cache import cache_folder, free_bytes, list_models
    from ftlab.units import in_bytes

    found = list_models()
    if found:
        print_table(
            ("model", "size", "last used", "state"),
            [
                (
                    model.name,
                    in_bytes(model.n_bytes),
                    model.last_used.astimezone().strftime("%Y-%m-%d"),
                    "complete" if model.is_whole else "a part; a run fetches the rest",
                )
                for model in found
            ],
            whole=("size", "last used"),
        )
    else:
        say("No model of the hub is on this machine. A run fetches the one that its spec names.")
    say(f"{in_bytes(free_bytes())} are free in {cache_folder()}.")
    return 0
