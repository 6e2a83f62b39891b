"""A hub on the loopback: model pages and their config.json, as the hub's HTTP API gives them."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@contextmanager
def fake_hub(pages: dict[str, dict[str, Any]], configs: dict[str, Any], monkeypatch):
    """Answers /api/models/ID and /ID/resolve/main/config.json; anything else is a 404.

    Yields the list of paths of models that were asked for.
    """
    asked: list[str] = []
    answers = {f"/api/models/{name}": {"id": name, **page} for name, page in pages.items()}
    answers |= {f"/{name}/resolve/main/config.json": config for name, config in configs.items()}

    class Hub(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path.startswith("/api/models/") or "/resolve/" in self.path:
                asked.append(self.path)  # the client also asks things about itself
            known = self.path in answers
            body = json.dumps(answers.get(self.path, {"error": "not found"})).encode()
            self.send_response(200 if known else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format, *args):  # the base class's names
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    go_online(monkeypatch, endpoint)
    try:
        yield asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        leave()


def go_online(monkeypatch, endpoint: str) -> None:
    """Let the hub's client ask this address, although the tests switch it off."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", endpoint)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("ftlab.model_hub._found", {})
    leave()


def leave() -> None:
    """Close the client's connections, so that none outlives its test."""
    from huggingface_hub import close_session

    close_session()
