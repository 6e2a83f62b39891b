"""A small fine-tuning service on the loopback: what a script of the official SDK talks to.

It remembers files and jobs; a job goes one state on each time that somebody looks at it.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

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
STATES = ("pending", "queued", "running", "uploading", "completed")


@dataclass
class Service:
    """The state, and how it is to misbehave."""

    ends_as: str = "completed"
    file_status: str = "COMPLETED"
    """What a file is once it has been looked into."""
    looks_before_a_file_is_ready: int = 2
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    """The requests that started jobs."""
    downloads: list[dict[str, str]] = field(default_factory=list)
    address: str = ""

    def __enter__(self) -> Service:
        service = self

        class Handler(_Handler):
            state = service

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def add_file(self, name: str) -> str:
        file_id = f"file-{len(self.files):04}"
        self.files[file_id] = {
            "id": file_id,
            "object": "file",
            "bytes": 0,
            "created_at": 1,
            "filename": name,
            "FileType": "jsonl",
            "purpose": "fine-tune",
            "processing_status": "PENDING",
            "looks": 0,
        }
        return file_id

    def look_at_file(self, file_id: str) -> dict[str, Any]:
        file = self.files[file_id]
        file["looks"] += 1
        if file["looks"] >= self.looks_before_a_file_is_ready:
            file["processing_status"] = self.file_status
        return {name: value for name, value in file.items() if name != "looks"}

    def add_job(self, body: dict[str, Any]) -> dict[str, Any]:
        self.bodies.append(body)
        job_id = f"ft-{len(self.jobs):04}"
        self.jobs[job_id] = {
            **body,
            "id": job_id,
            "status": STATES[0],
            "created_at": "2026-11-21T10:00:00Z",
            "updated_at": "2026-11-21T10:00:00Z",
            "model_output_name": f"me/{body.get('suffix', 'tuned')}",
            "events": [],
        }
        return self.jobs[job_id]

    def look_at_job(self, job_id: str) -> dict[str, Any]:
        job = self.jobs[job_id]
        job["events"].append(
            {
                "object": "fine-tune-event",
                "created_at": "2026-11-21T10:00:00Z",
                "level": "Info",
                "message": f"the job is {job['status']}",
                "type": "JOB_PENDING",
            }
        )
        reply = {name: value for name, value in job.items() if name != "events"}
        later = [*STATES[:-1], self.ends_as]
        if job["status"] in later[:-1]:
            job["status"] = later[later.index(job["status"]) + 1]
        return reply


class _Handler(BaseHTTPRequestHandler):
    """The routes, as together 3.1.1 calls them."""

    state: Service

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on the screen."""

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        parts = url.path.strip("/").split("/")
        match parts:
            case ["v1", "files", file_id]:
                self._json(self.state.look_at_file(file_id))
            case ["v1", "fine-tunes", "models", "limits"]:
                self._json(REPLY)
            case ["v1", "fine-tunes", job_id, "events"]:
                self._json({"data": self.state.jobs[job_id]["events"]})
            case ["v1", "fine-tunes", job_id]:
                self._json(self.state.look_at_job(job_id))
            case ["v1", "finetune", "download"]:
                self.state.downloads.append(query)
                self._send(200, ARCHIVE, {"Content-Type": "application/x-tar"})
            case _:
                self._json({"error": {"message": f"no {self.path}"}}, 404)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        match urlsplit(self.path).path.strip("/").split("/"):
            case ["v1", "files"]:
                file_id = self.state.add_file(_form(body, self.headers)["file_name"])
                where = f"{self.state.address}/storage/{file_id}"
                self._send(302, b"", {"Location": where, "X-Together-File-Id": file_id})
            case ["v1", "files", file_id, "preprocess"]:
                file = self.state.files[file_id]
                self._json({name: value for name, value in file.items() if name != "looks"})
            case ["v1", "fine-tunes", "estimate-price"]:
                self._json({"estimation_available": False, "unavailable_reason": "x"})
            case ["v1", "fine-tunes"]:
                self._json(self.state.add_job(json.loads(body)))
            case _:
                self._json({"error": {"message": f"no {self.path}"}}, 404)

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.state.contents[self.path.rpartition("/")[2]] = content
        self._send(200, b"", {})

    def _json(self, reply: dict[str, Any], status: int = 200) -> None:
        self._send(status, json.dumps(reply).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _form(body: bytes, headers: Message) -> dict[str, str]:
    """The text fields of a multipart form."""
    boundary = str(headers.get_param("boundary")).encode()
    fields: dict[str, str] = {}
    for part in body.split(b"--" + boundary)[1:-1]:
        head, _, value = part.strip(b"\r\n").partition(b"\r\n\r\n")
        name = head.decode().partition('name="')[2].partition('"')[0]
        fields[name] = value.decode()
    return fields
