"""The key of a person's account at the hosted service: where it is, and until when."""

from __future__ import annotations

import os

from pydantic import SecretStr
from traitlets import HasTraits, Int

from ftlab.providers.together.account import KEY_VARIABLE, find_key, has_keyring, require_key
from ftlab.ui.guard import Teller
from ftlab.ui.pump import PUMP


class HeldKey(HasTraits):
    """The environment's or the keyring's, or one that was typed. What was typed is in this
    kernel's memory alone and no trait, so that nothing shows, sends or keeps it."""

    news = Int(help="counts up when a key has come or gone")

    def __init__(self, tell: Teller) -> None:
        super().__init__()
        self._tell = tell
        self._typed: SecretStr | None = None
        self._is_in_keyring = self._has_looked = False

    @property
    def is_here(self) -> bool:
        return bool(os.environ.get(KEY_VARIABLE)) or self._is_in_keyring or self.is_typed

    @property
    def is_typed(self) -> bool:
        return self._typed is not None

    @property
    def typed(self) -> SecretStr | None:
        """What was typed; None leaves it to the service's client to find another."""
        return self._typed

    def take(self, key: SecretStr) -> None:
        """Hold what was typed. Raises FtlabError for what can be no key."""
        self._typed = require_key(key)
        self.news += 1

    def forget(self) -> None:
        """Hold nothing that was typed."""
        if self.is_typed:
            self._typed = None
            self.news += 1

    def look(self) -> None:
        """Look once into the keyring, on a thread: it may ask the person to open it."""
        if not self._has_looked and has_keyring() and not os.environ.get(KEY_VARIABLE):
            self._has_looked = True
            PUMP.work(find_key, self._found, self._tell)

    def _found(self, key: object) -> None:
        self._is_in_keyring = key is not None
        self.news += 1
