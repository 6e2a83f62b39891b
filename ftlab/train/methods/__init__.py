"""Training methods: one file each, with the rows it takes and its loss."""

from __future__ import annotations

from ftlab.spec import JobSpec
from ftlab.train.methods.dpo import Dpo
from ftlab.train.methods.method import Method
from ftlab.train.methods.sft import Sft

METHODS: dict[str, type[Method]] = {"sft": Sft, "dpo": Dpo}


def method_of(spec: JobSpec) -> Method:
    """The method that a resolved spec asks for."""
    return METHODS[spec.training_method](spec)
