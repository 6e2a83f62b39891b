"""Together keywords that are no fields of the spec: options of hosted jobs, and secrets.

Pasted with the rest they are not unknown. A spec leaves them out, for they change nothing that
is learned, and secrets are never saved.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ftlab.issues import Issue
from ftlab.spec import BOTH, LOCAL

SECRETS = ("wandb_api_key", "hf_api_token")
WANDB = ("wandb_base_url", "wandb_project_name", "wandb_name", "wandb_entity")
HOSTED_OPTIONS = (*SECRETS, *WANDB, "hf_output_repo_name")


def option_issues(values: Mapping[str, Any]) -> Iterator[Issue]:
    """What is wrong with the options among some keywords."""
    given = {name: values[name] for name in HOSTED_OPTIONS if values.get(name) is not None}
    for name, value in given.items():
        yield _only_hosted(name) if isinstance(value, str) else _no_text(name, value)
    named = [name for name in WANDB if name in given]
    if named and "wandb_api_key" not in given:
        yield Issue(
            "warning",
            f"{named[0]} is given without wandb_api_key; without a key nothing reaches Weights & "
            "Biases. Give the key too, or leave it out.",
            code="hosted_option",
            where=named[0],
        )


def _no_text(name: str, value: Any) -> Issue:
    return Issue(
        "error",  # the value is not shown: it may be a secret
        f"{name} is of type {type(value).__name__}; it takes text. Leave it out or give such a "
        "value.",
        code="bad_value",
        where=name,
        blocks=BOTH,
        fix={name: None},
    )


def _only_hosted(name: str) -> Issue:
    return Issue(
        "error",
        f"{name} is given; it is an option of hosted jobs, and the embedded trainer has no such "
        "setting. Leave it out for local jobs.",
        code="hosted_option",
        where=name,
        blocks=LOCAL,
        fix={name: None},
    )
