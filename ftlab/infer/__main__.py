"""`python -m ftlab.infer MODEL SOCKET`: answers over HTTP on a unix socket.

POST /v1/completions       {"model", "prompt": [texts], "max_tokens", "temperature", "top_p",
                           "seed", "stream", "add_special_tokens"}
POST /v1/chat/completions  {"model", "messages", "tools", "plain", …}
POST /v1/losses            {"model", "rows": [{"ids", "labels"}]}
GET  /v1/models

`model` is "base" or the folder of an adapter. With `stream` the answer comes as OpenAI's events.
One request is answered at a time. The process holds the lease of its device while the model is on
it, and ends when nobody has asked for a while or somebody waits for the device: then an answer
that goes on is broken off, and says so.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from ftlab.devices import is_wanted, lease
from ftlab.infer.server import TICK, Server
from ftlab.models import fetch
from ftlab.processes import loading

IDLE_SECONDS = 120
GRACE_SECONDS = 2.0
"""What an answer may still take when somebody begins to wait for the device."""
WANTED = (
    "The device is wanted by who waits for it, and was given back before the answer had ended. "
    "Ask again: the answer then waits for its turn."
)
IDLE = "The process that answers was just ending, as nobody had asked for a while. Ask again."


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
        with Server(arguments.socket, answerer) as server:
            why = _serve(server, arguments.device)
            arguments.socket.unlink(missing_ok=True)  # nobody comes any more
            server.ends = why
            server.take_the_rest()
    return 0


def _serve(server: Server, device: str) -> str:
    """Answer until the process is to end; why it does."""
    wanted_since = None
    while True:
        server.handle_request()
        now = time.monotonic()
        idle = 0.0 if len(server.turns) else now - server.last_asked
        if idle > IDLE_SECONDS:
            return IDLE
        if not is_wanted(device):
            wanted_since = None
            continue
        wanted_since = wanted_since or now
        if idle > 2 * TICK or now - wanted_since > GRACE_SECONDS:
            return WANTED


if __name__ == "__main__":
    sys.exit(main())
