"""Temporary folders in memory, where there is enough of it: the suite makes thousands of databases and removes them.

Nothing of what is proved changes. Programs still ask for every fsync; those that are killed leave what they wrote; and
what a loss of power does, no test can show. `TMPDIR`, where somebody has set it, stands.
"""

import os
import shutil
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")  # Linux: tmpfs; in a container often of 64 MB
ENOUGH = 4 * 1024**3  # bytes


def move_in() -> None:
    """Let this process and those it starts make their temporary folders in memory."""
    if "TMPDIR" not in os.environ and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= ENOUGH:
        os.environ["TMPDIR"] = str(MEMORY)
        tempfile.tempdir = None  # it was asked before, by pytest


move_in()  # when it is imported: before anybody asks where temporary files go
