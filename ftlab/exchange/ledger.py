"""What an exchange hands back, and the ledgers that see to it that nothing is dropped unsaid.

An exporter reads a spec through `Fields`, an importer reads foreign settings through `Keys`. Both
note what was read; what was asked for and never read is lost, and said in three facts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ftlab.exchange.secrets import holds_settings, quoted
from ftlab.issues import LONGEST_SHOWN, Issue, Level, allowed, shown
from ftlab.spec import FIELDS, JobSpec

MISSING: Any = object()
"""Stands for a key that is not there, which is something else than one that holds null."""
Path = str | tuple[Any, ...]
"""Where a setting stands: names with dots between them, or one by one where a name may hold one."""
NAMED = 8
"""How many of the settings that are set aside a message names."""
UNKNOWN = 20
"""How many settings that ftlab has not are told one by one: more are another kind of file."""
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
        self.values: dict[str, Any] = {}
        """Values of ours that `give()` was told."""
        self.is_foreign = any(name not in FIELDS for name in settings)
        """Whether a name is not ours; what is left out then means what it means there."""
        self._settings = settings
        self._sources: dict[str, Path] = {}
        self._taken: set[tuple[Any, ...]] = set()
        self._lost: list[Issue] = []
        self._hints: list[Issue] = []

    def take(self, path: Path, default: Any = None) -> Any:
        """The value at a path, or the default where nothing is."""
        self._taken.add(_names(path))
        return self._at(path, default)

    def has(self, path: Path) -> bool:
        """Whether something is at a path; a null is nothing."""
        return self._at(path) is not None

    def _at(self, path: Path, default: Any = None) -> Any:
        found: Any = self._settings
        for name in _names(path):
            if not isinstance(found, Mapping) or name not in found:
                return default
            found = found[name]
        return found

    def drop(self, names: Collection[str]) -> None:
        """Treat settings as if they were not there."""
        self._settings = {n: value for n, value in self._settings.items() if n not in names}

    def give(self, ours: str, value: Any, path: Path, how: str = "") -> None:
        """Note a value of ours and the setting that it comes from.

        The first one counts: another setting that means another value is lost.
        """
        first = self._sources.setdefault(ours, path)
        kept = self.values.setdefault(ours, value)
        if kept != value:
            self.lose(
                path,
                f"{_in_words(first)} is given too, and one job has one {ours}, here "
                f"{quoted(ours, kept)}. Give one of the two.",
                ours=ours,
            )
        elif not holds_settings(value):  # `done()` tells of these
            self.hint(path, ours, how)

    def lose(self, path: Path, why: str, *, level: Level = "warning", ours: str = "") -> None:
        """Say that a setting is not taken over. `why` holds the last two facts."""
        name, value = _in_words(path), self.take(path)
        found = quoted(".".join(map(str, _names(path))), value)
        self._lost.append(Issue(level, f"{name} is {found}; {why}", NOT_IMPORTED, ours or name))

    def hint(self, path: Path, ours: str, how: str = "") -> None:
        """Say under which name of ours a setting was accepted, if it is there."""
        if path == ours or not self.has(path):
            return
        text = f"{_in_words(path)} is accepted; ftlab calls it {ours}{how}. Nothing to do."
        self._hints.append(Issue("tip", text, FOREIGN_NAME, ours))

    def note(self, text: str) -> None:
        """Something else to know, in three facts."""
        self._hints.append(Issue("tip", text, FOREIGN_NAME))

    def set_aside(self, paths: Iterable[Path], why: str) -> None:
        """Settings that are no part of what is trained; one tip names those that are there."""
        found = [path for path in paths if _names(path) not in self._taken and self.has(path)]
        self._taken.update(map(_names, found))
        if found:
            names = ", ".join(map(_in_words, found[:NAMED]))
            more = f" and {len(found) - NAMED:,} more" if len(found) > NAMED else ""
            text = f"Not taken over: {names}{more}; {why}"
            where = _in_words(found[0])
            self._lost.append(Issue("tip", text, NOT_IMPORTED, where, count=len(found)))

    def done(self, values: dict[str, Any]) -> Imported:
        """The values without the MISSING; everything that was there and never taken is lost."""
        opened = {path[:i] for path in self._taken for i in range(1, len(path))}
        left = list(self._left(self._settings, (), opened))
        for path in left[:UNKNOWN]:
            self.lose(path, "ftlab has no such setting. Leave it out.")
        if more := left[UNKNOWN:]:
            where = _in_words(more[0])
            text = (
                f"And {len(more):,} more, from {where} on; ftlab has no such settings. Leave them "
                "out, or give the file of settings if this is another."
            )
            self._lost.append(Issue("warning", text, NOT_IMPORTED, where, count=len(more)))
        given = {name: value for name, value in values.items() if value is not MISSING}
        return Imported(self._plain(given), self._lost, self._hints)

    def _left(
        self, settings: Mapping[str, Any], prefix: tuple[Any, ...], opened: set[tuple[Any, ...]]
    ) -> Iterator[tuple[Any, ...]]:
        """Paths that nobody took; parts are opened only where one of their keys was taken."""
        for name, value in settings.items():
            path = (*prefix, name)
            if path in self._taken or value is None:
                continue
            if path in opened and isinstance(value, Mapping):
                yield from self._left(value, path, opened)
            else:
                yield path

    def _plain(self, values: dict[str, Any]) -> dict[str, Any]:
        """Without what no field takes and no message may quote: settings inside of a value."""
        nested = [name for name, value in values.items() if holds_settings(value)]
        for name in nested:
            source = _in_words(self._sources.get(name, name))
            text = f"{source} is given as settings; it takes {allowed(FIELDS[name])}. Give that."
            self._lost.append(Issue("error", text, NOT_IMPORTED, name))
        return {name: value for name, value in values.items() if name not in nested}


def _names(path: Path) -> tuple[Any, ...]:
    return tuple(path.split(".")) if isinstance(path, str) else path


def _in_words(path: Path) -> str:
    """A path in a message, cut where it is long: a whole file may be one key."""
    text = ".".join(map(str, _names(path)))
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 3] + "…"
