"""Endpoints of one's own, where a tuned model answers for money by the hour: what there is, and the
commands that start and end one. ftlab itself starts none."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ftlab.prices import dollars

if TYPE_CHECKING:
    from ftlab.providers.together.client import Client

HARDWARE = "/v2/public/inference-instance-types"
IDLE_MINUTES = 30
"""After which an endpoint stops by itself; the service takes no less."""


class Hardware(NamedTuple):
    """What a model can be served on."""

    id: str
    name: str
    gpu: str
    n_gpus: int
    gib: int
    """Memory of each GPU."""
    usd_per_hour: float | None
    regions: tuple[str, ...]

    def cells(self) -> tuple[str, ...]:
        """In words: what it is, its GPUs, their memory, and its price."""
        price = "unknown" if self.usd_per_hour is None else dollars(self.usd_per_hour)
        return self.name or self.id, f"{self.n_gpus} × {self.gpu}", f"{self.gib} GiB each", price


def hardware(client: Client) -> list[Hardware]:
    """What the service has for endpoints, the cheapest first. Raises ServiceError."""
    data = client.json("GET", HARDWARE, "the hardware was listed").get("data")
    entries = [one for one in data if isinstance(one, dict)] if isinstance(data, list) else []
    found = [_hardware(client, one) for one in entries if isinstance(one.get("id"), str)]
    return sorted(found, key=lambda one: (one.usd_per_hour is None, one.usd_per_hour or 0.0))


def _hardware(client: Client, entry: Mapping[str, Any]) -> Hardware:
    def word(name: str) -> str:
        return client.cleaned(entry.get(name) or "")

    def count(name: str) -> int:
        value = entry.get(name)
        return value if type(value) is int and value >= 0 else 0

    cents, regions = count("priceCentsPerHour"), entry.get("regions")
    regions = regions if isinstance(regions, list) else []
    named = [region.get("name") for region in regions if isinstance(region, dict)]
    return Hardware(
        client.cleaned(entry["id"]),
        word("name"),
        word("gpuType"),
        count("gpuCount"),
        count("gpuMemoryGib"),
        cents / 100 if cents else None,
        tuple(client.cleaned(name) for name in named if name),
    )


def endpoint_commands(job: Mapping[str, Any], *, is_adapter: bool) -> str:
    """What starts an endpoint for the model of a job, asks it, and ends it, with Together's own
    command line."""
    ids = [f"{kind}_object_id" for kind in ("adapter", "model")]
    names = (job.get(name) for name in (*ids[not is_adapter :], "model_output_name"))
    model = next((str(name) for name in names if name), "MODEL")
    name = f"ftlab-{job['id']}".lower()
    merge = " --merge" if is_adapter else ""
    return (
        "pip install 'together>=3.1'\n"
        "export TOGETHER_PROJECT_ID=…  # of your project there\n"
        f"together endpoints deploy --model {shlex.quote(model)} --endpoint {shlex.quote(name)}"
        f"{merge} --traffic-weight 1 --inactive-timeout {IDLE_MINUTES}\n"
        "# It is billed until it is removed, or was idle for so many minutes.\n"
        "together endpoints rm ENDPOINT_ID --force\n"
    )
