"""A hub on the loopback: model pages, files and refusals, as the hub's HTTP API gives them; and it
takes new models.

Large files lie on a second address, as the hub's do. Both can be slow, and break off.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "c0ffee" + "0" * 34
CHUNK = 1 << 18
Reply = tuple[int, dict[str, str], bytes]


class Repo:
    """One model of the hub."""

    def __init__(self, name: str, page: dict[str, Any], files: dict[str, bytes]) -> None:
        self.name, self.page, self.files = name, page, files
        self.commits = {"main": COMMIT, COMMIT: COMMIT}
        self.visibility = "public"
        self.refuses: Reply | None = None
        """What its files are answered with instead."""

    def answer(self) -> dict[str, Any]:
        siblings = [{"rfilename": name, "size": len(data)} for name, data in self.files.items()]
        listed = {"siblings": siblings} if self.files else {}
        own = {"id": self.name, "sha": COMMIT, "private": self.visibility == "private"}
        return {**own, **listed, **self.page}


class FakeHub:
    """The state of both addresses; change it while they run."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.asked: list[str] = []
        """Paths of models that were asked for, in order, without a file's second address."""
        self.sent: dict[str, int] = {}
        """Bytes of each large file that went out, by its name."""
        self.ranges: list[str] = []
        self.tokens: list[tuple[str, str | None]] = []
        """(address, Authorization) of each request for a model."""
        self.seconds_per_chunk = 0.0
        self.breaks_after: list[int] = []
        """Bytes after which the next answers with a large file break off, one each."""
        self.endpoint = self.second = ""
        self.held: dict[str, bytes] = {}
        """Large files that came, by their hash, before a commit names them."""

    def add(self, name: str, folder: Path | None = None, **page: Any) -> Repo:
        """Serve a folder as a model."""
        paths = sorted(folder.rglob("*")) if folder else []
        files = {str(p.relative_to(folder)): p.read_bytes() for p in paths if p.is_file()}  # type: ignore[arg-type]
        self.repos[name] = Repo(name, page, files)
        return self.repos[name]

    def reply(self, path: str) -> Reply:
        """What the first address says to a path."""
        if path.startswith("/api/models/"):
            return self._page(path.removeprefix("/api/models/"))
        name, _, rest = path.removeprefix("/").partition("/resolve/")
        revision, _, file = rest.partition("/")
        repo = self.repos.get(name)
        if repo is None:
            return refused(404, "RepoNotFound")
        if repo.refuses is not None:
            return repo.refuses
        if unquote(revision) not in repo.commits:
            return refused(404, "RevisionNotFound")
        if file not in repo.files:
            return refused(404, "EntryNotFound")
        return self._file(repo.files[file], file)

    def _page(self, rest: str) -> Reply:
        name, _, revision = rest.partition("/revision/")
        if name not in self.repos:
            return refused(401, "RepoNotFound")
        if revision and unquote(revision) not in self.repos[name].commits:
            return refused(404, "RevisionNotFound")
        return 200, {}, json.dumps(self.repos[name].answer()).encode()

    def _file(self, data: bytes, name: str) -> Reply:
        about = {"X-Repo-Commit": COMMIT}
        if not name.endswith(".safetensors"):
            return 200, {**about, "ETag": f'"{hashlib.sha1(data).hexdigest()}"'}, data
        linked = {
            "X-Linked-Etag": f'"{hashlib.sha256(data).hexdigest()}"',
            "X-Linked-Size": str(len(data)),
            "Location": f"{self.second}/{hashlib.sha256(data).hexdigest()}",
        }
        return 302, {**about, **linked}, b""

    def posted(self, path: str, body: bytes, token: str | None) -> Reply:
        """What the first address says to what is sent there."""
        if token is None:
            return refused(401, "Unauthorized", "Invalid username or password.")
        if path == "/api/validate-yaml":
            return said({"errors": [], "warnings": []})
        if path == "/api/repos/create":
            return self._created(json.loads(body))
        if path.endswith(".git/info/lfs/objects/batch"):
            return said({"objects": [self._wanted(one) for one in json.loads(body)["objects"]]})
        name, _, rest = path.removeprefix("/api/models/").partition("/preupload/")
        if rest:
            return said({"files": [_mode(file) for file in json.loads(body)["files"]]})
        name = path.removeprefix("/api/models/").partition("/commit/")[0]
        self._commit(self.repos[name], [json.loads(line) for line in body.splitlines()])
        url = f"{self.endpoint}/{name}/commit/{COMMIT}"
        return said({"commitOid": COMMIT, "commitUrl": url, "hookOutput": "", "success": True})

    def _created(self, asked: dict[str, Any]) -> Reply:
        name = f"{asked['organization']}/{asked['name']}"
        if name in self.repos:
            return said({"url": f"{self.endpoint}/{name}", "error": "You have it already"}, 409)
        self.add(name).visibility = asked.get("visibility", "public")
        return said({"url": f"{self.endpoint}/{name}"})

    def _wanted(self, one: dict[str, Any]) -> dict[str, Any]:
        upload = {"href": f"{self.second}/{one['oid']}"}
        return {"oid": one["oid"], "size": one["size"], "actions": {"upload": upload}}

    def _commit(self, repo: Repo, lines: list[dict[str, Any]]) -> None:
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                repo.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                repo.files[value["path"]] = self.held[value["oid"]]

    def large(self, digest: str) -> tuple[str, bytes]:
        """A large file's name and content, by its hash."""
        everything = (item for repo in self.repos.values() for item in repo.files.items())
        return next(i for i in everything if hashlib.sha256(i[1]).hexdigest() == digest)


def refused(status: int, code: str, text: str = "") -> Reply:
    """An answer that the hub's client makes an error of."""
    return status, {"X-Error-Code": code, "X-Error-Message": text}, b"{}"


def said(body: dict[str, Any], status: int = 200) -> Reply:
    return status, {}, json.dumps(body).encode()


def _mode(file: dict[str, Any]) -> dict[str, Any]:
    """How a file is to come: large ones by their hash."""
    large = file["path"].endswith(".safetensors")
    mode = "lfs" if large else "regular"
    return {"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": None}


GATED = refused(403, "GatedRepo", "Access to this model is restricted")


def _first(hub: FakeHub) -> type[BaseHTTPRequestHandler]:
    class First(_Quiet):
        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            if path.startswith("/api/models/") or "/resolve/" in path:
                hub.asked.append(path)  # the client also asks things about itself
                hub.tokens.append(("first", self.headers.get("Authorization")))
            self._answer(hub.reply(path))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            path = urlsplit(self.path).path
            self._answer(hub.posted(path, body, self.headers.get("Authorization")))

        def _answer(self, reply: Reply) -> None:
            status, headers, body = reply
            self.send_response(status)
            headers = {"Content-Type": "application/json", **headers}
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_HEAD = do_GET

    return First


def _second(hub: FakeHub) -> type[BaseHTTPRequestHandler]:
    class Second(_Quiet):
        def do_GET(self) -> None:
            hub.tokens.append(("second", self.headers.get("Authorization")))
            name, data = hub.large(self.path.removeprefix("/"))
            start = self._start()
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            self.send_header("Content-Length", str(len(data) - start))
            self.end_headers()
            self._write(name, data[start:])

        def do_PUT(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"]))
            hub.held[hashlib.sha256(data).hexdigest()] = data
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _start(self) -> int:
            wanted = self.headers.get("Range", "")
            if wanted:
                hub.ranges.append(wanted)
            return int(wanted.removeprefix("bytes=").partition("-")[0] or 0)

        def _write(self, name: str, data: bytes) -> None:
            limit = hub.breaks_after.pop(0) if hub.breaks_after else len(data)
            for start in range(0, min(limit, len(data)), CHUNK):
                part = data[start : min(start + CHUNK, limit)]
                self.wfile.write(part)
                hub.sent[name] = hub.sent.get(name, 0) + len(part)
                time.sleep(hub.seconds_per_chunk)
            self.close_connection = True

    return Second


class _Quiet(BaseHTTPRequestHandler):
    def handle(self) -> None:
        try:
            super().handle()
        except (BrokenPipeError, ConnectionResetError):
            return  # the client went, as it may

    def log_message(self, format: str, *args: Any) -> None:  # the base class's names
        """Quiet."""


@contextmanager
def _served(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def serving(monkeypatch) -> Iterator[FakeHub]:
    """A hub without models; this process and those that it starts ask it."""
    hub = FakeHub()
    with _served(_first(hub)) as hub.endpoint, _served(_second(hub)) as hub.second:
        go_online(monkeypatch, hub.endpoint)
        try:
            yield hub
        finally:
            leave()


@contextmanager
def fake_hub(pages: dict[str, dict[str, Any]], configs: dict[str, Any], monkeypatch):
    """A hub of these pages, and of these config.json.

    Yields the list of paths of models that were asked for.
    """
    with serving(monkeypatch) as hub:
        for name, page in pages.items():
            repo = hub.add(name, **page)
            if name in configs:
                repo.files["config.json"] = json.dumps(configs[name]).encode()
        yield hub.asked


def go_online(monkeypatch, endpoint: str) -> None:
    """Let the hub's client ask this address, although the tests switch it off."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", endpoint)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("ftlab.model_hub._found", {})
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    leave()


def leave() -> None:
    """Close the client's connections, so that none outlives its test."""
    from huggingface_hub import close_session

    close_session()


def own_cache(folder: Path, monkeypatch) -> Path:
    """An empty cache of the hub's client, for this process and those that it starts; no token."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder))
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(folder / "no-token"))
    monkeypatch.setenv("HF_HUB_CACHE", str(folder))
    monkeypatch.setenv("HF_TOKEN_PATH", str(folder / "no-token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.delenv("HUGGING_FACE_HUB_TOKEN", raising=False)
    return folder
