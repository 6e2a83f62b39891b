"""A Ray cluster of two machines with one core each, all on this one, as long as somebody listens.

    python -m tests.train.machines

says its address, and ends with its input.
"""

from __future__ import annotations

import sys

MEMORY = 80_000_000  # bytes for objects; the arms of a sweep take none


def main() -> None:
    from ray.cluster_utils import Cluster

    own = {"num_cpus": 1, "object_store_memory": MEMORY}
    cluster = Cluster(initialize_head=True, head_node_args={**own, "include_dashboard": False})
    cluster.add_node(**own)
    cluster.wait_for_nodes()
    print(cluster.address, flush=True)
    sys.stdin.read()
    cluster.shutdown()


if __name__ == "__main__":
    main()
