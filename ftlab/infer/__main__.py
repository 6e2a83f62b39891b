"""`python -m ftlab.infer MODEL SOCKET`: answers over HTTP on a unix socket.

POST /v1/completions       {"model", "prompt": [texts], "max_tokens", "temperature", "seed",
                           "add_special_tokens"}
POST /v1/chat/completions  {"model", "messages", …}
POST /v1/losses            {"model", "rows": [{"ids", "labels"}]}

`model` is "base" or the folder of an adapter. The process holds the lease of its device while
the model is on it, and ends when nobody has asked for a while or somebody waits for the device.
"""

from __future__ import annotations

import argparse
import json
import socketserver
import sys
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftlab.devices import is_wanted, lease
from ftlab.infer.routes import ROUTES
from ftlab.models import fetch
from ftlab.processes import loading

if TYPE_CHECKING:
    from ftlab.infer.answer import Answerer

IDLE_SECONDS = 120
TICK = 0.5


class _Server(socketserver.UnixStreamServer):
    timeout = TICK

    def __init__(self, path: Path, answerer: Answerer) -> None:
        path.unlink(missing_ok=True)
        super().__init__(str(path), _Handler)
        self.answerer = answerer
        self.last_asked = time.monotonic()


class _Handler(BaseHTTPRequestHandler):
    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride]
    timeout = 10  # seconds; a client that connects and says nothing must not hold the device

    def do_POST(self) -> None:
        """Answer, or say in the same shape as OpenAI what is wrong."""
        self.server.last_asked = time.monotonic()
        try:
            size = int(self.headers.get("Content-Length", 0))
            asked = json.loads(self.rfile.read(size))
            if self.path not in ROUTES:
                self._refuse(404, f"{self.path} is asked for; there are {', '.join(ROUTES)}.")
                return
            self._reply(200, ROUTES[self.path](self.server.answerer, asked))
        except Exception as exc:
            self._refuse(400, f"{exc}", type(exc).__name__)
        self.server.last_asked = time.monotonic()

    def _refuse(self, code: int, text: str, kind: str = "not_found") -> None:
        self._reply(code, {"error": {"message": text, "type": kind}})

    def _reply(self, code: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def address_string(self) -> str:
        return "unix"  # a unix socket has no client address to print


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m ftlab.infer")
    parser.add_argument("model")
    parser.add_argument("socket", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--lock", type=int, help="handle of the socket's lock, held already")
    arguments = parser.parse_args()
    with lease(arguments.device, "the Try panel"):
        with loading():
            import peft  # noqa: F401

            from ftlab.infer.answer import Answerer

            answerer = Answerer(fetch(arguments.model), arguments.device)
        with _Server(arguments.socket, answerer) as server:
            while not _should_end(server, arguments.device):
                server.handle_request()
            arguments.socket.unlink(missing_ok=True)
    return 0


def _should_end(server: _Server, device: str) -> bool:
    idle = time.monotonic() - server.last_asked
    return idle > IDLE_SECONDS or (idle > 2 * TICK and is_wanted(device))


if __name__ == "__main__":
    sys.exit(main())
