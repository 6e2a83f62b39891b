"""account(): everything that an account has at the service, and what can be done with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from ftlab.errors import FtlabError
from ftlab.html import counted, escaped, table
from ftlab.issues import shown
from ftlab.providers.together.account import secret
from ftlab.providers.together.jobs import cancel, delete_job, looked_up
from ftlab.providers.together.listing import (
    FILE_TITLES,
    JOB_TITLES,
    HostedFile,
    HostedJob,
    delete_file,
    hosted_files,
    hosted_jobs,
)

if TYPE_CHECKING:
    from ftlab.providers.together.client import Client
    from ftlab.providers.together.serving import Hardware
    from ftlab.runs import Run

Told = Callable[[float], Any]
"""Called with the share of a download that is there."""


def account(key: str | SecretStr | None = None, base_url: str | None = None) -> Account:
    """The jobs and the files of an account at the hosted service, started here or elsewhere.

    The key is that of TOGETHER_API_KEY or of the keyring, if none is given. Raises ServiceError
    when the service does not answer.
    """
    given = secret(key)
    key = None  # so that no traceback shows it
    return Account(given, base_url)


class Account:
    """What an account had when it was last looked at; shows itself in a terminal and a notebook."""

    jobs: list[HostedJob]
    files: list[HostedFile]

    def __init__(self, key: SecretStr | None, base_url: str | None) -> None:
        self._key, self._base_url = key, base_url
        self.refresh()

    def refresh(self) -> None:
        """Look again."""
        with self._client() as client:
            self.jobs, self.files = hosted_jobs(client), hosted_files(client)

    def cancel(self, job_id: str) -> str:
        """End a job; what it has done so far is billed. Returns its state, by the service."""
        self._require_job(job_id)
        with self._client() as client:
            return cancel(client, job_id)

    def adopt(self, job_id: str, folder: Path | str | None = None) -> Run:
        """Follow a job in a run of this machine, as if it had been started here."""
        from ftlab.providers.together.adopting import adopt

        self._require_job(job_id)
        return adopt(job_id, folder=folder, key=self._key, base_url=self._base_url)

    def delete(self, *ids: str, for_good: bool = False) -> None:
        """Take jobs with all that they made, and files, away for good.

        Raises FtlabError for what is in use, and, unless `for_good` is given, with what would be
        lost; nothing is removed then.
        """
        self.refresh()
        problem = next(filter(None, map(self.why_not_delete, ids)), None)
        if problem:
            raise FtlabError(problem)
        if not for_good:
            raise FtlabError(
                f"{self.lost(*ids)} Nothing was removed. Pass for_good=True if that is meant."
            )
        with self._client() as client:
            for one in ids:
                (delete_job if self._job(one) else delete_file)(client, one)
        self.refresh()

    def why_not_delete(self, one: str) -> str:
        """What keeps a job or a file from being deleted; empty when nothing does."""
        if not self._has(one):
            return self._no(one, "jobs and files of the account can be deleted")
        job = self._job(one) or self._user_of(one)
        if job is None or job.has_ended:
            return ""
        uses = f"{job.id} is {job.status}" if job.id == one else f"{job.id} still uses {one}"
        return f"{uses}; only what has ended can be deleted. Cancel the job first, or wait for it."

    def lost(self, *ids: str) -> str:
        """What is gone once these are deleted, in a sentence for a person."""
        n_jobs = sum(self._job(one) is not None for one in ids)
        jobs = f"{counted(n_jobs, 'job')} with what {'it' if n_jobs == 1 else 'they'} tuned"
        files = counted(len(ids) - n_jobs, "file")
        parts = [*([jobs] if n_jobs else []), *([files] if len(ids) > n_jobs else [])]
        return f"{' and '.join(parts)} would be deleted, which can't be undone: {', '.join(ids)}."

    def download(
        self,
        one: str,
        into: Path | str | None = None,
        *,
        step: int | None = None,
        told: Told = lambda _: None,
        noted: Callable[[str], Any] = print,
    ) -> Path:
        """Fetch what a job tuned into a new folder, of that step or else the last, or the content
        of a file into a new one; returns where. Without `into` it is named after the id. `noted`
        hears what can't be done with it."""
        from ftlab.providers.together.downloads import download_adapter, download_file, new_place

        if not self._has(one):
            raise FtlabError(self._no(one, "jobs and files of the account can be downloaded"))
        place = new_place(Path(into or self._named(one)).expanduser())
        with self._client() as client:
            if self._job(one) is None:
                download_file(client, one, place, told)
                return place
            tuned = download_adapter(client, looked_up(client, one), place, told, step=step)
        for note in tuned.notes:
            noted(note)
        return place

    def chat(self, job_id: str, prompt: str | Sequence[Mapping[str, Any]], **options: Any) -> str:
        """What the tuned model of a job answers at the service, to a question or to messages; it
        is billed by its tokens. `options` are max_tokens, temperature, seed, and told, which
        hears each piece."""
        from ftlab.providers.together.chat import chat

        self._require_job(job_id)
        with self._client() as client:
            job = looked_up(client, job_id)
            model = str(job.get("model_output_name") or job.get("output_name") or job_id)
            return chat(client, model, prompt, **options)

    def endpoint(self, job_id: str) -> str:
        """The commands that start an endpoint for the model of a job, and end it. Such a one is
        billed by the hour; ftlab starts none."""
        from ftlab.providers.together.serving import endpoint_commands
        from ftlab.providers.together.tuned import is_full

        self._require_job(job_id)
        with self._client() as client:
            job = looked_up(client, job_id)
        return endpoint_commands(job, is_adapter=not is_full(job))

    def hardware(self) -> list[Hardware]:
        """What endpoints can run on, the cheapest first."""
        from ftlab.providers.together.serving import hardware

        with self._client() as client:
            return hardware(client)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "jobs": [one._asdict() for one in self.jobs],
            "files": [one._asdict() for one in self.files],
        }

    def __repr__(self) -> str:
        jobs, files = counted(len(self.jobs), "job"), counted(len(self.files), "file")
        rows = ("  ".join(filter(None, one.cells())) for one in (*self.jobs, *self.files))
        return "\n".join((f"{jobs} and {files} at Together", *rows))

    def _repr_html_(self) -> str:
        found = ((JOB_TITLES, self.jobs), (FILE_TITLES, self.files))
        return "".join(
            table(titles, ([escaped(cell) for cell in one.cells()] for one in listed))
            if listed
            else f"<p>No {escaped(titles[0])} at Together.</p>"
            for titles, listed in found
        )

    def _client(self) -> Client:
        from ftlab.providers.together.client import Client

        return Client(self._key, self._base_url)

    def _job(self, one: str) -> HostedJob | None:
        return next((job for job in self.jobs if job.id == one), None)

    def _user_of(self, file_id: str) -> HostedJob | None:
        """A job that still uses a file."""
        users = (job for job in self.jobs if file_id in job.files)
        return next((job for job in users if not job.has_ended), None)

    def _has(self, one: str) -> bool:
        return any(found.id == one for found in (*self.jobs, *self.files))

    def _named(self, one: str) -> str:
        """A name for what is downloaded: nothing that the service says is a path. Raises FtlabError
        for an id that is none."""
        from ftlab.providers.together.files import FILE_ID

        if not FILE_ID.fullmatch(one):
            raise FtlabError(
                f"{shown(one)} can't name a folder; an id is of letters, digits, '.', '_' and '-'. "
                "Say where it goes with into=."
            )
        suffix = next((Path(f.name).suffix for f in self.files if f.id == one), "")
        return one + (suffix if suffix[1:].isalnum() else "")

    def _require_job(self, job_id: str) -> None:
        if self._job(job_id) is None:
            self.refresh()
        if self._job(job_id) is None:
            raise FtlabError(self._no(job_id, "it takes the id of a job"))

    def _no(self, one: str, takes: str) -> str:
        return (
            f"The account has no {shown(one)}; {takes}. Take one that it lists, or look whether "
            "the key is that of the right account."
        )
