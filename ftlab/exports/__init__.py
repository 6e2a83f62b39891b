"""What is taken away from a run: its adapter, the merged model, a GGUF file, a page of the hub;
each proved to say what the model said as it was trained."""

from __future__ import annotations

from pathlib import Path

from ftlab.errands import Told
from ftlab.exports.asked import AUTO
from ftlab.exports.kept import Exported, exports_of
from ftlab.exports.making import Export
from ftlab.exports.proof import Proof, read_proof
from ftlab.run import Run

__all__ = ["Export", "Exported", "Proof", "export", "exports_of", "read_proof"]


def export(
    run: Run,
    path: str | Path | None = None,
    kind: str = "adapter",
    *,
    dtype: str = AUTO,
    step: int | None = None,
    repo: str | None = None,
    private: bool = True,
    replace: bool = False,
    converter: str | Path | None = None,
    told: Told = lambda _share, _what: None,
) -> Exported:
    """Write what a run has tuned into a new folder, and prove it.

    `kind` is "adapter", "merged", "gguf" or "hub"; `dtype` "fp32", "bf16", "fp16", or "auto": that
    of the adapter, or of the base where it is merged. Without `path` it goes into the run's folder.
    `step` takes a checkpoint in place of what the run ended with. With `repo` (owner/name) it goes
    to the hub too, once it is proved, `private` unless you say otherwise. Raises RunError.
    """
    made = Export(
        run,
        kind,
        path=path,
        dtype=dtype,
        step=step,
        repo=repo,
        private=private,
        replace=replace,
        converter=converter,
        told=told,
    ).make()
    assert made is not None, "nobody cancelled it"
    return made
