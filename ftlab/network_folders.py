"""Folders on a network: recognised, because locks and appended lines are less sure there."""

from __future__ import annotations

from pathlib import Path

NETWORK = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "lustre", "ceph", "gpfs", "beegfs", "afs"),
        *("glusterfs", "fuse.glusterfs", "fuse.sshfs", "fuse.s3fs", "fuse.gcsfuse", "fuse.rclone"),
        *("fuse.ceph-fuse", "fuse.blobfuse2", "fuse.mount-s3", "davfs", "webdav", "afpfs"),
    }
)
"""Types of file systems as the system names them."""


def network_warning(folder: Path) -> str:
    """What is to be said of a folder that lies on a network; empty for one that does not."""
    kind = file_system(folder)
    if kind not in NETWORK:
        return ""
    return (
        f"{folder} lies on a network ({kind}); runs are safe where locks and appended lines are "
        "the system's own, which a network may not keep. Let FTLAB_RUNS name a folder on a disk "
        "of this machine, or start no run from two machines at once."
    )


def file_system(path: Path) -> str:
    """The type of the file system that a path is on or would be on; empty when it is unknown."""
    import psutil

    place = path.resolve()
    best = ("", "")
    for mount in psutil.disk_partitions(all=True):
        # A later mount on the same place hides the earlier one.
        if place.is_relative_to(mount.mountpoint) and len(mount.mountpoint) >= len(best[0]):
            best = (mount.mountpoint, mount.fstype)
    return best[1]
