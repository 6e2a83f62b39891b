"""What the fake service keeps beside files and jobs: uploads in parts, archives, checkpoints,
previews, answers, hardware. `tests/fakes/together.py` asks here first."""

from __future__ import annotations

import hashlib
import json
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.fakes import together_jobs

if TYPE_CHECKING:
    from tests.fakes.together import Request, Service, _Handler

JSON = {"Content-Type": "application/json"}
GONE = {"error": {"message": "there is no such thing"}}
PLACE = "artefacts"
"""The first part of the paths of its storage."""


class Serving(NamedTuple):
    """How the bytes of an archive are served, once."""

    cut_at: int | None = None
    """Bytes after which the connection is closed."""
    ignores_range: bool = False
    ignores_version: bool = False
    off_by: int = 0
    """How far from the place that was asked for a range starts."""
    extra: bytes = b""
    """Comes after the end, though it was not announced."""
    tag: str | None = None
    """Another version from here on."""
    content: bytes | None = None
    status: int | None = None
    """Answered instead."""
    stalls: bool = False
    """Whether nothing follows where it is cut, and the connection stays."""
    drips: bool = False
    """Whether the rest follows byte by byte."""


WHOLE = Serving()
LONG_AGO = 99


@dataclass
class Upload:
    """One that goes on in parts."""

    file_id: str
    n_parts: int
    size: int
    parts: dict[int, bytes] = field(default_factory=dict)


@dataclass
class Artefacts:
    """The state of all this."""

    archives: dict[str, bytes] = field(default_factory=dict)
    """Job, or JOB:STEP → what its download brings."""
    tag: str = '"v1"'
    sends_elsewhere: bool = False
    """Whether a download is a redirect to a signed address."""
    servings: list[Serving] = field(default_factory=list)
    """How the next downloads are served, the look at the first two bytes not counted."""
    served: list[tuple[str, str]] = field(default_factory=list)
    """(Range, If-Range) of each."""
    checkpoints: dict[str, list[Any]] = field(default_factory=dict)
    uploads: dict[str, Upload] = field(default_factory=dict)
    aborted: list[str] = field(default_factory=list)
    completed: list[str] = field(default_factory=list)
    part_headers: dict[str, str] = field(default_factory=dict)
    """What each part must be sent with."""
    has_tags: bool = True
    """Whether a part that was stored is answered with an ETag."""
    previewed: list[dict[str, Any]] = field(default_factory=list)
    """Rows as its tokenizer makes them."""
    pieces: list[str] = field(default_factory=lambda: ["Hello", " there"])
    """Of an answer."""
    broken_stream: bool = False
    serverless: bool = True
    hardware: list[dict[str, Any]] = field(default_factory=list)


def add_job_as(service: Service, status: str, **body: Any) -> str:
    """The id of a job that the service has, whatever it says that it is."""
    service.ends_as = status
    made = together_jobs.add_job(service, {"model": "Qwen/Qwen3-8B", "suffix": "mine", **body})
    service.jobs[made["id"]]["looks"] = LONG_AGO
    return made["id"]


def answered(handler: _Handler, request: Request) -> bool:
    """Whether a request was one for this file, and has its answer."""
    parts = request.path.strip("/").split("/")
    if parts[0] == PLACE:
        _stored(handler, request, parts) if request.method == "PUT" else _kept(handler, request)
        return True
    if not handler.is_allowed(request):
        return False
    return _of_files(handler, request, parts) or _of_jobs(handler, request, parts)


def _of_files(handler: _Handler, request: Request, parts: list[str]) -> bool:
    state = handler.state
    match [request.method, *parts]:
        case ["GET", "v1", "files", file_id, "content"] if file_id in state.contents:
            _serve(handler, request, state.contents[file_id])
        case ["DELETE", "v1", "files", file_id]:
            found = state.files.pop(file_id, None)
            state.contents.pop(file_id, None)
            reply = GONE if found is None else {"id": file_id, "deleted": True}
            handler._json(reply, 200 if found else 404)
        case ["POST", "v1", "files", "multipart", "initiate"]:
            _initiate(handler, json.loads(request.body))
        case ["POST", "v1", "files", "multipart", "complete"]:
            _complete(handler, json.loads(request.body))
        case ["POST", "v1", "files", "multipart", "abort"]:
            upload_id = json.loads(request.body)["upload_id"]
            state.artefacts.aborted.append(upload_id)
            state.artefacts.uploads.pop(upload_id, None)
            handler._json({})
        case _:
            return False
    return True


def _of_jobs(handler: _Handler, request: Request, parts: list[str]) -> bool:
    state, own = handler.state, handler.state.artefacts
    match [request.method, *parts]:
        case ["GET", "v1", "fine-tunes", job_id, "checkpoints"] if job_id in own.checkpoints:
            handler._json({"data": own.checkpoints[job_id]})
        case ["GET", "v1", "finetune", "download"] if own.archives:
            _download(handler, request)
        case ["DELETE", "v1", "fine-tunes", job_id]:
            found = state.jobs.pop(job_id, None)
            handler._json({"message": "deleted"} if found else GONE, 200 if found else 404)
        case ["POST", "v1", "fine-tunes", "preview"]:
            _preview(handler, json.loads(request.body))
        case ["POST", "v1", "chat", "completions"]:
            _chat(handler, json.loads(request.body))
        case ["GET", "v2", "public", "inference-instance-types"]:
            handler._json({"data": own.hardware})
        case _:
            return False
    return True


# --- uploads in parts ------------------------------------------------------------------------


def _initiate(handler: _Handler, asked: dict[str, Any]) -> None:
    state = handler.state
    if known := state.same_file(asked["checksum"]):
        body = json.dumps({"file_id": known}).encode()
        return handler._send(409, body, {"x-should-retry": "false", **JSON})
    file_id = state.add_file(asked["file_name"], asked["checksum"])
    upload_id = f"up-{file_id}"
    state.artefacts.uploads[upload_id] = Upload(file_id, asked["num_parts"], asked["file_size"])
    where = f"{state.address}/{PLACE}/{upload_id}"
    parts = [
        {"PartNumber": n, "URL": f"{where}/{n}?signature=s3cret", "Headers": given}
        for n in range(1, asked["num_parts"] + 1)
        for given in [state.artefacts.part_headers]
    ]
    handler._json({"upload_id": upload_id, "file_id": file_id, "parts": parts})


def _stored(handler: _Handler, request: Request, parts: list[str]) -> None:
    own = handler.state.artefacts
    upload = own.uploads.get(parts[1])
    wanted = own.part_headers
    if upload is None or any(request.headers.get(n) != v for n, v in wanted.items()):
        return handler._send(403, b"signature=s3cret is not known", {})
    upload.parts[int(parts[2])] = request.body
    tag = f'"{hashlib.md5(request.body).hexdigest()}"'
    handler._send(200, b"", {"ETag": tag} if own.has_tags else {})


def _complete(handler: _Handler, asked: dict[str, Any]) -> None:
    state = handler.state
    upload = state.artefacts.uploads.get(asked["upload_id"])
    if upload is None:
        return handler._json(GONE, 404)
    tags = [
        {"part_number": n, "etag": hashlib.md5(upload.parts[n]).hexdigest()}
        for n in sorted(upload.parts)
    ]
    whole = b"".join(upload.parts[n] for n in sorted(upload.parts))
    if tags != asked["parts"] or len(whole) != upload.size:
        return handler._json({"error": {"message": "parts are missing"}}, 400)
    if state.take_content(upload.file_id, whole) != 200:
        return handler._json({"error": {"message": "another checksum"}}, 400)
    del state.artefacts.uploads[asked["upload_id"]]
    state.artefacts.completed.append(upload.file_id)
    handler._json({"file": state.preprocess(upload.file_id)})


# --- downloads -------------------------------------------------------------------------------


def _download(handler: _Handler, request: Request) -> None:
    own, query = handler.state.artefacts, request.query
    handler.state.downloads.append(query)
    step = query.get("checkpoint_step")
    name = query["ft_id"] if step is None else f"{query['ft_id']}:{step}"
    if name not in own.archives:
        return handler._json(GONE, 404)
    if own.sends_elsewhere:
        where = f"{handler.state.address}/{PLACE}/kept/{name}?signature=s3cret"
        return handler._send(302, b"", {"Location": where})
    _serve(handler, request, own.archives[name])


def _kept(handler: _Handler, request: Request) -> None:
    _serve(handler, request, handler.state.artefacts.archives[request.path.rpartition("/")[2]])


def _serve(handler: _Handler, request: Request, content: bytes) -> None:
    own = handler.state.artefacts
    wish, version = request.headers.get("Range", ""), request.headers.get("If-Range")
    is_look = wish == "bytes=0-1"
    how = WHOLE
    if not is_look:
        how = own.servings.pop(0) if own.servings else WHOLE
        own.served.append((wish, version or ""))
    if how.status is not None:
        return handler._send(how.status, b"signature=s3cret: not now", {})
    own.tag = how.tag or own.tag
    content = content if how.content is None else how.content
    found = re.fullmatch(r"bytes=(\d+)-(\d*)", wish)
    is_same = version in (None, own.tag) or how.ignores_version
    is_part = found and is_same and not how.ignores_range
    headers = {"Content-Type": "application/x-tar", "ETag": own.tag}
    status, body = 200, content
    if is_part:
        start = int(found[1]) + how.off_by
        if start >= len(content):
            return handler._send(416, b"", {"Content-Range": f"bytes */{len(content)}"})
        end = int(found[2]) + 1 if found[2] else len(content)
        status, body = 206, content[start:end]
        headers["Content-Range"] = f"bytes {start}-{start + len(body) - 1}/{len(content)}"
    return _send_so(handler, status, body, headers, how)


def _send_so(
    handler: _Handler, status: int, body: bytes, headers: dict[str, str], how: Serving
) -> None:
    handler.send_response(status)
    if how.extra:  # until the connection ends
        handler.close_connection = True
    else:
        headers = {**headers, "Content-Length": str(len(body))}
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()
    if how.cut_at is not None and how.cut_at < len(body):
        handler.close_connection = True
        body, rest = body[: how.cut_at], body[how.cut_at :]
        if how.drips:
            handler.wfile.write(body)
            body = b""
        for byte in rest if how.drips else b"":
            handler.wfile.write(bytes([byte]))
            time.sleep(0.01)
    handler.wfile.write(body + how.extra)
    if how.stalls:
        handler.state.hang()


# --- rows, answers ---------------------------------------------------------------------------


def _preview(handler: _Handler, asked: dict[str, Any]) -> None:
    rows = handler.state.artefacts.previewed[: asked.get("top_k", 10)]
    handler._json(
        {
            "dataset_format": "conversation",
            "max_seq_length": 8192,
            "model": asked["model"],
            "train_on_inputs": asked.get("train_on_inputs", False),
            "rows": rows,
        }
    )


def _chat(handler: _Handler, asked: dict[str, Any]) -> None:
    own = handler.state.artefacts
    if not own.serverless:
        return handler._json({"error": {"message": "model_not_available"}}, 400)
    if not asked.get("stream"):
        message = {"role": "assistant", "content": "".join(own.pieces)}
        return handler._json({"choices": [{"message": message}]})
    handler.send_response(200)
    handler.send_header("Content-Type", "text/event-stream")
    handler.end_headers()
    handler.close_connection = True
    handler.wfile.write(b": hello\n\n")
    for piece in own.pieces:
        delta = {"role": "assistant", "content": piece}
        choice = {"index": 0, "delta": delta, "finish_reason": None}
        chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        line = json.dumps({**chunk, "choices": [choice]}, ensure_ascii=False)
        handler.wfile.write(f"data: {line}\n\n".encode())
    if not own.broken_stream:
        handler.wfile.write(b"data: [DONE]\n\n")
    return None
