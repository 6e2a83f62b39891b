"""The verb about what a curve means: doctor."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ftlab.cli.numbers import positive, rate
from ftlab.cli.printing import print_json, say

if TYPE_CHECKING:
    from ftlab.diagnosis import Diagnosis


def doctor(options: argparse.Namespace) -> int:
    """Say what the loss curve of a run means, or that in a CSV or JSON file, and what to do.

    A file has the columns step and train_loss, and may have eval_loss, grad_norm, learning_rate
    and loss_tokens; a trainer_state.json of transformers will do.

    With --json an object: label, one of mask_bug, diverged, dead_adapter, epoch_steps, lr_too_high,
    overfitting, noisy_batch, smooth_slow, lr_too_low, plateau_early, lr_slightly_low and good, or
    undecided while there is too little; confidence, 0 to 1; evidence, name to number or text;
    advice, a list of {text, source, changes (field of the spec to value), cost}; secondary, what
    else may be, the likelier first, each with label, confidence, evidence, meaning and advice;
    meaning; needs, what a verdict waits for; next_experiment, an advice or null.
    """
    found = diagnosis_of(options)
    if options.json:
        print_json(found.as_dict())
    else:
        say(found)
    return 0


def diagnosis_of(options: argparse.Namespace) -> Diagnosis:
    """What the arguments ask for."""
    from ftlab.diagnosis import doctor as examined

    return examined(
        options.run,
        vocab_size=options.vocab_size,
        steps_per_epoch=options.steps_per_epoch,
        batch_size=options.batch_size,
        recommended_lr=options.recommended_lr,
    )


def add_doctor_arguments(verb: argparse.ArgumentParser) -> None:
    """[RUN_OR_CSV] [--json] and what a file can't say, as in the notebook too."""
    verb.add_argument(
        "run", nargs="?", metavar="RUN_OR_CSV", help="id or folder, or a curve; or the newest run"
    )
    verb.add_argument("--vocab-size", type=positive, metavar="N")
    verb.add_argument("--steps-per-epoch", type=positive, metavar="N")
    verb.add_argument("--batch-size", type=positive, metavar="ROWS")
    verb.add_argument("--recommended-lr", type=rate, metavar="RATE")
    verb.add_argument("--json", action="store_true")
