"""The Try panel: two models on the same prompt, next to each other."""

from __future__ import annotations

import contextlib
from typing import Any

import ipywidgets as widgets

from ftlab.answers.rows import Question, message_text
from ftlab.answers.sides import Side
from ftlab.data.template import Message
from ftlab.html import escaped
from ftlab.ui.draft import read_tried, write_tried
from ftlab.ui.guard import guarded
from ftlab.ui.key_box import KeyBox
from ftlab.ui.pump import PUMP
from ftlab.ui.scores_box import ScoresBox
from ftlab.ui.shown import set_html
from ftlab.ui.state import State
from ftlab.ui.try_duel import Duel
from ftlab.ui.try_rows import ValidationRows
from ftlab.ui.try_settings import Context, Settings
from ftlab.ui.try_sides import SidesChoice
from ftlab.ui.try_votes import VoteBox
from ftlab.votes import Choice

NO_RUN = "There is no run yet; a tuned model comes from one. Start one in the Job tab."
NO_KEY = "The service answers only to the account's key. Type it above."
HELD = "Both answers will appear at once, so that their pace does not tell whose they are."


class TryPanel(widgets.VBox):
    """A prompt and two chats. Each side's own answers go on in its own chat."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.sides = SidesChoice(state, self._new_chat)
        self.context, self.settings = Context(state), Settings()
        self.prompt = widgets.Textarea(
            description="prompt", placeholder="Ask something", rows=3, continuous_update=True
        ).add_class("ft-prompt")
        self.ask = widgets.Button(description="Ask", button_style="primary")
        self.stop = widgets.Button(description="Stop", tooltip="Ends both answers at once")
        self.next_row = widgets.Button(
            description="Next validation row", tooltip="Takes a row's question as the prompt"
        )
        self.new_chat = widgets.Button(description="New chat", tooltip="Forgets what was said")
        self.blind = widgets.ToggleButton(
            description="Blind", tooltip="Hides which side is which until you have voted"
        )
        self.key, self.reason = KeyBox(state), widgets.HTML()
        self.duel = Duel(state, self.sides.heading_of, self._changed)
        self.columns = self.duel.columns
        self.votes = VoteBox(state.tell, self.sides.title_of, self._vote)
        self.reference, self.scores = widgets.HTML(), ScoresBox(state)
        buttons = widgets.HBox([self.ask, self.stop, self.next_row, self.new_chat, self.blind])
        super().__init__([
            *(self.sides, self.context, self.prompt, self.settings, self.key),
            *(buttons.add_class("ft-buttons"), self.reason, self.duel, self.votes, self.reference),
            self.scores,
        ])  # fmt: skip
        self.add_class("ft-panel")
        self._rows = ValidationRows(state)
        self._history: tuple[Message, ...] = ()
        """Of a row: what was said before its prompt."""
        self._row: tuple[str, str, str] | None = None
        """Prompt, answer and place of the row that was loaded."""
        self._last = ""
        self._sampling: dict[str, Any] = {}
        """Of the last answers."""
        self._has_begun, self._asked_of = False, ("", "")
        """Whether a chat goes on, and with which sides."""
        self._restore()
        self._listen()
        PUMP.add(self)
        self.refresh()

    def _listen(self) -> None:
        tell, state = self.state.tell, self.state
        for button, act in (
            (self.ask, self._ask),
            (self.stop, self._stop),
            (self.next_row, self._next),
            (self.new_chat, self._new_chat),
        ):
            button.on_click(guarded(tell, lambda _, act=act: act()))
        self.blind.observe(guarded(tell, lambda _: self._new_chat()), "value")
        typed = guarded(tell, lambda _: self._typed())
        for box in (self.prompt, self.context.system, self.context.tools):
            box.observe(typed, "value")
        self.settings.watch(typed)
        seen = guarded(tell, lambda _: self.refresh())
        state.observe(seen, ["beat", "selected", "tab", "looked"])
        state.key.observe(seen, "news")

    # --- what was typed ----------------------------------------------------------------------

    def _restore(self) -> None:
        """What was typed before the kernel went."""
        found = read_tried(self.state.folder.folder)
        boxes = {"prompt": self.prompt, "system": self.context.system, "tools": self.context.tools}
        for name, box in boxes.items():
            box.value = str(found.get(name, ""))
        self.settings.take(found)

    def _typed(self) -> None:
        typed = {"prompt": self.prompt.value or self._last, "system": self.context.system.value}
        typed["tools"] = self.context.tools.value
        with contextlib.suppress(OSError):  # where runs can't be written, the Run tab says so
            write_tried(self.state.folder.folder, typed | self.settings.sampling)
        self.refresh()

    # --- what can be done --------------------------------------------------------------------

    @property
    def is_busy(self) -> bool:
        return self.duel.is_busy

    def tick(self) -> None:
        """Show what came since the last redraw."""
        if self.is_busy:
            self.duel.draw()

    def tell(self, level: str, text: str) -> None:
        self.state.tell(level, text)

    def refresh(self) -> None:
        """Say why there is nothing to ask yet, if so."""
        self.sides.refresh()
        if self._has_begun and self.sides.chosen_keys != self._asked_of:
            self._new_chat()  # another run is shown, or a side is not there any more
            return
        busy, reason = self.is_busy, self._why_not()
        pair = self.sides.chosen
        self.key.offer(wanted=any(side.is_hosted for side in pair or ()))
        self.ask.disabled = busy or bool(reason)
        self.stop.disabled = not busy
        self.next_row.disabled = busy or not self._rows.are_there
        self.new_chat.disabled = not self._has_begun
        text = HELD * self.blind.value if busy else reason
        set_html(self.reason, f'<span class="ft-dim">{escaped(text)}</span>' if text else "")
        ready = not busy and self.duel.is_whole and self.votes.pair is not None
        self.votes.offer(visible=self.blind.value, ready=ready)
        if self.blind.value and pair and self.state.run:
            self.votes.count(self.state.run.votes_file, *pair)
        if not self._has_begun:
            self.duel.entitle(pair, hidden=self.blind.value)

    def _why_not(self) -> str:
        if self.state.run is None:
            return NO_RUN
        pair = self.sides.chosen
        if pair is None:
            return self.state.run.why_nothing_tuned
        if any(side.is_hosted for side in pair) and not self.state.key.is_here:
            return NO_KEY
        return "" if self.prompt.value.strip() or self._is_asked_by_row else "Type a prompt."

    @property
    def _is_asked_by_row(self) -> bool:
        """Whether the chat ends with what wants an answer already, as the result of a tool."""
        return bool(self._history) and not self._has_begun

    # --- asking ------------------------------------------------------------------------------

    def _ask(self) -> None:
        if self.is_busy or (pair := self.sides.chosen) is None:
            return
        prompt, tools = self.prompt.value.strip(), self.context.known_tools
        if self.blind.value and self.votes.pair is None:
            self._has_begun = False  # its vote has closed the chat
        if not self._has_begun:
            self._begin(pair)
        self._show_reference(prompt)
        self._last, self.prompt.value = prompt, ""
        self._sampling = self.settings.sampling
        asked = prompt, self.context.system.value.strip(), tools, self._sampling
        self.duel.ask(*asked, hidden=self.blind.value)
        self.refresh()

    def _begin(self, pair: tuple[Side, Side]) -> None:
        pair = self.votes.hide(*pair) if self.blind.value else pair
        self._has_begun, self._asked_of = True, self.sides.chosen_keys
        self.duel.begin(pair, self._history, hidden=self.blind.value)
        self._history = ()

    def _stop(self) -> None:
        self.duel.stop()
        self.refresh()

    def _changed(self) -> None:
        """An answer has ended."""
        if not self.is_busy and not any(self.duel.said):
            self.prompt.value = self.prompt.value or self._last  # nothing came of it: ask again
        self.refresh()

    def _new_chat(self) -> None:
        """Forget what was said; the last prompt comes back, to be asked of others."""
        self._has_begun = False
        self._stop()
        self._history, self._row, self.votes.pair = (), None, None
        self.duel.forget()
        set_html(self.reference, "")
        self.prompt.value = self.prompt.value or self._last
        self.refresh()

    def _vote(self, choice: Choice) -> None:
        run = self.state.run
        if run is None or self.votes.pair is None:
            return
        about = {"prompt": self._last, "answers": self.duel.said, "sampling": self._sampling}
        said = self.votes.vote(run.votes_file, choice, **about)
        self.duel.reveal()
        self.state.tell("tip", f"{said} The next prompt begins a new chat.")
        self.refresh()

    # --- rows --------------------------------------------------------------------------------

    def _next(self) -> None:
        self._rows.next(self._take)

    def _take(self, question: Question, place: str) -> None:
        self._last = ""
        self._new_chat()
        self._history = question.history
        self._row = question.prompt.strip(), question.reference, place
        self.context.fill(question.system, question.tools)
        self.prompt.value = question.prompt
        self.duel.forget(question.history)
        set_html(self.reference, f'<span class="ft-dim">{escaped(place)}</span>')
        self.refresh()

    def _show_reference(self, prompt: str) -> None:
        row, self._row = self._row, None
        text = ""
        if row is not None and row[0] == prompt:
            said = message_text({"content": row[1]})
            text = (
                f'<h4>reference <span class="ft-dim">({escaped(row[2])})</span></h4>'
                f'<div class="ft-reference">{escaped(said)}</div>'
            )
        set_html(self.reference, text)
