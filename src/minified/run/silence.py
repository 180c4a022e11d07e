"""What is known of a job whose log says nothing, or breaks off: mostly, that the disk is full."""

import os
from pathlib import Path

_LEAST = 64 * 1024  # bytes; where less is left, a job that failed may have lacked it


def why(log: Path, said: str) -> str:
    """Why a job failed: what its log has `said`, and what the state of the disk says."""
    try:
        content = log.read_bytes()
    except OSError:
        content = b""
    if content.endswith(b"\n"):
        return said
    disk = _trouble(log.parent)
    if content:
        return f"{said} (its log breaks off: {disk})" if disk else said
    if disk:
        return f"nothing was logged: {disk}"
    if log.is_file():
        return "nothing was logged; was it killed, or was the disk full then?"
    return said


def _trouble(folder: Path) -> str | None:
    """What keeps files from being written in a folder; None if nothing seems to."""
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    try:
        disk = os.statvfs(folder)
    except OSError as error:
        return f"{folder}: {error.strerror}"
    free = disk.f_bavail * disk.f_frsize
    if disk.f_flag & os.ST_RDONLY:
        return f"the disk of {folder} is read-only"
    if free < _LEAST:
        return f"the disk of {folder} is full ({free:,} bytes are free)"
    if disk.f_files and not disk.f_favail:
        return f"the disk of {folder} has room for no more files"
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"{folder} is not writable"
    return None
