"""`python -m ftlab.train.export`: what a run has tuned, written for other programs to load, and
what the model as trained says, for the proof.

The request comes as JSON on the standard input. Lines of JSON go out: {"progress": share, "what":
text}, and at the end {"made": figures} or {"failed": text}.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftlab.devices import leases
from ftlab.digests import weight_digests
from ftlab.errands import answering
from ftlab.errors import RunError
from ftlab.manifest import as_os_error
from ftlab.processes import loading
from ftlab.spec import JobSpec

if TYPE_CHECKING:
    import torch

HOLDER = "an export"
Message = dict[str, Any]


def main() -> int:
    return answering(_export)


def _export(request: Message, say: Any) -> Iterator[Message]:
    def waiting(device: str, holder: str) -> None:
        say({"progress": 0.0, "what": f"waiting for {device}, used by {holder}"})

    with leases(filter(None, (request["device"], request["bits_on"])), HOLDER, waiting):
        yield {"progress": 0.02, "what": "loading the model"}
        with loading():
            import peft  # noqa: F401
            from transformers import AutoModelForCausalLM  # noqa: F401
        try:
            with as_os_error():
                yield from written(request)
        except OSError as exc:
            from ftlab.train.saving import NO_ROOM

            if exc.errno not in NO_ROOM:
                raise
            raise RunError(
                f"The disk of {Path(request['staged']).parent} is full; all of the export must fit "
                "on it. Make room, or name a place on a larger disk: nothing was left half done."
            ) from exc


def written(request: Message) -> Iterator[Message]:
    """Write what is asked for; the last message holds the figures."""
    yield from _Work(request).done()


class _Work:
    """One export."""

    def __init__(self, request: Message) -> None:
        import torch

        self.spec = JobSpec.model_validate(request["spec"])
        self.kind, self.device = request["kind"], request["device"]
        self.tuned, self.base = Path(request["tuned"]), Path(request["base"])
        self.staged, self.reference = Path(request["staged"]), Path(request["reference"])
        self.record, self.prompts = Path(request["recorded"]), request["prompts"]
        self.names, self.is_exact = request["names"], request["is_exact"]
        self.bits_on = request["bits_on"]
        dtype = request["dtype"]
        self.dtype: torch.dtype | None = getattr(torch, dtype) if dtype else None
        """None as it was saved."""
        self.trains_all = self.spec.lora is False

    def done(self) -> Iterator[Message]:
        if not self.is_exact:
            yield from self._written_alone()
            return
        import torch
        from safetensors.torch import save_file

        from ftlab.train import witness

        record = witness.read_record(self.record)
        prompts = record.prompts if record else self.prompts
        again = self._again(record)
        model = self._model(torch.float32, record)
        figures: Message = {} if record is None else self._saved(model, record, again)
        yield {"progress": 0.3, "what": "asking the model as it was trained"}
        rows, starts = witness.continued(model, prompts), [len(prompt) for prompt in prompts]
        logits = witness.said(model, rows, starts)
        yield {"progress": 0.5, "what": "writing"}
        model, merging = self._write(model, rows, starts, logits)
        figures |= merging
        rounded = witness.said(model, rows, starts)
        scale = max(value.abs().max().item() for value in logits)
        figures |= {"rounding": witness.largest_difference(rounded, logits), "scale": scale}
        save_file(witness.as_file(rows, starts, logits=logits, rounded=rounded), self.reference)
        yield {"made": {**figures, "prompts": prompts, "weights": weight_digests(model)}}

    def _model(self, dtype: torch.dtype, record: Any) -> Any:
        """What was tuned; of a base in few bits what those stand for."""
        from ftlab.base import best_dtype
        from ftlab.train.witness import Bits, tuned_in_bits, tuned_model

        what = self.spec, self.tuned, self.base, dtype, self.device
        if not self.is_quantised:
            return tuned_model(*what)
        trained = record.dtype if record else best_dtype(self.bits_on)
        return tuned_in_bits(*what, Bits(trained, self.bits_on))

    def _again(self, record: Any) -> Any:
        """What was saved says now, computed in the format in which it trained; None where that is
        float32, in which it is loaded anyway."""
        import torch

        if record is None or (record.dtype == torch.float32 and not self.is_quantised):
            return None
        from ftlab.train.witness import recorded_again, tuned_model

        held = torch.float32 if self.trains_all else record.dtype
        device = self.bits_on or self.device
        what = self.spec, self.tuned, self.base, held, device
        found = recorded_again(tuned_model(*what), record, trains_all=self.trains_all)
        gc.collect()  # layers know themselves, and the next model needs the room
        return found

    @property
    def is_quantised(self) -> bool:
        return self.spec.quantization != "none"

    def _saved(self, model: Any, record: Any, again: Any) -> Message:
        """How far what was saved is from what was trained, and how far the format in which it
        trained is from float32."""
        from ftlab.train.witness import largest_difference, recorded_again

        exact = recorded_again(model, record._replace(dtype=_float32()), trains_all=False)
        again = exact if again is None else again
        return {
            "saved": largest_difference([again], [record.logits]),
            "saved_noise": largest_difference([again], [exact]),
        }

    def _write(self, model: Any, rows: Any, starts: Any, logits: Any) -> tuple[Any, Message]:
        """Write it, and give back the model that the file stands for, held in float32."""
        from ftlab.train import merging
        from ftlab.train.witness import largest_difference, said

        if self.kind == "adapter":
            merging.write_adapter(self.tuned, self.staged, self.base, self.dtype, self.names)
            if self.dtype is not None:
                merging.round_to(model, self.dtype, "lora_")
                merging.round_to(model, _float32(), "lora_")
            return model, {}
        figures: Message = {}
        if not self.trains_all:
            model = merging.merged(model)
            figures = {"merging": largest_difference(said(model, rows, starts), logits)}
        merging.round_to(model, self.dtype or _float32())
        merging.write_model(model, self.staged, self.base)
        merging.round_to(model, _float32())
        return model, figures

    def _written_alone(self) -> Iterator[Message]:
        """Where no float32 fits: without a reference, in the format that is asked for."""
        from ftlab.train import merging
        from ftlab.train.witness import read_record

        yield {"progress": 0.3, "what": "writing"}
        if self.kind == "adapter":
            merging.write_adapter(self.tuned, self.staged, self.base, self.dtype, self.names)
        else:
            model = self._model(self.dtype or _float32(), read_record(self.record))
            model = model if self.trains_all else merging.merged(model)
            merging.write_model(model, self.staged, self.base)
        yield {"made": {}}


def _float32() -> torch.dtype:
    import torch

    return torch.float32


if __name__ == "__main__":
    sys.exit(main())
