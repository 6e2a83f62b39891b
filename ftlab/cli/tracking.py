"""The verb that mirrors runs in trackers: track."""

from __future__ import annotations

import argparse
import time

from ftlab.cli.printing import print_json, say, say_line

POLL = 0.3  # seconds


def track(options: argparse.Namespace) -> int:
    """Mirror a run or a sweep in W&B, MLflow, TensorBoard or trackio, from its first step; without
    --to, show how far its mirrors are."""
    from ftlab.sweeps.folder import find
    from ftlab.trackers.shown import reports_of

    run = find(options.run)
    if options.to:
        run.track(*options.to.split(","), project=options.project)
    while options.wait and any(report.is_alive for report in reports_of(run)):
        time.sleep(POLL)
    found = reports_of(run)
    if options.json:
        print_json([report._asdict() for report in found])
    for report in () if options.json else found:
        say(report.text)
    if not (found or options.json):
        say_line(f"Run {run.id} is in no tracker. `ftlab track {run.id} --to wandb` begins one.")
    return int(any(report.problem for report in found))


def add_track_arguments(verb: argparse.ArgumentParser) -> None:
    """[RUN] [--to TRACKER,…] [--project NAME] [--wait] [--json], as in the notebook too."""
    verb.add_argument("run", nargs="?", help="id or folder of a run or sweep; or the newest")
    verb.add_argument("--to", metavar="TRACKER,…", help="wandb, mlflow, tensorboard, trackio")
    verb.add_argument("--project", metavar="NAME", help="its project there; otherwise ftlab")
    verb.add_argument("--wait", action="store_true", help="until the mirrors have ended")
    verb.add_argument("--json", action="store_true")
