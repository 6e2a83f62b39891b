"""One of two columns: who answers, what was said, and the answer that is being written."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets

from ftlab.answers.process import GaveWay, Stop, Stopped
from ftlab.answers.rows import message_text
from ftlab.answers.sides import Side, say
from ftlab.data.template import Message
from ftlab.html import escaped
from ftlab.issues import SHAPES
from ftlab.ui.pump import PUMP
from ftlab.ui.shown import set_html
from ftlab.ui.state import State

DRAW_EVERY = 0.1  # seconds: a browser can follow ten redraws, not a message for each token
LOOK_EVERY = 0.05
NOTHING = '<span class="ft-dim">(nothing)</span>'


class Reply:
    """What has come of one answer. Written by its thread, read by the pump's."""

    def __init__(self) -> None:
        self.stop = Stop()
        self.text = ""
        self.level, self.status = "", "Asking."
        self.is_over = self.is_whole = False


class Column(widgets.VBox):
    """A chat with one side."""

    def __init__(self, state: State, changed: Callable[[], Any]) -> None:
        self.state, self._changed = state, changed
        self.head, self.turns_view = widgets.HTML(), widgets.HTML().add_class("ft-turns")
        self.live, self.note = widgets.HTML(), widgets.HTML()
        super().__init__([self.head, self.turns_view, self.live, self.note])
        self.add_class("ft-column")
        self.side: Side | None = None
        self.turns: list[Message] = []
        self.reply: Reply | None = None
        self.is_held = False
        """Whether nothing is shown of what comes, for now."""
        self._asked: Message | None = None
        self._drawn = 0.0

    def begin(self, side: Side, history: Sequence[Message]) -> None:
        """A new chat."""
        self.end()
        self.side, self.turns, self.reply = side, list(history), None
        self.draw()

    def entitle(self, title: str, kind: str = "") -> None:
        """Say who answers; `kind` is "base" or "tuned" where that may be seen."""
        set_html(self.head, f"<h4>{escaped(title)}</h4>")
        for name in ("base", "tuned"):
            (self.add_class if name == kind else self.remove_class)(f"ft-{name}")

    @property
    def is_busy(self) -> bool:
        return self.reply is not None and not self.reply.is_over

    def ask(
        self,
        prompt: str,
        system: str,
        tools: list[Any] | None,
        sampling: dict[str, Any],
        after: Reply | None = None,
    ) -> Reply:
        """Go on with the chat, once the answer before has ended where both are made here."""
        assert self.side is not None, "a chat has begun"
        side, reply, key = self.side, Reply(), self.state.key.typed
        self.reply, self._asked = reply, {"role": "user", "content": prompt} if prompt else None
        said = [*self.turns, *([self._asked] if self._asked else [])]
        messages = [*([{"role": "system", "content": system}] if system else []), *said]
        self._draw()  # before anything can come of it

        def answer() -> None:
            while after is not None and not after.is_over:
                reply.stop.check()
                time.sleep(LOOK_EVERY)
            say(
                side,
                messages,
                tools=tools,
                heard=lambda piece: self._hear(reply, piece),
                told=lambda text: self._tell(reply, text),
                stop=reply.stop,
                key=key,
                **sampling,
            )

        PUMP.work(
            lambda: _outcome(answer),
            lambda found: self._over(reply, *found),
            lambda level, text: self._over(reply, level, text),
        )
        return reply

    def end(self) -> None:
        """Stop at once; what has come stays."""
        if self.reply is not None and not self.reply.is_over:
            self.reply.stop.set()
            self._over(self.reply, "tip", "Stopped.")

    def _hear(self, reply: Reply, piece: str) -> None:
        reply.text += piece
        reply.status = ""
        if time.monotonic() - self._drawn > DRAW_EVERY:
            self._drawn = time.monotonic()
            PUMP.post(self.draw, self.state.tell)

    def _tell(self, reply: Reply, text: str) -> None:
        if text != reply.status and not reply.text:
            reply.status = text
            PUMP.post(self.draw, self.state.tell)

    def _over(self, reply: Reply, level: str, text: str) -> None:
        if reply.is_over:
            return  # it was stopped before its thread knew
        reply.is_over, reply.level, reply.status = True, level, text
        reply.is_whole = not level
        if reply is not self.reply:
            return
        if reply.text or reply.is_whole:
            answer = {"role": "assistant", "content": reply.text}
            self.turns += [*([self._asked] if self._asked else []), answer]
        self.draw()
        self._changed()

    def draw(self) -> None:
        """Show what there is by now, unless that is held back."""
        if not self.is_held:
            self._draw()

    def _draw(self) -> None:
        reply = self.reply
        goes_on = reply is not None and not reply.is_over
        asked = [self._asked] if goes_on and self._asked else []
        set_html(self.turns_view, "".join(map(_turn_html, [*self.turns, *asked])))
        live = _answer_html(reply.text) if goes_on and reply and reply.text else ""
        set_html(self.live, live)
        set_html(self.note, "" if reply is None else _note_html(reply))


def _outcome(answer: Callable[[], Any]) -> tuple[str, str]:
    """How an answer ended: level and text of what is to be said of it."""
    try:
        answer()
    except Stopped:
        return "tip", "Stopped."
    except GaveWay as exc:
        return "warning", str(exc)
    return "", ""


def _turn_html(message: Message) -> str:
    text = message_text(message)
    role = str(message.get("role", ""))
    if role == "assistant":
        return _answer_html(text)
    return f'<div class="ft-turn ft-asked"><b>{escaped(role)}</b> {escaped(text)}</div>'


def _answer_html(text: str) -> str:
    return f'<div class="ft-turn">{escaped(text) if text.strip() else NOTHING}</div>'


def _note_html(reply: Reply) -> str:
    if not reply.status:
        return ""
    shape = f'<b class="ft-{reply.level}">{SHAPES[reply.level]}</b> ' if reply.level else ""
    role = "alert" if reply.level == "error" else "status"
    return f'<div class="ft-dim" role="{role}">{shape}{escaped(reply.status)}</div>'
