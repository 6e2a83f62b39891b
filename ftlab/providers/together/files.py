"""Data files at the service: uploaded once, and looked into before they are of use."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from pydantic import SecretStr

from ftlab.errors import FtlabError, InvalidSpec, ServiceError
from ftlab.files import existing
from ftlab.issues import LINES_KEPT, Issue

if TYPE_CHECKING:
    from ftlab.providers.together.client import Client

LARGEST = 5 * 2**30
"""Bytes that go up in one piece; the service takes more only in parts."""
SUFFIXES = (".jsonl", ".parquet")
CHUNK = 2**20
PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds between the first looks at a file; later ones are as far apart as the last."""
PATIENCE = 30 * 60  # seconds in which the service should have looked into a file
REFUSED = ("INVALID_FORMAT", "FAILED")
FILE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

Told = Callable[[float], Any]
"""Called with the share that is sent."""


def problem(file: Path, field: str) -> Issue | None:
    """Why a file can't be uploaded, before anything is sent."""
    if existing(file) is None or not file.is_file():
        text = f"{file} is not a file; a file of rows is uploaded. Correct the path."
    elif file.suffix not in SUFFIXES:
        text = (
            f"{file.name} ends in {file.suffix or 'nothing'}; the service takes .jsonl and "
            ".parquet, in lower case. Convert it, or rename it if it is one of them."
        )
    elif (size := file.stat().st_size) > LARGEST:
        text = (
            f"{file.name} has {size / 2**30:.1f} GiB; ftlab uploads files of up to "
            f"{LARGEST / 2**30:.0f} GiB. Take fewer rows, or upload it with Together's own SDK and "
            f"give the file's id as {field}."
        )
    elif not size:
        text = f"{file.name} is empty; a file holds at least one row. Write the rows into it."
    else:
        return None
    return Issue("error", text, "not_to_be_uploaded", field, blocks=("together",))


def upload(client: Client, file: Path, checksum: str, told: Told) -> str:
    """The id of a file that the service then looks into; that of an equal file which it has.

    `checksum` is the file's SHA-256 in hexadecimal; the service takes no other content.
    """
    doing = f"{file.name} was uploaded"
    with _opened(file) as content:
        size = os.fstat(content.fileno()).st_size
        kind = file.suffix.removeprefix(".")
        fields = ("purpose", "file_name", "file_type", "checksum")
        values = ("fine-tune", file.name, kind, checksum)
        form = {n: (None, v) for n, v in zip(fields, values, strict=True)}
        reply = client.request(
            "POST", "/v1/files", doing, once=True, accepted={302, 409}, files=form
        )
        if reply.status_code == 409:
            known = _file_id(client.parsed(reply, doing).get("file_id"), doing)
            return _looked_into(client, known, doing)
        where = SecretStr(reply.headers.get("location", ""))
        file_id = _file_id(reply.headers.get("x-together-file-id") if where else None, doing)
        client.storage.put(where, lambda: _chunks(client, content, size, told), size, doing)
    # It buys nothing, and a file of which the service does not know that it is whole is of no use.
    client.request("POST", f"/v1/files/{file_id}/preprocess", doing)
    return file_id


def _opened(file: Path) -> IO[bytes]:
    try:
        return file.open("rb")
    except OSError as exc:
        raise FtlabError(
            f"{file} can't be read any more ({exc.strerror}); it is uploaded as it was scanned. "
            "Look after its place and its rights, then ask again."
        ) from None


def _looked_into(client: Client, file_id: str, doing: str) -> str:
    """The same id; an upload that broke off before the service was told to look into the file
    is told of it now."""
    if _status(client.json("GET", f"/v1/files/{file_id}", doing)) not in ("COMPLETED", *REFUSED):
        path = f"/v1/files/{file_id}/preprocess"
        client.request("POST", path, doing, accepted={409})  # it may have been told by now
    return file_id


def _status(found: dict[str, Any]) -> str:
    return str(found.get("processing_status") or "COMPLETED").upper()


def _file_id(found: object, doing: str) -> str:
    if isinstance(found, str) and FILE_ID.fullmatch(found):
        return found
    raise ServiceError(
        f"Together named no file when {doing}; its reply holds the id and where the content goes. "
        "Nothing was sent; ask again later."
    )


def _chunks(client: Client, content: IO[bytes], size: int, told: Told) -> Iterator[bytes]:
    """The content from its beginning, as many bytes as were announced."""
    content.seek(0)
    told(0.0)
    while content.tell() < size:
        client.pause(0)
        chunk = content.read(min(CHUNK, size - content.tell()))
        if not chunk:
            raise FtlabError(
                f"{content.name} became shorter while it was uploaded; the whole file as it was "
                "is needed. Ask again when nothing writes to it."
            )
        yield chunk
        told(content.tell() / size)


def wait_until_checked(client: Client, file_id: str, name: str, field: str) -> None:
    """Come back when the service has looked into a file. Raises InvalidSpec where it refuses it,
    and ServiceError when it takes more than half an hour."""
    waited, pauses = 0.0, iter(PAUSES)
    while waited <= PATIENCE:
        found = client.json("GET", f"/v1/files/{file_id}", f"{name} was looked up")
        status = _status(found)
        if status == "COMPLETED":
            return
        if status in REFUSED:
            raise InvalidSpec([_refusal(client, found, name, field)])
        seconds = next(pauses, PAUSES[-1])
        client.pause(seconds)
        waited += seconds
    raise ServiceError(
        f"Together still checks {name} ({file_id}) after {PATIENCE // 60} minutes; a price needs a "
        "checked file. Ask again later: it is not uploaded anew."
    )


def _refusal(client: Client, found: dict[str, Any], name: str, field: str) -> Issue:
    """The service's report on a file that it does not take."""
    report = found.get("validation_report")
    said = client.cleaned((report.get("error") if isinstance(report, dict) else None) or "")
    text = said.rstrip(".") or f"its state is {_status(found)}"
    lines = tuple(int(n) for n in re.findall(r"\bline (\d{1,12})\b", text, re.IGNORECASE))
    return Issue(
        "error",
        f"Together refuses {name}: {text}. Each row must be as the service documents it. Mend what "
        "it names (the Data tab may find more), and ask again.",
        "refused_by_the_service",
        field,
        blocks=("together",),
        lines=lines[:LINES_KEPT],
    )
