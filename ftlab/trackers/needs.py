"""What a tracker needs of this machine, found without loading its library."""

from __future__ import annotations

import importlib.util
import netrc
import os
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from ftlab.issues import Issue
from ftlab.trackers import TITLES

DATABASE = ("sqlalchemy", "alembic", "cryptography")
"""What MLflow needs where no server is named, and its runs lie in a file."""
W_AND_B = "https://api.wandb.ai"
NO_KEY = (
    "There is no key for W&B here; it takes one, or WANDB_MODE=offline, which keeps the run in its "
    "folder for `wandb sync`. Set WANDB_API_KEY, or run `wandb login`, or leave wandb out of track."
)


def issues_of(trackers: Iterable[str]) -> list[Issue]:
    """What keeps these from showing a run, before it starts."""
    names = [*trackers]
    problems = {name: text for name in names if (text := problem_with(name))}
    kept = [name for name in names if name not in problems]
    return [
        Issue(
            "error",
            text,
            "tracker_is_here",
            "track",
            blocks=("local",),
            fix={"track": kept or None},
        )
        for text in problems.values()
    ]


def problem_with(tracker: str, variables: Mapping[str, str] = os.environ) -> str:
    """What is missing for a tracker; empty where nothing is known to be."""
    for library in _libraries(tracker, variables):
        if not _is_installed(library):
            return (
                f"{TITLES[tracker]} is to show the run, and the package {library} is not "
                "installed; the extra “track” has all that trackers need. Install it with: pip "
                f'install "ftlab[track]", or leave {tracker} out of track.'
            )
    return NO_KEY if tracker == "wandb" and not _has_key(variables) else ""


def _libraries(tracker: str, variables: Mapping[str, str]) -> tuple[str, ...]:
    in_a_file = tracker == "mlflow" and not variables.get("MLFLOW_TRACKING_URI")
    return (tracker, *DATABASE) if in_a_file else (tracker,)


def _is_installed(library: str) -> bool:
    """A folder of that name beside the notebook, as W&B makes one, is no package."""
    found = importlib.util.find_spec(library)
    return found is not None and found.origin is not None


def _has_key(variables: Mapping[str, str]) -> bool:
    mode = variables.get("WANDB_MODE", "online")
    given = ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE")
    return mode != "online" or any(map(variables.get, given)) or _is_logged_in(variables)


def _is_logged_in(variables: Mapping[str, str]) -> bool:
    """Whether `wandb login` has left a key for the server."""
    host = urlsplit(variables.get("WANDB_BASE_URL") or W_AND_B).hostname or ""
    try:
        return netrc.netrc(variables.get("NETRC")).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False
