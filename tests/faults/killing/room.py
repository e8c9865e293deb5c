"""Room that runs out: a file system of a few pages, or a limit to the size of each file."""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
from collections.abc import Callable
from pathlib import Path

__all__ = ["Disk", "Limit", "Refused", "Room"]

NEW_MOUNTS, NEW_USER = 0x00020000, 0x10000000  # of unshare(2)
REMOUNT, RECURSIVE, PRIVATE = 32, 16384, 1 << 18  # of mount(2)
PAGE, PLENTY = 4096, 2**30


class Refused(Exception):
    """The system does not permit it."""


class Room:
    """Where a command writes, and what keeps it from writing more.

    Args:
        place: a folder.
    """

    least: int
    """Bytes."""
    said: str
    """How the system calls it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        place.mkdir()

    def needed(self, folder: Path) -> int:
        """What is surely too little to write the same again, one byte less."""
        raise NotImplementedError

    def narrow(self, size: int) -> Callable[[], None]:
        """Leave so many bytes; what the command's process has to call itself."""
        raise NotImplementedError

    def widen(self) -> None:
        """Leave more than enough."""

    def clear(self, out: Path) -> None:
        """Make the room empty."""
        shutil.rmtree(out)


class Limit(Room):
    """No file may have more bytes. Python ignores the signal and gets an error instead."""

    least, said = 100, "File too large"

    def needed(self, folder: Path) -> int:
        return max(file.stat().st_size for file in folder.rglob("*") if file.is_file())

    def narrow(self, size: int) -> Callable[[], None]:
        return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


class Disk(Room):
    """A file system in memory, which this process and its children alone see, and which ends with them.

    Raises:
        Refused: this process may not have one.
    """

    least, said = PAGE, "No space left on device"

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        self._system = ctypes.CDLL(None, use_errno=True)
        user, group = os.geteuid(), os.getegid()
        self._call("unshare", NEW_MOUNTS | (NEW_USER if user else 0))
        if user:
            _become_root(user, group)
        self._mount(b"/", None, RECURSIVE | PRIVATE, None)
        self._mount(bytes(place), b"tmpfs", 0, f"size={PLENTY}")

    def needed(self, folder: Path) -> int:
        sizes = [file.stat().st_size for file in folder.rglob("*") if file.is_file()]
        return sum(-(-size // PAGE) * PAGE for size in sizes)

    def narrow(self, size: int) -> Callable[[], None]:
        # tmpfs rounds up to pages
        self._mount(bytes(self.place), None, REMOUNT, f"size={size // PAGE * PAGE}")
        return lambda: None

    def widen(self) -> None:
        self._mount(bytes(self.place), None, REMOUNT, f"size={PLENTY}")

    def _mount(self, place: bytes, kind: bytes | None, flags: int, data: str | None) -> None:
        self._call("mount", b"none", place, kind, ctypes.c_ulong(flags), data.encode() if data else None)

    def _call(self, name: str, *arguments: object) -> None:
        if not hasattr(self._system, name):
            raise Refused(f"{name}: not on this system")
        if getattr(self._system, name)(*arguments):
            raise Refused(f"{name}: {os.strerror(ctypes.get_errno())}")


def _become_root(user: int, group: int) -> None:
    """In the new world of users, which lets nobody else in."""
    try:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    except OSError as error:
        raise Refused(f"{error}") from error
