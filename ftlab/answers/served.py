"""A run's models for programs of this machine, which ask them as they ask OpenAI.

Listens on the loopback alone, and answers who knows the token. It is this process that listens;
the models are in the process that answers the Try panel, too.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import secrets
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from ftlab.answers.of_run import device_of, is_chat, model_of, tuned_folder, tuned_steps
from ftlab.answers.process import BASE, BrokeOff, GaveWay, Place, Stop, Stopped, replied
from ftlab.answers.waiting import Watch
from ftlab.errors import FtlabError, RunError
from ftlab.html import escaped
from ftlab.run import Run

HOST = "127.0.0.1"
NAMES = (HOST, "localhost")
MODELS, CHAT, TEXT = "/v1/models", "/v1/chat/completions", "/v1/completions"
LARGEST = 2**24  # bytes of a request
OWN = ("plain", "called", "add_special_tokens")
"""Words between our own processes, which nobody else sends."""
NO_MORE = "The run is served no more; who serves it must go on with it. Serve it again."
SNIPPET = """\
from openai import OpenAI

client = OpenAI(base_url={base_url!r}, api_key={key})
answer = client.chat.completions.create(
    model={model!r}, messages=[{{"role": "user", "content": "Hello"}}]
)
print(answer.choices[0].message.content)
"""


def serve(run: Run, port: int = 0) -> Served:
    """Begin to serve a run: its base as "base", what it tuned by its id, a checkpoint as ID:STEP.
    Port 0 takes a free one. Raises RunError where there is nothing to serve, or the port is
    taken."""
    tuned_folder(run)
    return Served(run, port)


class Served:
    """A run that is served, until `stop()` or the end of this process."""

    def __init__(self, run: Run, port: int) -> None:
        self.run = run
        self._token = SecretStr(secrets.token_urlsafe(32))
        try:
            self._server = _Server((HOST, port), run, self._token)
        except OSError as exc:
            raise RunError(
                f"Port {port} can't be listened on ({exc.strerror}); a server takes one that is "
                "free. Name another, or none."
            ) from exc
        threading.Thread(target=self._server.serve_forever, name="ftlab-serve", daemon=True).start()

    @property
    def base_url(self) -> str:
        """What a client takes."""
        return f"http://{HOST}:{self._server.server_address[1]}/v1"

    @property
    def token(self) -> str:
        """What a client sends as its key."""
        return self._token.get_secret_value()

    @property
    def models(self) -> list[str]:
        """The names of what can be asked."""
        return list(folders(self.run))

    def snippet(self, key: str = "served.token") -> str:
        """Code of a client; `key` is how it gets the token."""
        return SNIPPET.format(base_url=self.base_url, key=key, model=self.run.id)

    def stop(self) -> None:
        """Listen no more; what is being answered ends."""
        self._server.shutdown()
        self._server.server_close()
        for stop in tuple(self._server.answering):
            stop.set()

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<Served {self.run.id} at {self.base_url}>"

    def _repr_html_(self) -> str:
        return f"<div>{escaped(repr(self))}</div><pre>{escaped(self.snippet())}</pre>"


def folders(run: Run) -> dict[str, str]:
    """What a client may call a model → what the process calls it."""
    found = {BASE: BASE, run.id: str(tuned_folder(run))}
    return found | {f"{run.id}:{step}": str(tuned_folder(run, step)) for step in tuned_steps(run)}


class _Server(ThreadingHTTPServer):
    block_on_close = False
    daemon_threads = True

    def __init__(self, address: tuple[str, int], run: Run, token: SecretStr) -> None:
        super().__init__(address, _Handler)
        self.run, self.token = run, token
        self.answering = set[Stop]()


class _Refused(Exception):
    """What is not answered: an HTTP status, why, and OpenAI's word for it."""

    def __init__(self, code: int, text: str, kind: str = "invalid_request_error") -> None:
        super().__init__(text)
        self.code, self.kind = code, kind


class _Handler(BaseHTTPRequestHandler):
    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride]
    timeout = 60  # seconds that a client may take to send its request, or to read a piece

    def do_GET(self) -> None:
        """The models."""
        with self._told():
            self._admit()
            if urlsplit(self.path).path != MODELS:
                raise _Refused(404, f"{self.path} is asked for; there is {MODELS}.")
            about = {"object": "model", "created": 0, "owned_by": "ftlab"}
            names = [{"id": name, **about} for name in folders(self.server.run)]
            self._reply(200, {"object": "list", "data": names})

    def do_POST(self) -> None:
        """An answer, whole or as a stream."""
        with self._told():
            body = self._body()  # first of all: who is refused with it unread may not hear why
            self._admit()
            path = urlsplit(self.path).path
            if path not in (CHAT, TEXT):
                raise _Refused(404, f"{self.path} is asked for; there are {CHAT} and {TEXT}.")
            self._relay(path, self._asked(body))

    def _admit(self) -> None:
        """Refuse whoever does not know the token, and pages of other sites: a name of theirs may
        lead here."""
        host = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
        if host not in NAMES:
            raise _Refused(403, f"The host is none of {', '.join(NAMES)}. Ask by one of these.")
        given = self.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        wanted = f"Bearer {self.server.token.get_secret_value()}".encode()
        if not hmac.compare_digest(given, wanted):
            raise _Refused(401, "The token is missing or wrong. Send it as the key.", "auth")

    def _body(self) -> bytes:
        size = self.headers.get("Content-Length", "")
        if not size.isdecimal() or len(size) > 9 or int(size) > LARGEST:
            raise _Refused(413, f"A request has a length of at most {LARGEST:,} bytes. Shorten it.")
        return self.rfile.read(int(size))

    def _asked(self, body: bytes) -> dict[str, Any]:
        try:
            asked = json.loads(body)
        except (ValueError, RecursionError):
            asked = None
        if not isinstance(asked, dict):
            raise _Refused(400, "The request is no JSON object; it takes one. Send one.")
        known = folders(self.server.run)
        name = asked.get("model")
        if not isinstance(name, str) or name not in known:
            there = ", ".join(known)
            raise _Refused(404, f"There is no model {name!r}, but {there}.", "model_not_found")
        kept = {word: value for word, value in asked.items() if word not in OWN}
        plain = not is_chat(self.server.run)
        return {**kept, "model": known[name], "called": name, "plain": plain,
                "add_special_tokens": plain}  # fmt: skip

    def _relay(self, path: str, asked: dict[str, Any]) -> None:
        """Pass the answer on as it comes; the process is told when the client leaves."""
        run = self.server.run
        place = Place(model_of(run), device_of(run))
        with self._watched() as stop:
            while True:
                try:
                    with replied(place, path, asked, lambda _: None, stop) as reply:
                        self._begin(reply.headers["Content-Type"])
                        for piece in reply.iter_raw():
                            self.wfile.write(piece)
                        return
                except GaveWay:  # nothing was sent yet: it waits for its turn
                    continue

    @contextlib.contextmanager
    def _watched(self) -> Iterator[Stop]:
        """Set when the client leaves, or the run is served no more."""
        stop = Stop()
        self.server.answering.add(stop)
        try:
            with Watch(self.connection, stop):
                yield stop
        finally:
            self.server.answering.discard(stop)

    def _begin(self, kind: str) -> None:
        self._begun = True
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.end_headers()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Say what goes wrong, as OpenAI does."""
        self._begun = False
        try:
            yield
        except (ConnectionError, TimeoutError):  # the client has left
            self.close_connection = True
        except Stopped:  # or it has left while it waited, and hears nothing
            self._refuse(503, NO_MORE, "server_error")
        except _Refused as exc:
            self._refuse(exc.code, str(exc), exc.kind)
        except BrokeOff as exc:
            self._refuse(503, str(exc), "server_error")
        except FtlabError as exc:
            self._refuse(400, str(exc), "invalid_request_error")

    def _refuse(self, code: int, text: str, kind: str) -> None:
        error = {"error": {"message": text, "type": kind, "code": code}}
        with contextlib.suppress(ConnectionError, TimeoutError):
            if self._begun:  # the process died while it answered; a stream takes this as its end
                self.wfile.write(f"data: {json.dumps(error)}\n\n".encode())
            else:
                self._reply(code, error)

    def _reply(self, code: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: who asks knows, and a notebook is no place for a log."""
