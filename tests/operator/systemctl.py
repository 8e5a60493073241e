"""systemctl for the tests' machine: starts what a unit says, tells apart when it is ready, stops it by its id.

It is a program: `systemctl.py ROOT enable --now|start|stop|restart|reload NAME`, or `poweroff`.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

LIMIT = 30  # seconds


def main(root, words):
    if words == ["poweroff"]:
        for file in (root / "run").glob("*.pid"):
            stop(root, file.stem)
        return 0
    verb, name = words[0], words[-1]
    if name == "nginx":
        return nginx(root)
    if verb in ("stop", "restart"):
        stop(root, name)
    if verb == "reload":
        return run(root, name, "ExecReload").wait(LIMIT)
    return start(root, name) if verb in ("enable", "start", "restart") else 0


def unit(root, name):
    return (root / f"etc/systemd/system/{name}.service").read_text()


def run(root, name, which, **env):
    command = re.search(rf"^{which}=(.*)$", unit(root, name), re.MULTILINE)[1].split()
    user = (root / "run/user").read_text().split()
    log = (root / "run" / f"{name}.log").open("ab")
    return subprocess.Popen(
        [*user, *command],
        cwd=re.search(r"^WorkingDirectory=(.*)$", unit(root, name), re.MULTILINE)[1],
        env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **env},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )


def start(root, name):
    place = root / "run" / f"{name}.notify"
    place.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(place))
        place.chmod(0o777)
        notify.settimeout(LIMIT)
        process = run(root, name, "ExecStart", NOTIFY_SOCKET=str(place))
        (root / "run" / f"{name}.pid").write_text(str(process.pid))
        try:
            while not notify.recv(4096).startswith(b"READY=1"):
                pass
        except TimeoutError:
            sys.stderr.write((root / "run" / f"{name}.log").read_text())
            return 1
    return 0


def stop(root, name):
    file = root / "run" / f"{name}.pid"
    if not file.exists():
        return
    pid = int(file.read_text())
    file.unlink()
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        until = time.monotonic() + LIMIT
        while time.monotonic() < until and Path(f"/proc/{pid}").exists() and "\nState:\tZ" not in status(pid):
            time.sleep(0.02)  # it is no child of ours


def status(pid):
    try:
        return Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return "\nState:\tZ"


def nginx(root):
    file = root / "run/nginx.pid"
    stop(root, "nginx")
    process = subprocess.Popen(
        [str(root / "sbin/nginx")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    file.write_text(str(process.pid))
    port = int(re.search(r"listen 127.0.0.1:(\d+);", (root / "etc/nginx/conf.d/talkwire.conf").read_text())[1])
    until = time.monotonic() + LIMIT
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)  # another program: there is nothing to wait for but its port
        else:
            return 0
    return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
