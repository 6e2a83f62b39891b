"""What a job on this machine goes on from: the adapter of an earlier run, or one made elsewhere.

Nothing is loaded. Whether an adapter fits the model, and whether all its values are numbers, the
trainer sees when it loads both.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

from ftlab.adapter_files import CONFIG, WEIGHTS, Adapter, read_adapter
from ftlab.errors import RunError, UnreadableData
from ftlab.files import existing
from ftlab.issues import Issue, shown
from ftlab.models import locate
from ftlab.runs import Run, Runs
from ftlab.spec import FIELDS, JobSpec


class Start(NamedTuple):
    """A spec with what its adapter brings, and what is to be said of it."""

    spec: JobSpec
    issues: list[Issue]
    reasons: dict[str, str]
    """Field → why it has this value, for those that the adapter decides."""


def started(spec: JobSpec) -> Start:
    """The spec with the model and the settings of the adapter that from_checkpoint names.

    A setting of its own that the adapter overrules is a warning; an adapter that can't be used is
    an error, and the spec stays as it is.
    """
    if not spec.from_checkpoint:
        return Start(spec, [], {})
    try:
        place = find_adapter(spec.from_checkpoint)
        adapter = read_adapter(place.folder)
        model = _base(spec.model, adapter, place.model)
    except (UnreadableData, RunError) as exc:
        return Start(spec, [_issue("error", "from_checkpoint", str(exc))], {})
    if spec.lora is False:
        text = (
            f"lora is False; {spec.from_checkpoint} is an adapter, and goes on as one. "
            "Set lora to True."
        )
        return Start(spec, [_issue("error", "lora", text, {"lora": True})], {})
    theirs = adapter.settings
    if place.revision and model == place.model:
        theirs["hf_model_revision"] = place.revision
    overruled = [n for n in theirs if n in spec.model_fields_set and _differs(spec, n, theirs[n])]
    own = {"model": model, "from_checkpoint": str(adapter.folder), **theirs}
    why = f"of the adapter in {adapter.folder}, which goes on"
    issues = [
        _issue("warning", name, _overruled(spec, name, theirs[name]), {name: None})
        for name in overruled
    ]
    return Start(spec.changed(**own), issues, dict.fromkeys(("model", *theirs), why))


def _differs(spec: JobSpec, name: str, theirs: Any) -> bool:
    ours = getattr(spec, name)
    if name == "lora_trainable_modules" and not isinstance(ours, str):
        ours = tuple(sorted(ours))
    return ours not in (theirs, FIELDS[name].default)


def _overruled(spec: JobSpec, name: str, theirs: Any) -> str:
    found = f"{name} is {shown(getattr(spec, name))}; the adapter that goes on has {shown(theirs)}"
    return f"{found} and keeps it. Leave {name} out."


def _issue(level: Any, where: str, message: str, fix: Any = None) -> Issue:
    blocks = ("local",) if level == "error" else ()
    return Issue(level, message, "goes_on", where, blocks=blocks, fix=fix)


def going_on(run: Run, method: str) -> dict[str, Any]:
    """Values of a job that starts from what a run has tuned: its adapter, or its whole model."""
    spec = run.job.spec
    if run.is_whole_model:
        return {"model": str(run.adapter), "lora": False, "training_method": method}
    return {"model": spec.model, "from_checkpoint": str(run.path), "training_method": method}


# --- where it is -----------------------------------------------------------------------------


class Place(NamedTuple):
    """Where an adapter is."""

    folder: Path
    model: str | None
    """What its run calls its model; None when no run is known."""
    revision: str | None = None
    """At which commit, branch or tag."""


def find_adapter(name: str) -> Place:
    """An adapter by a run's id, ID:STEP, the folder of a run with or without :STEP, or its own.

    Raises UnreadableData when there is none, RunError when there is no such run.
    """
    folder = existing(name)
    if folder is not None and (folder / CONFIG).is_file():
        return Place(folder.absolute(), None)
    if folder is not None and not (folder / "job.json").is_file():
        raise UnreadableData(_no_adapter(folder))
    run, step = _named_run(name)
    spec = run.job.spec
    return Place(_saved(run, step), spec.model, run.commit or spec.hf_model_revision)


def is_here(name: str) -> bool:
    """Whether from_checkpoint means a place on this machine or a run of it, good or bad."""
    if existing(name) is not None or name.startswith((".", "/", "~")):
        return True
    try:
        _named_run(name)
    except RunError:
        return False
    return True


def _named_run(name: str) -> tuple[Run, int | None]:
    """A run and the step that is named with it. Raises RunError when there is no such run."""
    run_name, _, step = name.rpartition(":") if existing(name) is None else (name, "", "")
    if not step.isdigit():
        run_name, step = name, ""
    run = Run(run_name) if existing(run_name) is not None else Runs()[run_name]
    return run, int(step) if step else None


def _saved(run: Run, step: int | None) -> Path:
    """What a run saved after that step, or at its end."""
    if run.is_whole_model:
        raise UnreadableData(
            f"Run {run.id} has made a whole model; from_checkpoint takes an adapter. "
            f"Set model to {run.adapter} and leave from_checkpoint out."
        )
    steps = {checkpoint.step: checkpoint.ref for checkpoint in run.history.checkpoints}
    if step is not None and step not in steps:
        saved = f"saved after step {', '.join(map(str, steps))}" if steps else "has saved none"
        raise UnreadableData(
            f"Run {run.id} has no checkpoint of step {step}; it {saved}. Name one of those, or "
            "the run alone for what it ended with."
        )
    place = run.adapter if step is None else run.path / steps[step]
    found = next((f for f in (place, place / "adapter") if (f / CONFIG).is_file()), None)
    if found is None:
        raise UnreadableData(
            f"Run {run.id} is {run.status} and has no adapter in {place}; a job goes on from one "
            "that was saved. Wait for its end, or name another run."
        )
    return found.absolute()


def _no_adapter(folder: Path) -> str:
    if (folder / "config.json").is_file():
        return (
            f"{folder} is a whole model; from_checkpoint takes an adapter, or a run that trained "
            "one. Give the folder as model, and leave from_checkpoint out."
        )
    return (
        f"{folder} has no {CONFIG}; an adapter is a folder with that file and {WEIGHTS}. "
        "Name such a folder, or a run."
    )


# --- what it belongs to ----------------------------------------------------------------------


def _base(model: str | None, adapter: Adapter, of_run: str | None) -> str:
    """The model to put it on: the one that was given, which must be the adapter's own."""
    base = of_run or adapter.base
    if base is not None and locate(base) is None:
        base = _as_id(base) or base
    if model is None and (base is None or not (locate(base) or _as_id(base))):
        found = f"its base model is {shown(base)}" if base else "it names no base model"
        raise UnreadableData(
            f"{adapter.folder}: {found}, which is not on this machine; an adapter goes on with "
            "the model that it was trained on. Give that as model."
        )
    if model is not None and base is not None and not _is_same(base, model):
        raise UnreadableData(
            f"The adapter in {adapter.folder} was trained on {shown(base)} and model is "
            f"{shown(model)}; an adapter fits its own model alone. Leave model out, or name that."
        )
    return model or base or ""


def _is_same(base: str, model: str) -> bool:
    """By their names on the hub, by place, or where the adapter comes from another machine, by the
    names of their folders."""
    ids = (_as_id(base), _as_id(model))
    if base == model or all(ids):
        return ids[0] == ids[1]
    here, there = locate(model), locate(base)
    if here is not None and there is not None:
        return here.resolve() == there.resolve()
    return Path(base).name == Path(model).name


def _as_id(name: str) -> str | None:
    """A model's name on the hub: as it is, or as a folder of the hub's cache tells it."""
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        return name
    found = re.search(r"/models--([^/]+?)--([^/]+)/snapshots/", name)
    return f"{found[1]}/{found[2]}" if found else None
