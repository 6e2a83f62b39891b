"""A small fine-tuning service on the loopback: what the official SDK, and our own client, talk to.

It remembers files and jobs, looks into files, and gives a price by the tokens of what was
uploaded. A file goes one state on each time that somebody looks at it; so does a job, unless there
is a clock (`together_jobs.py`). `misbehave` says what it does wrong instead. Entered again, it is
the same service at the same address: it was only away.
"""

from __future__ import annotations

import hashlib
import json
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from tests.fakes import together_artefacts, together_jobs
from tests.fakes.together_artefacts import Artefacts

# What it says of a model's limits.
REPLY: dict[str, Any] = {
    "model_name": "m",
    "min_learning_rate": 1e-8,
    "max_learning_rate": 1.0,
    "max_num_epochs": 20,
    "max_num_evals": 100,
    "max_num_checkpoints": 100,
    "min_max_seq_length": 8,
    "max_seq_length_sft": 8192,
    "max_seq_length_dpo": 8192,
    "default_gradient_accumulation_steps": 1,
    "merge_output_lora": True,
    "supports_vision": False,
    "supports_tools": True,
    "supports_reasoning": True,
    "supports_full_training": True,
    "lora_training": {
        "default_rank": 8,
        "max_rank": 64,
        "min_batch_size": 8,
        "max_batch_size": 32,
        "max_batch_size_dpo": 32,
        "target_modules": ["q_proj"],
    },
    "full_training": {"min_batch_size": 8, "max_batch_size": 32, "max_batch_size_dpo": 32},
}
ARCHIVE = b"an archive, as the service would send it"
USD_PER_MILLION = 0.48
BYTES_PER_TOKEN = 4


class Fault(NamedTuple):
    """What is done instead of an answer: `drop` the connection, `hang`, `drip` for ever, or answer
    with this. With `after`, the job that was asked for is started first."""

    kind: str = "answer"
    status: int = 503
    body: bytes = b'{"error": {"message": "come back later"}}'
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"),)
    after: bool = False


DROP, HANG, BUSY = Fault("drop"), Fault("hang"), Fault()
DRIP, DRIP_HEADERS = Fault("drip", 200), Fault("drip headers", 200)


class Request(NamedTuple):
    """What came in."""

    method: str
    path: str
    query: dict[str, str]
    headers: Message
    body: bytes


@dataclass
class Service:
    """The state, and how it is to misbehave."""

    ends_as: str = "completed"
    clock: Callable[[], float] | None = None
    """In seconds; without one a job goes on when it is looked at."""
    tick: float = 1.0
    """Seconds of the clock that each part of a job takes."""
    running: float = 1.0
    """Ticks of the training."""
    n_steps: int = 4
    nan_at: int | None = None
    """The step with a loss that is no number."""
    eval_loss: Callable[[dict[str, Any], int], float] = lambda _job, step: 3.0 / step
    """Of a job after a step."""
    lag: int = 0
    """How often the list of jobs is read before it has a new one."""
    listings: int = 0
    shouts: bool = True
    """Whether types of events are in capitals."""
    twist: Callable[[str, dict[str, Any]], dict[str, Any]] = lambda _what, reply: reply
    """Changes what is said of a job: the end of the path, and the reply."""
    file_status: str = "COMPLETED"
    """What a file is once it has been looked into, if there is nothing wrong with it."""
    looks_before_a_file_is_ready: int = 2
    key: str | None = None
    """The one that it takes; None takes any."""
    credit: float = 25.0
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Limits by model; those of any model are REPLY while this is empty."""
    storage: str = ""
    """Where uploads go; to this service itself, while it is empty."""
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    """The requests that started jobs."""
    downloads: list[dict[str, str]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    address: str = ""
    artefacts: Artefacts = field(default_factory=Artefacts)

    def __enter__(self) -> Service:
        service = self

        class Handler(_Handler):
            state = service

        self._faults: dict[tuple[str, str], list[Fault]] = {}
        self._over, self.is_away = threading.Event(), False
        port = int(self.address.rpartition(":")[2]) if self.address else 0
        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.is_away = True
        self._server.shutdown()
        self._server.server_close()

    def misbehave(self, method: str, ending: str, *faults: Fault) -> None:
        """Do these, one after the other, instead of answering requests for paths with that end."""
        self._faults[method, ending] = list(faults)

    def next_fault(self, method: str, path: str) -> Fault | None:
        for (verb, ending), faults in self._faults.items():
            if verb == method and path.endswith(ending) and faults:
                return faults.pop(0)
        return None

    def hang(self) -> None:
        """Say nothing until the service ends."""
        self._over.wait(60)

    def drip(self, stream: Any, line: bytes) -> None:
        """Say a little again and again until the service ends, or nobody listens."""
        while not self._over.wait(0.02):
            stream.write(line)

    def asked(self, method: str, ending: str = "") -> list[Request]:
        """The requests that came in for paths with that end."""
        return [r for r in self.requests if r.method == method and r.path.endswith(ending)]

    # --- files -------------------------------------------------------------------------------

    def add_file(self, name: str, checksum: str = "") -> str:
        file_id = f"file-{len(self.files):04}"
        self.files[file_id] = {
            "id": file_id,
            "object": "file",
            "bytes": 0,
            "created_at": 1,
            "filename": name,
            "FileType": name.rpartition(".")[2],
            "purpose": "fine-tune",
            "processing_status": "PENDING",
            "Processed": False,  # this and the next are for older clients
            "LineCount": 0,
            "checksum": checksum,
            "looks": 0,
            "is_told": False,
        }
        return file_id

    def same_file(self, checksum: str) -> str | None:
        """The file with that content, if it was uploaded before."""
        whole = (file_id for file_id in self.contents if self.files[file_id]["checksum"])
        return next((i for i in whole if self.files[i]["checksum"] == checksum), None)

    def take_content(self, file_id: str, content: bytes) -> int:
        """Status of the upload: its content must be what was announced."""
        file = self.files.setdefault(file_id, {"checksum": "", "looks": 0, "is_told": False})
        if file["checksum"] not in ("", hashlib.sha256(content).hexdigest()):
            return 400
        self.contents[file_id], file["bytes"] = content, len(content)
        return 200

    def preprocess(self, file_id: str) -> dict[str, Any]:
        """Be told to look into a file; before, it stays as it is, however often it is looked at."""
        self.files[file_id]["is_told"] = True
        return public(self.files[file_id])

    def look_at_file(self, file_id: str) -> dict[str, Any]:
        file = self.files[file_id]
        file["looks"] += file["is_told"]
        if file["looks"] >= self.looks_before_a_file_is_ready:
            wrong = _fault_of(self.contents.get(file_id, b""))
            file["processing_status"] = "INVALID_FORMAT" if wrong else self.file_status
            file["Processed"] = not wrong
            if wrong:
                report = {"valid": False, "error": wrong, "error_type": "INVALID_FORMAT"}
                file["validation_report"] = report
        return public(file)

    # --- prices ------------------------------------------------------------------------------

    def estimate(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Tokens of the files by their bytes × the rate, once they have been looked into."""
        tokens = {}
        for name, part in {"training_file": "train", "validation_file": "eval"}.items():
            file = self.files.get(asked.get(name) or "")
            if asked.get(name) and (file is None or file["processing_status"] != "COMPLETED"):
                reason = f"{part}_file_not_validated"
                return {"estimation_available": False, "unavailable_reason": reason}
            content = self.contents.get(asked.get(name) or "", b"")
            tokens[part] = len(content) // BYTES_PER_TOKEN
        trained = tokens["train"] * asked.get("n_epochs", 1)
        measured = tokens["eval"] * asked.get("n_evals", 0)
        price = (trained + measured) * USD_PER_MILLION / 1e6
        return {
            "estimation_available": True,
            "estimated_total_price": price,
            "allowed_to_proceed": price <= self.credit,
            "user_limit": self.credit,
            "estimated_train_token_count": trained,
            "estimated_eval_token_count": measured,
        }


OWN = ("looks", "checksum", "is_told")


def public(file: dict[str, Any]) -> dict[str, Any]:
    """What is told of a file."""
    return {name: value for name, value in file.items() if name not in OWN}


def _fault_of(content: bytes) -> str:
    """The first fault of a file, as the service words it; empty when it is in order."""
    for number, line in enumerate(content.splitlines(), 1):
        try:
            row = json.loads(line)
        except ValueError:
            return f"Line {number}: not a JSON object"
        for place, message in enumerate(row.get("messages", ())):
            if "role" not in message:
                return f"Line {number}: `messages[{place}]` must contain a `role` field"
    return ""


class _Handler(BaseHTTPRequestHandler):
    """The routes, as together 3.1.1 calls them."""

    state: Service

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on the screen."""

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except OSError:  # whoever asked has gone
            self.close_connection = True

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_PUT(self) -> None:
        self._answer("PUT")

    def do_DELETE(self) -> None:
        self._answer("DELETE")

    def _answer(self, method: str) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = Request(method, url.path, query, self.headers, body)
        self.state.requests.append(request)
        if (fault := self.state.next_fault(method, url.path)) is not None:
            if fault.after:
                together_jobs.add_job(self.state, json.loads(body))
            return self._fail(fault)
        if together_artefacts.answered(self, request):
            return None
        parts = url.path.strip("/").split("/")
        if parts[0] == "storage":
            return self._send(self.state.take_content(parts[-1], body), b"", {})
        if not self.is_allowed(request):
            return self._json({"error": {"message": "Invalid API key provided"}}, 401)
        if (reply := together_jobs.answer(self.state, method, parts, request)) is not None:
            return self._json(reply[1], reply[0])
        return self._get(parts, request) if method == "GET" else self._post(parts, request)

    def is_allowed(self, request: Request) -> bool:
        given = request.headers.get("Authorization", "")
        return given == f"Bearer {self.state.key or given.removeprefix('Bearer ')}"

    def _get(self, parts: list[str], request: Request) -> None:
        state = self.state
        match parts:
            case ["v1", "files"]:
                self._json({"data": [public(file) for file in state.files.values()]})
            case ["v1", "files", file_id] if file_id in state.files:
                self._json(state.look_at_file(file_id))
            case ["v1", "fine-tunes", "models", "limits"]:
                name = request.query.get("model_name", "")
                if state.models and name not in state.models:
                    return self._json({"message": f"no model {name}"}, 404)
                self._json({**state.models.get(name, REPLY), "model_name": name})
            case ["v1", "finetune", "download"]:
                state.downloads.append(request.query)
                self._send(200, ARCHIVE, {"Content-Type": "application/x-tar"})
            case _:
                self._json({"error": {"message": f"no {self.path}"}}, 404)

    def _post(self, parts: list[str], request: Request) -> None:
        state = self.state
        match parts:
            case ["v1", "files"]:
                self._announced(_form(request.body, request.headers))
            case ["v1", "files", file_id, "preprocess"]:
                self._json(state.preprocess(file_id))
            case ["v1", "fine-tunes", "estimate-price"]:
                self._json(state.estimate(json.loads(request.body)))
            case ["v1", "fine-tunes"]:
                self._json(together_jobs.add_job(state, json.loads(request.body)))
            case _:
                self._json({"error": {"message": f"no {self.path}"}}, 404)

    def _announced(self, form: dict[str, str]) -> None:
        """Where the content of a new file goes; the id of one with the same content."""
        known = self.state.same_file(form["checksum"])
        if known is not None:
            body = json.dumps({"file_id": known}).encode()
            return self._send(409, body, {"x-should-retry": "false", **JSON})
        file_id = self.state.add_file(form["file_name"], form["checksum"])
        where = f"{self.state.storage or self.state.address}/storage/{file_id}?signature=s3cret"
        self._send(302, b"", {"Location": where, "X-Together-File-Id": file_id})

    def _fail(self, fault: Fault) -> None:
        if fault.kind == "answer":
            return self._send(fault.status, fault.body, dict(fault.headers))
        self.close_connection = True
        if fault.kind == "hang":
            self.state.hang()
        elif fault.kind.startswith("drip"):
            self.send_response(fault.status)
            self.send_header("Transfer-Encoding", "chunked")
            self.flush_headers() if "headers" in fault.kind else self.end_headers()
            line = b"x-drip: 1\r\n" if "headers" in fault.kind else b"1\r\n \r\n"
            self.state.drip(self.wfile, line)
        else:  # with a reset, as when a machine in between goes down
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    def _json(self, reply: dict[str, Any], status: int = 200) -> None:
        self._send(status, json.dumps(reply).encode(), JSON)

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


JSON = {"Content-Type": "application/json"}


def _form(body: bytes, headers: Message) -> dict[str, str]:
    """The text fields of a multipart form."""
    boundary = str(headers.get_param("boundary")).encode()
    fields: dict[str, str] = {}
    for part in body.split(b"--" + boundary)[1:-1]:
        head, _, value = part.strip(b"\r\n").partition(b"\r\n\r\n")
        name = head.decode().partition('name="')[2].partition('"')[0]
        fields[name] = value.decode()
    return fields
