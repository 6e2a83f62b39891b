"""What an exchange hands back, and the ledgers that see to it that nothing is dropped unsaid.

An exporter reads a spec through `Fields`, an importer reads foreign settings through `Keys`. Both
note what was read; what was asked for and never read is lost, and said in three facts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ftlab.issues import Issue, Level, shown
from ftlab.spec import FIELDS, JobSpec

MISSING: Any = object()
"""Stands for a key that is not there, which is something else than one that holds null."""
SECRETS = ("api_key", "wandb_key", "token", "password", "secret")
NAMED = 8
"""How many of the settings that are set aside a message names."""
NOT_EXPORTED, NOT_IMPORTED, FOREIGN_NAME = "not_exported", "not_imported", "foreign_name"


class Exported(NamedTuple):
    """A spec in another form."""

    text: str
    """Empty when the other side has nothing like this job; then an error in `lost` says why."""
    lost: list[Issue]
    """What the other form can't express, or expresses otherwise."""


class Imported(NamedTuple):
    """Settings of another form, in ftlab's words."""

    values: dict[str, Any]
    """Values for a JobSpec, not checked yet."""
    lost: list[Issue]
    """What has no counterpart here, or could not be turned into it."""
    hints: list[Issue]
    """What was accepted under another name, and how it is called here."""


class Fields:
    """The values of a spec for an exporter; it remembers which were read.

    `given` is the spec before anything was filled in: only what a person asked for can be lost.
    """

    def __init__(self, spec: JobSpec, target: str, given: JobSpec | None = None) -> None:
        self.spec, self.target = spec, target
        self._given = given or spec
        self._read: set[str] = set()
        self._issues: list[Issue] = []

    def __getitem__(self, name: str) -> Any:
        self.read(name)
        return getattr(self.spec, name)

    def read(self, *names: str) -> None:
        """Note fields that go over with another one."""
        self._read.update(names)

    def lose(self, name: str, why: str, *, level: Level = "warning", fix: Any = None) -> None:
        """Say that a field's value does not go over. `why` holds the last two facts."""
        self._read.add(name)
        value = getattr(self.spec, name)
        left_out = value is None and name not in self._given.model_fields_set
        text = f"{name} is {'left out' if left_out else shown(value)}; {why}"
        issue = Issue(level, text, NOT_EXPORTED, name, fix=fix)
        if issue not in self._issues:
            self._issues.append(issue)

    def asked(self, name: str) -> bool:
        """Whether a person gave the field a value that differs from leaving it out."""
        value = getattr(self._given, name)
        return name in self._given.model_fields_set and value != FIELDS[name].default

    def lost(self) -> list[Issue]:
        """What `lose()` was told, and every field that was asked for and never read."""
        unread = [name for name in FIELDS if name not in self._read and self.asked(name)]
        for name in unread:
            self.lose(name, f"{self.target} has no such setting. Leave it out, or set it by hand.")
        return list(self._issues)


class Keys:
    """Nested settings of another tool for an importer; it remembers which were taken."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = settings
        self._taken: set[str] = set()
        self._lost: list[Issue] = []
        self._hints: list[Issue] = []

    def take(self, path: str, default: Any = None) -> Any:
        """The value at a dotted path, or the default where nothing is."""
        self._taken.add(path)
        found: Any = self._settings
        for name in path.split("."):
            if not isinstance(found, Mapping) or name not in found:
                return default
            found = found[name]
        return found

    def drop(self, name: str) -> None:
        """Treat a setting as if it were not there."""
        self._settings = {n: value for n, value in self._settings.items() if n != name}

    def has(self, path: str) -> bool:
        """Whether something is at a dotted path; a null is nothing."""
        known = set(self._taken)
        there = self.take(path) is not None
        self._taken = known
        return there

    def lose(self, path: str, why: str, *, level: Level = "warning", ours: str = "") -> None:
        """Say that a setting is not taken over. `why` holds the last two facts."""
        value = self.take(path)
        is_secret = any(part in path.lower() for part in SECRETS)
        found = "given" if is_secret else shown(value)
        self._lost.append(Issue(level, f"{path} is {found}; {why}", NOT_IMPORTED, ours or path))

    def hint(self, path: str, ours: str, how: str = "") -> None:
        """Say under which name of ours a setting was accepted, if it is there."""
        if not self.has(path):
            return
        text = f"{path} is accepted; ftlab calls it {ours}{how}. Nothing to do."
        self._hints.append(Issue("tip", text, FOREIGN_NAME, ours))

    def note(self, text: str) -> None:
        """Something else to know, in three facts."""
        self._hints.append(Issue("tip", text, FOREIGN_NAME))

    def set_aside(self, paths: tuple[str, ...], why: str) -> None:
        """Settings that are no part of what is trained; one tip names those that are there."""
        found = [path for path in paths if path not in self._taken and self.has(path)]
        self._taken.update(found)
        if found:
            names = ", ".join(found[:NAMED])
            more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
            text = f"Not taken over: {names}{more}; {why}"
            self._lost.append(Issue("tip", text, NOT_IMPORTED, found[0], count=len(found)))

    def done(self, values: dict[str, Any]) -> Imported:
        """The values without the MISSING; everything that was there and never taken is lost."""
        for path in list(self._left(self._settings, "")):
            self.lose(path, "ftlab has no such setting. Leave it out.")
        given = {name: value for name, value in values.items() if value is not MISSING}
        return Imported(given, self._lost, self._hints)

    def _left(self, settings: Mapping[str, Any], prefix: str) -> Iterator[str]:
        """Paths that nobody took; parts are opened only where one of their keys was taken."""
        for name, value in settings.items():
            path = f"{prefix}{name}"
            if path in self._taken or value is None:
                continue
            opened = any(taken.startswith(f"{path}.") for taken in self._taken)
            if opened and isinstance(value, Mapping):
                yield from self._left(value, f"{path}.")
            else:
                yield path
