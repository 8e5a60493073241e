"""The user unit that starts the client with the desktop's session.

Source: systemd.special(7), "graphical-session.target"; systemd.service(5), systemd.exec(5) of 252.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from .places import config_folder

NAME = "talkwire-desktop.service"
_UNIT = """\
[Unit]
Description=Notifications of Talkwire on this desktop
Documentation=man:systemd.special(7)
PartOf=graphical-session.target
After=graphical-session.target

[Service]
ExecStart={command} desktop run
Restart=on-failure
RestartSec=5
# Signed in no longer, or not yet: starting it again would change nothing.
RestartPreventExitStatus=78
NoNewPrivileges=yes
MemoryMax=256M

[Install]
WantedBy=graphical-session.target
"""


def text() -> str:
    """Give the unit, with the command that runs now."""
    return _UNIT.format(command=" ".join(_quoted(word) for word in _command()))


def file() -> Path:
    """Name where a user's own units lie."""
    return config_folder() / "systemd" / "user" / NAME


def install() -> Path:
    """Write the unit; once more replaces it."""
    file().parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file().write_text(text(), encoding="utf-8")
    return file()


def uninstall() -> bool:
    """Remove the unit; say whether there was one."""
    there = file().exists()
    file().unlink(missing_ok=True)
    return there


def _command() -> list[str]:
    """Give the program beside this Python, so that the same environment starts."""
    beside = Path(sys.executable).with_name("talkwire")
    if beside.exists():
        return [str(beside)]
    found = shutil.which("talkwire")
    return [found] if found else [sys.executable, "-c", "from talkwire.cli import main; main()"]


def _quoted(word: str) -> str:
    """Write a word as systemd reads it. Source: systemd.service(5), "Command lines"; systemd.unit(5), "Specifiers"."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if any(mark in escaped for mark in ' "\\;') else escaped
