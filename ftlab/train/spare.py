"""`python -m ftlab.train.spare SOCKET [MODEL]`: a trainer that imports everything and waits.

One message comes over the socket: the run and the folder to work in, and with it the handles of
the run's lock and its log. When the socket closes before its end, nobody needs it any more.
"""

from __future__ import annotations

import json
import os
import socket
import sys

from ftlab.processes import loading

LONGEST = 2**20  # bytes of a message


def main() -> int:
    line = socket.socket(fileno=int(sys.argv[1]))
    with loading():
        import peft  # noqa: F401

        from ftlab.train import loop  # noqa: F401
        from ftlab.train.__main__ import carry_out

        if len(sys.argv) > 2:
            _know(sys.argv[2])
    with line:
        data, handles, *_ = socket.recv_fds(line, LONGEST, 2)
        if not handles:
            return 0
        while not data.endswith(b"\n"):
            if not (more := line.recv(LONGEST)):
                return 0
            data += more
    message, (_, log) = json.loads(data), handles
    os.chdir(message["folder"])
    for output in (1, 2):
        os.dup2(log, output)
    os.close(log)  # the lock stays open as long as this process lives

    from ftlab.run import Run

    return carry_out(Run(message["run"]))


def _know(model: str) -> None:
    """Import what a model of this folder is made of, without making it."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        with torch.device("meta"):
            AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(model))
    except (OSError, ValueError) as problem:  # the run will say it to a person
        print(problem, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
