"""`python -m ftlab.train.follower`: a process of a run besides its own, which does as it is told.

RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT say which one it is and where the others are, as with
torchrun. It ends when its standard input does.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftlab.devices import side_by_side
from ftlab.errors import FtlabError
from ftlab.job import Job
from ftlab.processes import loading
from ftlab.spec import filled
from ftlab.train.batches import Pair
from ftlab.train.launched import meeting
from ftlab.train.others import FOLLOWED, WORDS

if TYPE_CHECKING:
    from ftlab.train.parallel import Order, Room
    from ftlab.train.trainer import Trainer


def main() -> int:
    threading.Thread(target=_end_with_the_run, daemon=True).start()
    return follow()


def _end_with_the_run() -> None:
    """Also in the middle of a step, and while it waits for a GPU that waits for another one."""
    os.read(0, 1)
    os._exit(0)


def follow() -> int:
    """Do what the run's own process says, until it says nothing more; the exit status."""
    for number in (signal.SIGTERM, signal.SIGINT):  # they ask the run to pause: not this process
        signal.signal(number, signal.SIG_IGN)
    with loading():
        import peft  # noqa: F401
        from transformers import AutoModelForCausalLM  # noqa: F401

        from ftlab.train.joining import NotNeeded
        from ftlab.train.loop import train  # noqa: F401
        from ftlab.train.parallel import Gone
    store, rank, size = meeting()
    try:
        return _follow(store, rank, size)
    except NotNeeded:
        return 0
    except Gone as exc:
        traceback.print_exc()
        status, words = FOLLOWED, str(exc)
    except FtlabError as exc:
        status, words = 1, str(exc)
    except Exception as exc:
        from ftlab.train.__main__ import in_words

        traceback.print_exc()
        status, words = 1, in_words(exc)
    with contextlib.suppress(RuntimeError):  # nobody is there to read them
        store.set(WORDS.format(rank), words)
    return status


def _follow(store: Any, rank: int, size: int) -> int:
    import torch
    from torch.distributed import destroy_process_group

    from ftlab.train.joining import joined

    room = joined(store, rank, size)
    with room.noticing():
        trainer = _made(room)
        seed = filled(trainer.spec.random_seed, "random_seed")
        torch.manual_seed(seed + rank)  # of its own dropout
        while (order := room.next_order()).what != "end":
            _carry_out(order, trainer)
    destroy_process_group()
    return 0


def _made(room: Room) -> Trainer:
    """The same as that of the first process, on a device of its own."""
    from ftlab.train.loop import made

    told = json.loads(room.next_order().text)
    job = Job.model_validate(told["job"])
    device = side_by_side(told["device"], room.size)[room.rank]
    return made(job, device, told["pad_id"], room)


def _carry_out(order: Order, trainer: Trainer) -> None:
    from ftlab.train.evaluating import scored
    from ftlab.train.samples import answered
    from ftlab.train.sent import as_numbers
    from ftlab.train.sharded import whole_weights
    from ftlab.train.states import generators, load_state, whole_states
    from ftlab.train.steps import Step

    match order.what:
        case "step":
            step = Step(order.divisor, order.learning_rate, order.n_rows)
            trainer.take(order.share, step, order.place)
        case "refer":
            rows = order.share
            trainer.look(rows)
            trainer.room.reply([row.reference for row in rows if isinstance(row, Pair)])
        case "score":
            trainer.model.eval()
            found = scored(trainer, order.share, order.divisor)
            trainer.model.train()
            trainer.room.reply(as_numbers(found))
        case "answer":
            answered(trainer, **json.loads(order.text))
        case "weights":
            whole_weights(trainer.model)
        case "optimizer":
            whole_states(trainer.optimizer)
        case "generators":
            trainer.room.reply(generators(trainer))
        case "load":
            load_state(Path(order.text), trainer)
            trainer.piece_tokens = order.piece_tokens


if __name__ == "__main__":
    sys.exit(main())
