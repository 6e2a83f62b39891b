"""Exports that were made of a run, each with its proof, as the run's folder keeps them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from ftlab.errors import RunError
from ftlab.exports.proof import Proof, read_proof
from ftlab.files import replace_file
from ftlab.html import escaped, facts
from ftlab.issues import SHAPES
from ftlab.manifest import looks_whole
from ftlab.run import Run


class Exported(BaseModel):
    """One export: where it is, and what its proof says."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    place: Path | None
    """Its folder; None where it was not kept, because it is not the model that was trained."""
    proof: Proof
    repo: str = ""
    """Where it is on the hub; empty where it was not sent there."""
    system: str = ""
    """The system prompt of all rows that it was trained on; never in the export itself."""
    notes: tuple[str, ...] = ()
    """What a person should know, besides."""

    @property
    def is_here(self) -> bool:
        """Whether its folder is there still, with this proof and the files that it is about."""
        return self.place is not None and not self.missing

    @property
    def missing(self) -> str:
        """Why what was proved is not in its place any more; empty where it is."""
        if self.place is None or not self.place.is_dir():
            return "no longer there"
        proof = read_proof(self.place)
        is_as_it_was = proof == self.proof and looks_whole(self.place)
        return "" if is_as_it_was else "holds something else by now"

    def snippet(self, name: str) -> str:
        """How to use it: a program for "transformers", commands for "vllm" or "together". Raises
        RunError where that can't be."""
        from ftlab.exports.snippets import snippet

        return snippet(self, name)

    def __repr__(self) -> str:
        where = (self.missing or self.place) if self.place else "not kept"
        return f"<Exported {self.proof.kind} {self.proof.dtype}: {where}. {self.proof.headline}>"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return exported_html(self)


def keep(run: Run, exported: Exported) -> None:
    """Write it down in the run's folder."""
    run.exports.mkdir(exist_ok=True)
    stamp = exported.proof.at.strftime("%Y%m%d-%H%M%S-%f")
    text = exported.model_dump_json(indent=1)
    replace_file(run.exports / f"{stamp}.json", text.encode())


def exports_of(run: Run) -> list[Exported]:
    """The exports of a run, the newest first; a record that can't be read is passed over."""
    found = list[Exported]()
    for file in sorted(run.exports.glob("*.json"), reverse=True):
        try:
            found.append(Exported.model_validate_json(file.read_bytes()))
        except (OSError, ValidationError):
            continue
    return found


LEVELS: dict[Any, tuple[str, str]] = {
    True: ("ft-good", "✓"),
    False: ("ft-error", SHAPES["error"]),
    None: ("ft-warning", SHAPES["warning"]),
}
"""How a proof looks: its class and its shape, by whether it passed."""


def exported_html(exported: Exported) -> str:
    """The outcome, then each figure."""
    proof = exported.proof
    is_gone = proof.passed and exported.place is not None and not exported.is_here
    look, shape = LEVELS[None if is_gone else proof.passed]
    at = "" if proof.step is None else f" of step {proof.step:,}"
    what = f"{proof.kind}{at}, {proof.dtype}, {proof.at.astimezone():%Y-%m-%d %H:%M}"
    head = f'<b class="{look}">{shape}</b> <b>{escaped(what)}</b> · {escaped(proof.headline)}'
    lines = dict(proof.lines)
    if exported.place is not None:
        gone = exported.missing and f" ({exported.missing})"
        lines = {"in": f"{exported.place}{gone}", **lines}
    if exported.repo:
        lines = {"on the hub": exported.repo, **lines}
    more = "".join(f"<div>{escaped(text)}</div>" for text in (*proof.problems[1:], *exported.notes))
    used = _use_html(exported) if exported.is_here else ""
    return f"<details><summary>{head}</summary>{more}{facts(lines)}{used}</details>"


def _use_html(exported: Exported) -> str:
    """How it is used, each closed until it is wanted."""
    from ftlab.exports.snippets import SNIPPETS

    found = ""
    for name in SNIPPETS:
        try:
            text = f"<pre>{escaped(exported.snippet(name))}</pre>"
        except (RunError, OSError, ValueError) as exc:  # not to be served there, or changed since
            text = f"<div>{escaped(exc)}</div>"
        found += f"<details><summary>use it with {escaped(name)}</summary>{text}</details>"
    return found
