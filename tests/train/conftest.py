"""What the tests of the trainer share."""

from __future__ import annotations

import pytest

from tests.train.warm import Warm


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    """A process that has loaded torch and forks trainers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FTLAB_LEASES", str(tmp_path_factory.mktemp("leases")))
        process = Warm()
        yield process
        process.close()
