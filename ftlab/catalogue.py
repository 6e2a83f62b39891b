"""The catalogue: what is known of open models without asking anybody, each figure dated.

It is `models.json` beside this file, or the file that FTLAB_MODELS names. A figure that nobody
could read from a source is left out there and unknown here.

To refresh it from the hub, with a network:

    python -m ftlab.catalogue                    # all models, into the file that is in use
    python -m ftlab.catalogue Qwen/Qwen3-8B      # some, or new ones
    python -m ftlab.catalogue --into models.json

Only what the hub says changes (shape, parameters, licence), with its new date. What the service
accepts changes with the service's own reply (`Limits.from_reply`), which comes before the
catalogue wherever it is at hand.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from ftlab.errors import UnreadableData
from ftlab.limits import Limits
from ftlab.model_files import SHAPE, ModelInfo
from ftlab.model_hub import look_up

FIGURES = frozenset(field.name for field in fields(ModelInfo)) - {"sources", "hosted"}
OF_THE_HUB = (*SHAPE, "lora_params_per_rank", "n_params", "license")

Entry = dict[str, Any]


def path() -> Path:
    """The catalogue's file."""
    return Path(os.environ.get("FTLAB_MODELS") or Path(__file__).with_name("models.json"))


def models() -> tuple[ModelInfo, ...]:
    """Every model of the catalogue, in its order. Raises UnreadableData for a damaged file."""
    return tuple(_by_name(*_stamp())[0])


def find(model: str) -> ModelInfo | None:
    """A model by its id on the hub, an earlier id, or the name that the service gives it."""
    return _by_name(*_stamp())[1].get(model.lower())


def known(model: str) -> ModelInfo | None:
    """The same; nothing is known by a damaged file, which is told where models are chosen and must
    not stop what is typed."""
    try:
        return find(model)
    except UnreadableData:
        return None


def _stamp() -> tuple[Path, int]:
    file = path()
    return file, file.stat().st_mtime_ns if file.exists() else 0


@lru_cache(maxsize=2)  # the form asks with every key that is pressed
def _by_name(file: Path, stamp: int) -> tuple[list[ModelInfo], dict[str, ModelInfo]]:
    """All models, and each by its names in lower case."""
    content = _read(file)
    try:
        known = [_info(entry, content["sources"]) for entry in content["models"]]
    except (KeyError, TypeError, AttributeError) as exc:
        raise _damaged(file, exc) from exc
    names: dict[str, ModelInfo] = {}
    for info, entry in zip(known, content["models"], strict=True):
        for name in (info.name, *entry.get("also", ()), info.hosted_name):
            if name:
                names.setdefault(name.lower(), info)
    return known, names


def _read(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise _damaged(file, exc) from exc


def _damaged(file: Path, error: Exception) -> UnreadableData:
    return UnreadableData(
        f"The catalogue {file} can't be read ({type(error).__name__}: {error}); it is a JSON file "
        'with "sources" and "models". Correct it, or unset FTLAB_MODELS.'
    )


def _info(entry: Entry, sources: Mapping[str, Mapping[str, str]]) -> ModelInfo:
    known: Entry = {name: value for name, value in entry.items() if name in FIGURES}
    return ModelInfo(
        **known,
        hosted=_limits(entry["hosted"], sources) if "hosted" in entry else None,
        sources={
            figure: f"{sources[key]['text']}, {sources[key]['as_of']}"
            for figure, key in entry["sources"].items()
        },
    )


def _limits(hosted: Entry, sources: Mapping[str, Mapping[str, str]]) -> Limits:
    source = sources[hosted["source"]]
    known = {name: value for name, value in hosted.items() if name != "source"}
    return Limits(**known, engine="together", source=source["text"], as_of=source["as_of"])


# --- refreshing ------------------------------------------------------------------------------


def refresh(
    names: Iterable[str] = (),
    *,
    into: Path | None = None,
    ask: Callable[[str], ModelInfo] = look_up,
) -> list[str]:
    """Ask the hub about these models (all of the catalogue without names) and write the answers.

    Returns a line per figure that changed and per model that could not be asked. Models that the
    catalogue lacks are added.
    """
    content = _read(path())
    entries: dict[str, Entry] = {entry["name"]: entry for entry in content["models"]}
    told: list[str] = []
    for name in list(names) or list(entries):
        try:
            found = ask(name)
        except UnreadableData as exc:
            told.append(f"{name}: {exc}")
            continue
        told += _put(entries.setdefault(name, {"name": name, "sources": {}}), found, content)
    content["models"] = list(entries.values())
    (into or path()).write_text(as_text(content), encoding="utf-8")
    return told


def _put(entry: Entry, found: ModelInfo, content: dict[str, Any]) -> list[str]:
    """Take over what the hub said; what it did not say stays as it was."""
    told = []
    for name in OF_THE_HUB:
        value = getattr(found, name)
        if value in (None, {}):
            continue
        if entry.get(name) != value:
            told.append(f"{found.name}: {name} {entry.get(name)} → {value}")
        entry[name] = dict(value) if isinstance(value, Mapping) else value
    for figure, source in found.sources.items():
        text, _, as_of = source.rpartition(", ")
        content["sources"].setdefault(source, {"text": text, "as_of": as_of})
        entry["sources"][figure] = source
    return told


def as_text(content: Mapping[str, Any]) -> str:
    """JSON with a line per source and a line per part of a model, so that changes are readable."""

    def line(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False)

    def block(entry: Mapping[str, Any]) -> str:
        whole = {name: value for name, value in entry.items() if not isinstance(value, dict)}
        parts = {name: value for name, value in entry.items() if isinstance(value, dict)}
        first = line(whole)[1:-1]
        rest = [f'"{name}": {line(value)}' for name, value in parts.items()]
        return "    {" + ",\n     ".join([first, *rest]) + "}"

    sources = ",\n".join(f"    {line(key)}: {line(v)}" for key, v in content["sources"].items())
    blocks = ",\n".join(block(entry) for entry in content["models"])
    about = line(content.get("about", ""))
    return (
        f'{{\n  "about": {about},\n  "sources": {{\n{sources}\n  }},\n'
        f'  "models": [\n{blocks}\n  ]\n}}\n'
    )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m ftlab.catalogue", description=refresh.__doc__)
    parser.add_argument("names", nargs="*", help="ids on the hub; all of the catalogue without")
    parser.add_argument("--into", type=Path, help="write another file than the one in use")
    given = parser.parse_args(arguments)
    for line in refresh(given.names, into=given.into):
        print(line)


if __name__ == "__main__":
    main()
