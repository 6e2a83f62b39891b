"""An answer piece by piece, as the process streams it in OpenAI's form."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ftlab.answers.process import BrokeOff, GaveWay, Place, Stop, Told, failure, replied

CHAT = "/v1/chat/completions"
DATA, DONE = "data: ", "[DONE]"


def streamed(
    place: Place, asked: dict[str, Any], told: Told, stop: Stop | None = None
) -> Iterator[str]:
    """The pieces of the answer to a chat. A process that gives its device back before the first
    piece is asked again, and waits for its turn; later it raises GaveWay. Raises Stopped and
    RunError."""
    begun, stop = False, stop or Stop()
    while True:
        try:
            for piece in _pieces(place, asked, told, stop):
                begun = True
                yield piece
            return
        except GaveWay as exc:
            if begun:
                raise
            told(str(exc))


def _pieces(place: Place, asked: dict[str, Any], told: Told, stop: Stop) -> Iterator[str]:
    with replied(place, CHAT, {**asked, "stream": True}, told, stop) as reply:
        for line in reply.iter_lines():
            stop.check()
            if line.startswith(":"):
                told(f"Waiting for its turn:{line[1:]}.")
                continue
            data = line.removeprefix(DATA)
            if data == DONE:
                return
            if data:
                yield from _said(json.loads(data))
    stop.check()
    raise BrokeOff(
        "The answer broke off; it must come to an end. The process that answers may have run out "
        "of memory. Ask again; it is started anew."
    )


def _said(event: dict[str, Any]) -> Iterator[str]:
    if "error" in event:
        raise failure(event["error"])
    for choice in event["choices"]:
        if piece := choice["delta"].get("content"):
            yield piece
