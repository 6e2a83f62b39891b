"""Folders on a network are recognised by the mount that they lie on."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from ftlab.network_folders import file_system, network_warning
from ftlab.providers import submit
from ftlab.providers.local import Local
from tests.small import chat_rows, write_rows

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
    assert file_system(Path(folder)) == kind
    assert (network_warning(Path(folder)) != "") == (kind in ("nfs4", "fuse.sshfs"))


def test_this_machine_says_what_its_folders_are(tmp_path):
    assert file_system(tmp_path)


@pytest.mark.parametrize("kind", ["ext4", "nfs4"])
def test_a_run_on_a_network_is_warned_of_once_and_starts(tmp_path, monkeypatch, kind):
    mount = SimpleNamespace(mountpoint="/", fstype=kind)
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: [mount])
    started = []
    monkeypatch.setattr(Local, "start", lambda _, run, key: started.append(run.id))
    rows = write_rows(tmp_path / "rows.jsonl", chat_rows(40))
    run = submit({"model": "demo", "training_file": str(rows)}, folder=tmp_path / "runs")
    assert started == [run.id]
    warned = [log.text for log in run.history.logs if log.level == "warning"]
    assert len(warned) == (kind == "nfs4")
    assert all("on a network (nfs4); runs are safe where" in text for text in warned)
    os.close(run.begin())
    assert run.history.attempt == 1  # nothing else changes
    assert run.event_file.stat().st_mode & 0o777 == 0o600
