"""What kind of disk a folder lies on, as far as the system says."""

from __future__ import annotations

import re
from pathlib import Path

from bkgflow.io.storage.location import Location

__all__ = ["MOUNTS", "is_network_disk", "on_one_disk"]

MOUNTS = Path("/proc/self/mountinfo")
"""Where Linux lists its file systems; other systems are taken to have local disks alone."""

ESCAPED = re.compile(r"\\([0-7]{3})")
"""How Linux writes blanks in the names of folders."""

NETWORK = {
    "9p", "afs", "beegfs", "ceph", "cifs", "cvmfs", "fuse.glusterfs", "fuse.sshfs", "gfs2",
    "glusterfs", "gpfs", "lustre", "nfs", "nfs3", "nfs4", "ocfs2", "orangefs", "panfs", "pvfs2",
    "smb2", "smb3", "smbfs", "virtiofs", "weka", "wekafs",
}  # fmt: skip
"""File systems that other hosts may write to at the same time."""


def on_one_disk(one: Location, other: Location) -> bool:
    """Whether two folders that are there lie on one file system: files can be renamed between."""
    return one.path.stat().st_dev == other.path.stat().st_dev


def is_network_disk(folder: Location, mounts: Path = MOUNTS) -> str:
    """Return the name of the network file system that a folder lies on; empty if it is none.

    A folder that is not there is asked for by the one above it that is.
    """
    there = folder.path.resolve()
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    best, found = -1, ""
    for line in lines:
        before, _, after = line.partition(" - ")
        fields, kinds = before.split(), after.split()
        if len(fields) < 5 or not kinds:
            continue
        point = Path(ESCAPED.sub(lambda found: chr(int(found[1], 8)), fields[4]))
        # A later mount hides an earlier one at the same place.
        if there.is_relative_to(point) and len(point.parts) >= best:
            best, found = len(point.parts), kinds[0]
    return found if found in NETWORK else ""
