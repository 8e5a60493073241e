"""Disks that fail: small ones in memory, which only this machine's root can make."""

from __future__ import annotations

import subprocess
from pathlib import Path


class SmallDisk:
    """64 MB in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        _do("mount", "-t", "tmpfs", "-o", "size=64m,mode=0700", "faults", folder)

    def remove(self) -> None:
        """Take it away, though somebody may look at it still."""
        _do("umount", "-l", self.folder)


class FailingDisk:
    """An ext4 of 40 MB in a file in memory; an error makes it read-only, as Debian mounts its disks."""

    def __init__(self, folder: Path) -> None:
        (folder / "memory").mkdir()
        self._memory = SmallDisk(folder / "memory")
        self._image = folder / "memory" / "image"
        self.folder = folder / "disk"
        self.folder.mkdir()
        with self._image.open("wb") as image:
            image.truncate(40 * 2**20)
        _do("mkfs.ext4", "-q", self._image)
        self._device = _do("losetup", "--find", "--show", self._image)
        self._mount()

    def fail(self) -> None:
        """Let the kernel find an error."""
        Path(f"/sys/fs/ext4/{Path(self._device).name}/trigger_fs_error").write_text("a test")

    def repair(self) -> None:
        """Repair it, and mount it anew; nobody may have a file open there."""
        _do("umount", self.folder)
        subprocess.run(["e2fsck", "-fy", self._device], capture_output=True, check=False, timeout=60)
        self._mount()

    def remove(self) -> None:
        """Take it away."""
        _do("umount", "-l", self.folder)
        _do("losetup", "--detach", self._device)
        self._memory.remove()

    def _mount(self) -> None:
        _do("mount", "-o", "errors=remount-ro", self._device, self.folder)


def _do(*words: str | Path) -> str:
    return subprocess.run(words, capture_output=True, check=True, timeout=60).stdout.decode().strip()
