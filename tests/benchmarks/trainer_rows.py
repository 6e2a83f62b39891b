"""The models, rows and first adapters of `trainer.py`, all from seeds.

Chats of one to four rounds of random letters, half of them answers; lengths are lognormal, so that
of a padded batch of eight a little more than half is padding.
"""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

from ftlab.data.chat import IGNORED
from ftlab.job import Job
from ftlab.providers import prepare
from tests.small import save_model, write_rows

LONGEST = 1024  # tokens
MEDIAN, SPREAD = 330, 0.7  # tokens of a row, and of their logarithms
LETTERS = "abcdefghijklmnopqrstuvwxyz    "  # a token a character, nearly
AROUND = 7  # tokens of the template for a message


def make(folder: Path, shape: dict[str, Any], values: dict[str, Any], dtype: str) -> None:
    """Write all that the contenders read: model/, job.json, adapter/, and rows.jsonl with the rows
    as tokens, in the order of the steps."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    save_model(folder / "model", **shape, max_position_embeddings=2 * LONGEST)
    draw = random.Random(1)
    kind = pair if values.get("training_method") == "dpo" else chat
    n_rows = values["batch_size"] * values["max_steps"]
    if values.get("packing"):
        n_rows *= 4  # more than fit in the packed steps
    rows = write_rows(folder / "train.jsonl", [kind(draw) for _ in range(n_rows)])
    files = {"model": str(folder / "model"), "training_file": str(rows)}
    job = prepare({**files, **values, "max_seq_length": LONGEST}, device="cpu", dtype=dtype).job
    (folder / "job.json").write_text(job.model_dump_json())
    _write_start(folder, job)


def _write_start(folder: Path, job: Job) -> None:
    """The adapter that all start from, and the rows as tokens."""
    from ftlab.train.loop import prepared
    from ftlab.train.reading import all_steps

    spec = job.spec.changed(packing=None)  # who packs does it on its own
    trainer, training, *_ = prepared(job.model_copy(update={"spec": spec}), "cpu")
    trainer.model.save_pretrained(folder / "adapter")
    steps = all_steps(spec, training, len(training))
    write_rows(folder / "rows.jsonl", [_tokens(row) for rows in steps for row in rows])


def _tokens(row: Any) -> dict[str, list[int]]:
    """A row in TRL's words. Of an answer, what the template writes after it is left out."""
    if not hasattr(row, "chosen"):
        return {"input_ids": list(row.ids), "labels": list(row.labels)}
    prompt, chosen = _divided(row.chosen)
    return {
        "prompt_ids": prompt,
        "chosen_ids": chosen,
        "rejected_ids": _divided(row.rejected)[1],
    }


def _divided(answer: Any) -> tuple[list[int], list[int]]:
    """The input, and the tokens that train."""
    trained = [i for i, label in enumerate(answer.labels) if label != IGNORED]
    return list(answer.ids[: trained[0]]), list(answer.ids[trained[0] : trained[-1] + 1])


def chat(draw: random.Random) -> dict[str, Any]:
    """A row of SFT."""
    roles = ("user", "assistant") * draw.choice((1, 1, 2, 2, 3, 4))
    shares = [draw.uniform(0.5, 1.5) for _ in roles]
    size = _size(draw) / sum(shares)
    return {
        "messages": [
            _message(role, size * share, draw) for role, share in zip(roles, shares, strict=True)
        ]
    }


def pair(draw: random.Random) -> dict[str, Any]:
    """A row of DPO: a fifth to three fifths are input, and the other answer is half to one and a
    half times as long."""
    size, share = _size(draw), draw.uniform(0.2, 0.6)
    answer = size * (1 - share)
    other = min(answer * draw.uniform(0.5, 1.5), LONGEST - size * share)
    return {
        "input": {"messages": [_message("user", size * share, draw)]},
        "preferred_output": [_message("assistant", answer, draw)],
        "non_preferred_output": [_message("assistant", other, draw)],
    }


def _size(draw: random.Random) -> float:
    return min(draw.lognormvariate(math.log(MEDIAN), SPREAD), LONGEST)


def _message(role: str, n_tokens: float, draw: random.Random) -> dict[str, str]:
    text = "".join(draw.choices(LETTERS, k=max(round(n_tokens) - AROUND, 1)))
    return {"role": role, "content": text}
