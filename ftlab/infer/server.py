"""HTTP on a unix socket: many may ask, one after another is answered, and who leaves is let go."""

from __future__ import annotations

import json
import select
import socketserver
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftlab.connections import has_left
from ftlab.errors import FtlabError
from ftlab.infer.routes import ROUTES, STREAMS
from ftlab.infer.turns import Turns

if TYPE_CHECKING:
    from ftlab.infer.answer import Answerer

TICK = 0.5
LARGEST = 2**26  # bytes of a request
MODELS = "/v1/models"
GAVE_WAY = "gave_way"
"""The type of the error where the device is given back before the answer has ended."""


class GivesWay(Exception):
    """Somebody waits for the device, or the process ends."""


class _Gone(Exception):
    """Nobody reads the answer any more."""


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """The requests to one model. A reason in `ends` ends those that go on and refuses others."""

    timeout = TICK
    request_queue_size = 64

    def __init__(self, path: Path, answerer: Answerer) -> None:
        path.unlink(missing_ok=True)
        super().__init__(str(path), _Handler)
        self.answerer = answerer
        self.turns = Turns()
        self.last_asked = time.monotonic()
        self.ends = ""

    def take_the_rest(self) -> None:
        """Tell those who have come already that they have to ask again."""
        while select.select([self], [], [], 0)[0]:
            self.handle_request()


class _Handler(BaseHTTPRequestHandler):
    server: Server  # pyright: ignore[reportIncompatibleVariableOverride]
    timeout = 10  # seconds; a client that connects and says nothing must not hold the device

    def do_GET(self) -> None:
        """The one model that is always there; adapters are named by their folders."""
        if self.path != MODELS:
            self._refuse(404, f"{self.path} is asked for; there is {MODELS}.", "not_found")
            return
        model = {"id": "base", "object": "model", "created": 0, "owned_by": "ftlab"}
        self._reply(200, {"object": "list", "data": [model]})

    def do_POST(self) -> None:
        """Answer, or say in the same shape as OpenAI what is wrong."""
        self.server.last_asked = time.monotonic()
        self._begun = False
        try:
            self._answer(self._asked())
        except GivesWay as exc:
            self._fail(503, str(exc), GAVE_WAY)
        except (_Gone, ConnectionError, TimeoutError):
            self.close_connection = True
        except FtlabError as exc:
            self._fail(400, str(exc), "invalid_request_error")
        except Exception as exc:
            self._fail(400, f"{type(exc).__name__}: {exc}", type(exc).__name__)
        self.server.last_asked = time.monotonic()

    def _asked(self) -> dict[str, Any]:
        size = int(self.headers.get("Content-Length", 0))
        if size > LARGEST:
            raise FtlabError(f"The request has {size:,} bytes; it takes {LARGEST:,}. Shorten it.")
        if self.path not in ROUTES:
            raise FtlabError(f"{self.path} is asked for; there are {', '.join(ROUTES)}.")
        asked = json.loads(self.rfile.read(size))
        if not isinstance(asked, dict) or "model" not in asked:
            raise FtlabError("The request names no model; it is an object with one. Name it.")
        return asked

    def _answer(self, asked: dict[str, Any]) -> None:
        streams = STREAMS.get(self.path) if asked.get("stream") else None
        with self.server.turns.mine(lambda before: self._wait(before, told=streams is not None)):
            answerer = self.server.answerer
            answerer.still_wanted = self._still_wanted
            self._still_wanted()
            if streams is None:
                self._reply(200, ROUTES[self.path](answerer, asked))
                return
            streams(answerer, asked, lambda part: self._send(json.dumps(part)))
            self._send("[DONE]")

    def _wait(self, before: int, *, told: bool) -> None:
        self._still_wanted()
        if told:  # a comment of the protocol, which clients pass over
            self._begin()
            self.wfile.write(f": {before} before you\n\n".encode())

    def _still_wanted(self) -> None:
        if self.server.ends:
            raise GivesWay(self.server.ends)
        if has_left(self.connection):
            raise _Gone

    def _begin(self) -> None:
        if self._begun:
            return
        self._begun = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-cache")
        self.end_headers()

    def _send(self, data: str) -> None:
        self._begin()
        self.wfile.write(f"data: {data}\n\n".encode())

    def _fail(self, code: int, text: str, kind: str) -> None:
        try:
            if self._begun:
                self._send(json.dumps({"error": {"message": text, "type": kind, "code": code}}))
            else:
                self._refuse(code, text, kind)
        except (ConnectionError, TimeoutError):  # nobody is there to be told
            self.close_connection = True

    def _refuse(self, code: int, text: str, kind: str) -> None:
        self._reply(code, {"error": {"message": text, "type": kind, "code": code}})

    def _reply(self, code: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def address_string(self) -> str:
        return "unix"  # a unix socket has no client address to print
