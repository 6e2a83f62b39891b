"""export(): what a run has tuned, written for others, loaded afresh and held against the model as
it was trained, and sent where it is wanted."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ftlab.errands import Errand, Told
from ftlab.errors import RunError
from ftlab.exports import converting
from ftlab.exports.asked import AUTO, HUB, Asked, asked_for
from ftlab.exports.card import write_card
from ftlab.exports.kept import Exported, keep
from ftlab.exports.proof import PROOF, Proof
from ftlab.exports.requests import CONFIG, MERGED, about, proof_of, proving_request, writing_request
from ftlab.exports.system import system_prompt
from ftlab.manifest import written_whole
from ftlab.processes import held
from ftlab.run import Run

OFFLINE = {"HF_HUB_OFFLINE": "1"}
CONVERSION = "ftlab.exports.conversion"
SHARES = {
    "asking": (0.0, 0.02),
    "writing": (0.02, 0.55),
    "converting": (0.55, 0.6),
    "proving": (0.6, 0.95),
    "sending": (0.95, 1.0),
}


class Export:
    """One export, for a thread beside the one that shows it."""

    def __init__(
        self,
        run: Run,
        kind: str = "adapter",
        *,
        path: str | Path | None = None,
        dtype: str = AUTO,
        step: int | None = None,
        repo: str | None = None,
        private: bool = True,
        replace: bool = False,
        converter: str | Path | None = None,
        told: Told = lambda _share, _what: None,
    ) -> None:
        self._ask: Callable[[], Asked] = lambda: asked_for(
            run, kind, dtype, step, path, replace=replace
        )
        self._kind, self._repo, self._private, self._converter = kind, repo, private, converter
        self._told, self._part = told, "writing"
        self._errand = Errand(self._tell)

    def cancel(self) -> None:
        """End it, and leave nothing; `make` then returns None."""
        self._errand.cancel()

    def make(self) -> Exported | None:
        """Block until it is done; None when it was cancelled. Raises RunError where it can't be
        done, and where what was written is not the model that was trained: that is not kept."""
        self._told(0.0, "looking at what there is")
        asked = self._checked()
        try:
            asked.run.exports.mkdir(exist_ok=True)
            with held(asked.run.exports / "lock") as is_alone:
                if not is_alone:
                    raise RunError(
                        f"Run {asked.run.id} is being exported by another process; one at a time "
                        "does that. Wait until it has ended, or cancel it."
                    )
                return self._alone(asked)
        except OSError as exc:
            raise RunError(
                f"{asked.target} could not be written ({exc}); an export takes a folder that you "
                "may write to, on a disk with room for all of it. Name another place, or make "
                "room: nothing was left half done."
            ) from exc

    def _alone(self, asked: Asked) -> Exported | None:
        script = converting.converter(self._converter) if asked.kind == "gguf" else None
        asked.target.parent.mkdir(parents=True, exist_ok=True)
        try:
            exported = self._made(asked, script)
        except _Cancelled:
            return None
        except _NotTheModel as exc:
            keep(asked.run, Exported(place=None, proof=exc.proof))
            raise RunError(
                f"{exc.proof.headline} It was not kept, and {asked.target} is as it was. "
                f"{_what_now(asked, exc.proof)}"
            ) from None
        if self._repo:
            exported = self._sent(asked, exported)
        keep(asked.run, exported)
        return exported

    def _checked(self) -> Asked:
        asked = self._ask()
        if self._kind == HUB and not self._repo:
            raise RunError(
                "No name on the hub is given; a repository is called owner/name. Give repo (--repo "
                "owner/name)."
            )
        if self._repo and asked.kind == "adapter" and not asked.is_on_hub:
            raise RunError(
                f"The adapter's base is {asked.model}, a model of this machine alone; on the hub "
                "nobody could load the adapter. Send it merged."
            )
        return asked

    def _made(self, asked: Asked, script: Path | None) -> Exported:
        with (
            written_whole(asked.target) as staged,
            tempfile.TemporaryDirectory(prefix="ftlab-", ignore_cleanup_errors=True) as beside,
        ):
            reference = Path(beside) / "reference.safetensors"
            if script is not None:
                self._check_known(asked, script, Path(beside))
            made = self._written(asked, staged, reference)
            if script is not None:
                self._converted(asked, script, staged, Path(beside))
            proof = self._proved(asked, staged, reference, made)
            if proof.passed is False:
                raise _NotTheModel(proof)
            write_card(asked, proof, staged, self._repo or "")
            (staged / PROOF).write_text(proof.model_dump_json(indent=1), encoding="utf-8")
        return Exported(place=asked.target, proof=proof, system=system_prompt(asked.run))

    # --- its parts ---------------------------------------------------------------------------

    def _written(self, asked: Asked, staged: Path, reference: Path) -> dict[str, Any]:
        """Write it, and the reference where there can be one; figures."""
        folder = staged
        if asked.kind == "gguf":
            folder = staged / MERGED
            folder.mkdir()
        request = writing_request(asked, folder, reference)
        return self._done("writing", "ftlab.train.export", request)

    def _check_known(self, asked: Asked, script: Path, beside: Path) -> None:
        """Whether the converter takes such a model, before anything is written."""
        folder, file = asked.base or asked.tuned, beside / "vocabulary.gguf"
        request = converting.asking_request(script, folder, file)
        self._done("asking", CONVERSION, request)

    def _converted(self, asked: Asked, script: Path, staged: Path, beside: Path) -> None:
        """The merged model in the folder as one file in its place, and its settings for the
        proof."""
        name, merged = Path(asked.model).name, staged / MERGED
        file = staged / f"{name}-{asked.dtype}.gguf"
        request = converting.converting_request(script, merged, file, asked.dtype, f"{name} tuned")
        self._done("converting", CONVERSION, request)
        shutil.copyfile(merged / CONFIG, beside / CONFIG)
        shutil.rmtree(merged)

    def _proved(self, asked: Asked, staged: Path, reference: Path, made: dict[str, Any]) -> Proof:
        if asked.unproved:
            return Proof(passed=None, problems=(asked.unproved,), **about(asked, staged))
        request = {
            "exports": [proving_request(asked, staged, reference, made)],
            "device": asked.device,
        }
        (found,) = self._done("proving", "ftlab.infer.prove", request)
        if asked.kind == "gguf" and "unloadable" in found:
            why = f"transformers can't read GGUF files of this model ({found['unloadable']})."
            return Proof(passed=None, problems=(why,), **about(asked, staged))
        return proof_of(asked, staged, made, found)

    def _sent(self, asked: Asked, exported: Exported) -> Exported:
        if exported.proof.passed is None:
            note = "It was not sent to the hub, because it is not proved."
            return exported.model_copy(update={"notes": (note,)})
        what = {"repo": self._repo, "private": self._private, "folder": str(exported.place)}
        what["message"] = f"{asked.kind} in {asked.dtype}, of an ftlab run"
        try:
            address = self._done("sending", "ftlab.exports.pushing", what, {})
        except (RunError, _Cancelled) as exc:
            keep(asked.run, exported)  # the export itself is whole
            raise RunError(str(exc) or "Sending was cancelled; the export stays here.") from exc
        return exported.model_copy(update={"repo": address})

    def _done(
        self, part: str, module: str, request: dict[str, Any], variables: Any = OFFLINE
    ) -> Any:
        """What a process of its own made. Raises _Cancelled."""
        self._part = part
        found = self._errand.run(module, request, _why_it_ended, **variables)
        if found is None:
            raise _Cancelled
        return found

    def _tell(self, share: float, what: str) -> None:
        low, high = SHARES[self._part]
        self._told(low + share * (high - low), what)


class _Cancelled(Exception):
    """Somebody has ended the export."""


class _NotTheModel(Exception):
    """What was written says something else than the model as it was trained."""

    def __init__(self, proof: Proof) -> None:
        super().__init__(proof.headline)
        self.proof = proof


def _what_now(asked: Asked, proof: Proof) -> str:
    """What to do where an export is not the model that was trained."""
    if proof.is_saved_as_trained:
        return f"Export it as another kind, or in fp32; the figures are in {asked.run.exports}."
    steps = ", ".join(f"{step:,}" for step in asked.run.steps_on_disk if step != asked.step)
    other = f"export a checkpoint instead (step {steps}), " if steps else ""
    return (
        f"As a rule {asked.tuned} or the base was changed after it was saved: put back what was "
        f"there, {other}or train again."
    )


def _why_it_ended(status: int, last_words: str) -> str:
    """What to say of a process that gave no result; a status below 0 is a signal."""
    if status == -signal.SIGKILL:
        return (
            "The process that makes the export was killed, as the system does when the memory "
            "does not suffice; it holds the whole model. Free memory, or export on a larger "
            "machine. Nothing was left half done."
        )
    return (
        f"The process that makes the export ended with status {status} and without a result; "
        f"nothing was left half done. Its last words: {last_words}"
    )
