"""The unit that lets systemd run a daemon: started anew when it ends or hangs, allowed what it needs and nothing else."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from . import place
from .place import ConfigFile
from .screen import complain, say

# systemd.service(5), systemd.exec(5), systemd.unit(5), read 2026-11-28; directives that systemd 252 (Debian 12) knows.
_UNIT = """\
# Made by: talkwire systemd. Lies in /etc/systemd/system/talkwire.service; own changes belong into
# talkwire.service.d/*.conf (systemctl edit talkwire), so that this file can be made anew.
[Unit]
Description=Talkwire: customers' messages in, replies out
After=network-online.target postgresql.service
Wants=network-online.target
# However often it fails, the next try comes: providers wait for us.
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart={talkwire} --config {config} run
# Only what changed begins anew; a wrong file changes nothing, and systemctl says so.
ExecReload={talkwire} --config {config} reload
User={user}
Group={user}
WorkingDirectory={folder}
Restart=always
RestartSec=2
# Wrong settings or tables: starting again does not help.
RestartPreventExitStatus=78
# The daemon says that it lives while its loop runs and its writer is not held; else it is started anew.
WatchdogSec=60
# Sends that are under way get 20 s at the end, requests 5 s.
TimeoutStopSec=45
# A connection of a visitor is a file.
LimitNOFILE=65536

# It writes into its folder, and nowhere else.
UMask=0077
ProtectSystem=strict
ReadWritePaths={folder}
{home}PrivateTmp=yes
PrivateDevices=yes
DevicePolicy=closed
PrivateMounts=yes
RemoveIPC=yes
# It needs no privilege, no other process, no kernel setting.
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectProc=invisible
ProcSubset=pid
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
KeyringMode=private
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
# TCP, and the sockets of its commands and of systemd.
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""
_HOMES = ("/home/", "/root/", "/run/user/")


def systemd(
    user: Annotated[str, typer.Option(help="Who the daemon runs as.")] = "talkwire",
    config: ConfigFile = None,
) -> None:
    """Print a unit for systemd that runs these settings.

    Type: talkwire systemd > /etc/systemd/system/talkwire.service
    """
    from ..errors import Conflict

    file = place.config_path(config).absolute()
    talkwire = Path(sys.prefix) / "bin" / "talkwire"
    for what in (file, talkwire, user):
        if any(letter.isspace() or letter in "%\"'\\" for letter in str(what)):
            raise Conflict(f"{what}: choose a name without spaces, quotes and %, which units read in their own way")
    if not file.exists():
        complain(f"{file} is not there yet; the unit is made for it all the same")
    elif not os.access(file.parent, os.W_OK):
        complain(f"{file.parent} cannot be written by you; see that {user} can")
    at_home = f"{file.parent}/".startswith(_HOMES) or f"{talkwire}".startswith(_HOMES)
    home = "" if at_home else "ProtectHome=yes\n"
    say(_UNIT.format(talkwire=talkwire, config=file, folder=file.parent, user=user, home=home).rstrip())
