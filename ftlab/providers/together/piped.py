"""The secrets of a hosted run, on their way to its process: through a pipe, and nowhere else."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

from pydantic import SecretBytes, SecretStr

from ftlab.errors import FtlabError
from ftlab.job import TogetherOptions
from ftlab.processes import HUB_KEY, WANDB_KEY
from ftlab.providers.together.account import ADDRESS_VARIABLE, address, require_key
from ftlab.run import Run

Kind = TypeVar("Kind", bound=Run)


class Secrets(NamedTuple):
    """What the service is given beside the job."""

    key: SecretStr | None = None
    """Of the account; None leaves it to the environment and the keyring."""
    wandb_key: SecretStr | None = None
    hf_api_token: SecretStr | None = None

    @property
    def fields(self) -> dict[str, SecretStr]:
        """Those that stand in the request for a job, by their names in it."""
        named = {"wandb_key": self.wandb_key, "hf_api_token": self.hf_api_token}
        return {name: value for name, value in named.items() if value is not None}


def piped(run: Run, key: SecretStr | None = None) -> SecretBytes:
    """What the process of a run reads. Raises FtlabError without a key, or where the run is at
    another address than the key that was found without being given."""
    options = TogetherOptions(**run.job.options)
    where = run.hosted.address or options.base_url
    if key is None and where and address(where) != address():
        raise FtlabError(
            f"Run {run.id} is at {address(where)}; a key that is found on this machine goes to "
            f"{address()}. Set {ADDRESS_VARIABLE} if that place is yours, or give the key to "
            "resume()."
        )
    found = secrets_for(options, require_key(key))
    values = {n: v.get_secret_value() for n, v in found._asdict().items() if v is not None}
    return SecretBytes(json.dumps(values).encode())


def secrets_for(options: TogetherOptions, key: SecretStr) -> Secrets:
    """The key, and the secrets that the options ask for. Raises FtlabError where one is missing."""
    wants_hub = options.hf_output_repo_name or options.send_hf_token
    return Secrets(
        key,
        _found(WANDB_KEY, "wandb_project_name") if options.wandb_project_name else None,
        _found(HUB_KEY, "hf_output_repo_name or send_hf_token") if wants_hub else None,
    )


def _found(variable: str, asked_by: str) -> SecretStr:
    value = os.environ.get(variable, "").strip()
    if not value:
        raise FtlabError(
            f"{variable} is not in the environment; {asked_by} has it sent to Together. Set it, or "
            "leave that option out."
        )
    return SecretStr(value)


def received(data: bytes, run: Run) -> Secrets:
    """What came through the pipe; what `piped` finds where nothing did. Raises FtlabError as it."""
    found = json.loads(data.strip() or piped(run).get_secret_value())
    return Secrets(**{name: SecretStr(str(value)) for name, value in found.items()})


def begin(module: str, kind: type[Kind], carry_out: Callable[[Kind, Secrets], int]) -> int:
    """Carry out what the command line names, with the secrets that come by the pipe, after taking
    its lock where nobody holds it for this process; the exit status of the process."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--lock", type=int, help="handle of its lock, held already")
    arguments = parser.parse_args()
    found = kind(arguments.folder)
    try:
        secrets = received(b"" if sys.stdin.isatty() else sys.stdin.buffer.read(), found)
        if arguments.lock is None:
            found.begin()
    except FtlabError as exc:
        print(exc)
        return 1
    return carry_out(found, secrets)
