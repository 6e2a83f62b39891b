"""The embedded trainer on this machine, as a process of its own."""

from __future__ import annotations

import importlib.util

from ftlab.errors import MissingExtra
from ftlab.job import LocalOptions
from ftlab.models import Limits, ModelInfo
from ftlab.run import Run
from ftlab.spec import Engine

NEEDED = ("torch", "transformers", "peft")


class Local:
    engine: Engine = "local"
    options = LocalOptions

    def limits(self, info: ModelInfo) -> Limits:
        """What the model's own files bound."""
        return info.local_limits()

    def require(self) -> None:
        """Raise MissingExtra when a package that the trainer needs is not installed."""
        for package in NEEDED:
            if importlib.util.find_spec(package) is None:
                raise MissingExtra(package, "local")

    def start(self, run: Run) -> None:
        """Start `python -m ftlab.train`."""
        run.start()
