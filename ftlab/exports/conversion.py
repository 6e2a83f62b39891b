"""`python -m ftlab.exports.conversion`: llama.cpp's converter with its arguments, in this process,
so that it ends when this one does, and what it stumbles over can be said.
"""

from __future__ import annotations

import contextlib
import io
import os
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ftlab.errands import answering
from ftlab.errors import FtlabError
from ftlab.processes import HUB_KEY

UNKNOWN_TOKENIZER = "pre-tokenizer was not recognized"
LAST_WORDS = 300  # characters of what the converter said


def main() -> int:
    return answering(_convert)


def _convert(request: dict[str, Any], _say: Any) -> Iterator[dict[str, Any]]:
    yield {"progress": 0.0, "what": request["what"]}
    os.environ.pop(HUB_KEY, None)  # it asks nobody
    script = request["script"]
    sys.argv = [script, *request["arguments"]]
    sys.path.insert(0, str(Path(script).parent))
    said = io.StringIO()
    status: Any = 0
    try:
        with contextlib.redirect_stderr(said):
            runpy.run_path(script, run_name="__main__")
    except SystemExit as exc:
        status = exc.code
    except Exception as exc:  # whatever it makes of a model
        raise FtlabError(_problem(f"{type(exc).__name__}: {exc}")) from exc
    if status or not Path(request["file"]).is_file():
        words = status if isinstance(status, str) else said.getvalue().strip()[-LAST_WORDS:]
        raise FtlabError(_problem(words or "it said nothing"))
    yield {"made": True}


def _problem(words: str) -> str:
    if UNKNOWN_TOKENIZER in words:
        return (
            "llama.cpp's converter does not know the tokenizer of this model; it knows those of "
            "published models, by the tokens that they make of one text. Get its newest version, "
            "train a model whose tokenizer it knows, or export this one merged."
        )
    return (
        f"llama.cpp's converter can't convert this model ({words}); it takes the architectures "
        "that it knows. Get its newest version, or export the model merged."
    )


if __name__ == "__main__":
    sys.exit(main())
