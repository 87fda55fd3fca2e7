"""Tells network drives, on which processes of several machines may be at the same files."""

from __future__ import annotations

from pathlib import Path

from deriva_ml.liveness import mount_of

KINDS = frozenset(
    "acfs afpfs afs beegfs ceph cifs coda davfs gfs gfs2 glusterfs gpfs juicefs lustre mfs moosefs ncpfs nfs nfs3 nfs4"
    " ocfs2 orangefs panfs pvfs2 smb smb2 smb3 smbfs sshfs webdav wekafs".split()
)
"""File systems of other machines', or of several machines together."""

FUSE = frozenset("cephfs davfs2 gcsfuse goofys lizardfs rclone s3fs".split()) | KINDS
"""The same as programs provide them: `fuse.sshfs`."""


def network_drive(path: Path) -> str:
    """Return the kind of network drive that a path is on, such as ``nfs4``; empty if it is on none that is known."""
    kind, options = mount_of(path)
    if kind in KINDS or (kind.startswith("fuse.") and kind.removeprefix("fuse.") in FUSE):
        return kind
    return (kind or "remote") if "remote" in options else ""
