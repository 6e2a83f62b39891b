"""A tiny chat model and four small data files, so that everything can be tried offline.

MODEL is a folder in the Hugging Face layout. TRAIN, HELD_OUT and NEW_PATTERNS hold customer
messages with a JSON answer, PREFERENCES holds pairs of answers. `make.py` made all of them.
"""

from pathlib import Path

_HERE = Path(__file__).parent

MODEL = _HERE / "model"
TRAIN = _HERE / "train.jsonl"
HELD_OUT = _HERE / "held_out.jsonl"
NEW_PATTERNS = _HERE / "new_patterns.jsonl"
PREFERENCES = _HERE / "preferences.jsonl"

# Together's keywords; 300 steps, after which the held-out loss is a hundredth of the base's.
JOB = {
    "model": "demo",
    "training_file": str(TRAIN),
    "validation_file": str(HELD_OUT),
    "learning_rate": 4e-3,
    "warmup_ratio": 0.05,
    "batch_size": 16,
    "n_epochs": 4,
    "n_evals": 5,
    "suffix": "demo",
}
