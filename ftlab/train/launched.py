"""The processes of a run that torchrun or the like started, and the end of those that wait."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

COMING = 300.0  # seconds in which the first process is there, which answers as soon as it has torch
LEAVING = 60.0  # seconds in which the others have torch, too
HERE = "{} is here"
OVER = "nobody is waited for"


def around() -> int:
    """How many processes were started together with this one, by torchrun or the like."""
    return int(os.environ.get("WORLD_SIZE", 1)) if "RANK" in os.environ else 1


def own_rank() -> int:
    """Which of them this one is, from 0."""
    return int(os.environ["RANK"]) if around() > 1 else 0


@contextlib.contextmanager
def there_for_others() -> Iterator[None]:
    """The first process can be reached from now on; where it ends before all have met, the others
    are told, and end too."""
    if around() == 1:
        yield
        return
    store = _store()
    try:
        yield
    finally:
        with contextlib.suppress(RuntimeError):  # a launcher that kept it is gone
            _let_go(store)


def meeting() -> tuple[Any, int, int]:
    """Where the processes meet, by what the environment says, and which of how many this is."""
    from torch.distributed.rendezvous import rendezvous

    from ftlab.train.parallel import PATIENCE

    use_loopback()
    store, rank, size = next(rendezvous("env://", timeout=timedelta(seconds=COMING)))
    store.set_timeout(PATIENCE)
    return store, rank, size


def use_loopback() -> None:
    """What the processes say to each other stays on this machine."""
    names = [name for _, name in socket.if_nameindex() if name in ("lo", "lo0")]
    if names:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", names[0])


def _store() -> Any:
    """What `meeting` gives later, before anybody is there; torchrun keeps it itself."""
    from torch.distributed import TCPStore  # pyright: ignore[reportPrivateImportUsage]

    return TCPStore(
        os.environ["MASTER_ADDR"],
        int(os.environ["MASTER_PORT"]),
        is_master=os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != str(True),
        timeout=timedelta(seconds=COMING),
        wait_for_workers=False,
        multi_tenant=True,
    )


def _let_go(store: Any) -> None:
    """Those that have met end by themselves."""
    others = [HERE.format(rank) for rank in range(1, around())]
    if store.check([HERE.format(0), *others]):
        return
    store.set(OVER, "")
    end = time.monotonic() + LEAVING
    while not store.check(others) and time.monotonic() < end:
        time.sleep(0.05)
