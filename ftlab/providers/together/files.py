"""Data files at the service: uploaded once, and looked into before they are of use."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from pydantic import SecretStr

from ftlab.data.formats import LARGEST_FILE
from ftlab.errors import FtlabError, InvalidSpec, ServiceError
from ftlab.files import existing
from ftlab.issues import LINES_KEPT, Issue
from ftlab.providers.together.multipart import PATH, begun_by, parts_of, send_parts

if TYPE_CHECKING:
    import httpx

    from ftlab.providers.together.client import Client

LARGEST = LARGEST_FILE  # bytes
IN_PARTS_ABOVE = 5 * 2**30
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
            f"{file.name} has {size / 2**30:.1f} GiB; the service takes files of up to "
            f"{LARGEST / 2**30:.1f} GiB. Take fewer rows."
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
        reply = _announced(client, file, size, checksum, doing)
        if reply.status_code == 409:
            known = _file_id(client.parsed(reply, doing).get("file_id"), doing)
            return _looked_into(client, known, doing)
        read = partial(_chunks, client, content)
        if size > IN_PARTS_ABOVE:
            begun = begun_by(client.parsed(reply, doing))
            file_id = _file_id(begun.file_id, doing)
            send_parts(client, begun, size, read, told, doing)
            return file_id  # the service looks into it by itself
        where = SecretStr(reply.headers.get("location", ""))
        file_id = _file_id(reply.headers.get("x-together-file-id") if where else None, doing)
        shares = partial(read, 0, size, lambda n_sent: told(n_sent / size))
        client.storage.put(where, shares, size, doing)
    # It buys nothing, and a file of which the service does not know that it is whole is of no use.
    client.request("POST", f"/v1/files/{file_id}/preprocess", doing)
    return file_id


def _announced(client: Client, file: Path, size: int, checksum: str, doing: str) -> httpx.Response:
    """What the service says to a file that is to come: where it goes, or that it is there."""
    kind = file.suffix.removeprefix(".")
    fields = {"purpose": "fine-tune", "file_name": file.name, "file_type": kind}
    given = {**fields, "checksum": checksum}
    asked = partial(client.request, "POST", doing=doing, once=True)
    if size <= IN_PARTS_ABOVE:
        form = {name: (None, value) for name, value in given.items()}
        return asked("/v1/files", accepted={302, 409}, files=form)
    parts = {"file_size": size, "num_parts": parts_of(size)[0]}
    return asked(f"{PATH}/initiate", accepted={409}, json={**given, **parts})


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


def _chunks(
    client: Client, content: IO[bytes], start: int, size: int, told: Callable[[int], Any]
) -> Iterator[bytes]:
    """The content from a place on, as many bytes as were announced."""
    sent = 0
    told(sent)
    while sent < size:
        client.pause(0)
        chunk = os.pread(content.fileno(), min(CHUNK, size - sent), start + sent)
        if not chunk:
            raise FtlabError(
                f"{content.name} became shorter while it was uploaded; the whole file as it was "
                "is needed. Ask again when nothing writes to it."
            )
        yield chunk
        sent += len(chunk)
        told(sent)


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
