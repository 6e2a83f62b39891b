"""The verb that holds runs against each other."""

from __future__ import annotations

import argparse

from ftlab.cli.printing import print_columns, print_json, say, say_line


def compare(options: argparse.Namespace) -> int:
    """Hold runs against each other: what each has come to, and what differs between them.

    A run is named by its id or folder, another tool's by a file: a trainer_state.json, a CSV of
    W&B, a folder with TensorBoard's event files.
    """
    from ftlab.comparison import compare as find
    from ftlab.comparison.costs import costs_cells, without_blanks
    from ftlab.comparison.scored import scores_cells

    found = find(options.runs)
    if options.json:
        print_json(found.as_dict())
        return 0
    print_columns(*found.reached_cells())
    for titles, rows in (
        scores_cells(found.tracks),
        without_blanks(*costs_cells(found.tracks)),
        found.data_cells(),
    ):
        if rows:
            say("")
            print_columns(titles, rows)
    if found.differences:
        say("")
        names = [track.name for track in found.tracks]
        rows = [(one.field, *one.values) for one in found.differences]
        print_columns(("field", *names), rows)
    for text in filter(None, (found.headline, *found.cautions)):
        say("")
        say_line(text)
    return 0


def add_compare_arguments(verb: argparse.ArgumentParser) -> None:
    """RUN… [--json], as in the notebook too."""
    verb.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="id or folder of a run or sweep, or a file of another tool",
    )
    verb.add_argument("--json", action="store_true")
