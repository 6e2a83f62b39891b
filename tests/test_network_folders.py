"""Folders on a network are recognised by the mount that they lie on."""

from __future__ import annotations

from types import SimpleNamespace

import psutil
import pytest

from ftlab.network_folders import file_system, network_warning

MOUNTS = {"/": "ext4", "/home": "nfs4", "/home/me/local": "xfs", "/mnt/z": "fuse.sshfs"}


@pytest.fixture
def mounts(monkeypatch):
    found = [SimpleNamespace(mountpoint=place, fstype=kind) for place, kind in MOUNTS.items()]
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: found)


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/srv/runs", "ext4"),
        ("/home/me/ftlab-runs", "nfs4"),
        ("/home/me/local/runs", "xfs"),
        ("/homes/me", "ext4"),
        ("/mnt/z", "fuse.sshfs"),
    ],
)
def test_the_innermost_mount_decides(mounts, tmp_path, folder, kind):
    from pathlib import Path

    assert file_system(Path(folder)) == kind
    assert (network_warning(Path(folder)) != "") == (kind in ("nfs4", "fuse.sshfs"))


def test_this_machine_says_what_its_folders_are(tmp_path):
    assert file_system(tmp_path)
