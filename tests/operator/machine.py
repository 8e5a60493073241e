"""A Debian machine as far as the how-tos need one: folders of the test for its paths, stand-ins for what only root may do.

Real are: the daemon (under `Type=notify`, from the unit that was printed), nginx, every command of Talkwire.
Stand-ins: apt-get, useradd, certbot (gives a certificate of the test), runuser (takes the user that the machine has for
it), systemctl (starts what units say).
"""

from __future__ import annotations

import os
import stat
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

from tests.parts.nginx import AROUND, Certificate, certificate, here
from tests.parts.ports import free_ports
from tests.parts.wants import nginx_binary

PLACES = ("/opt/talkwire", "/var/lib/talkwire", "/etc/systemd/system", "/etc/nginx/conf.d", "/usr/local/bin")
NAME = "talk.example.org"


@dataclass(frozen=True, slots=True)
class Machine:
    """Where its paths lie, and how it is reached."""

    root: Path
    http: int
    https: int
    public: int
    admin: int
    certificate: Certificate
    user: tuple[str, ...]  # words before a command, that make it run as the daemon's user

    @property
    def url(self) -> str:
        return f"https://localhost:{self.https}"

    @property
    def changes(self) -> dict[str, str]:
        """Say what a page's words are here."""
        moved = {place: str(self.root / place.lstrip("/")) for place in PLACES}
        return {**moved, f"https://{NAME}": self.url, "127.0.0.1:8080": f"127.0.0.1:{self.public}"}

    @property
    def env(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name.startswith(("LANG", "PIP_", "COVERAGE"))}
        return kept | {
            "PATH": f"{self.root}/usr/local/bin:{self.root}/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
            "PIP_NO_INDEX": "1",
            "SSL_CERT_FILE": str(self.certificate.chain),  # so that `check --online` believes it
        }

    @property
    def log(self) -> str:
        """Give what the daemon wrote, for a person."""
        file = self.root / "run" / "talkwire.log"
        return file.read_text() if file.exists() else ""

    def stop(self) -> None:
        """Stop what its systemctl started."""
        os.spawnve(os.P_WAIT, str(self.root / "sbin/systemctl"), ["systemctl", "poweroff"], self.env)


def machine(root: Path, talkwire: Path, nginx_text: str, user: tuple[str, ...] = ()) -> Machine:
    """Make one; `talkwire` is the environment that `pip install` brings, in place of an index."""
    http, https, second, public, admin = free_ports(5)
    for place in (*PLACES, "/sbin", "/run", "/nginx"):
        (root / place.lstrip("/")).mkdir(parents=True, exist_ok=True)
    made = Machine(root, http, https, public, admin, certificate(root / "run", "localhost"), user)
    moved = {
        "listen [::]:80;": "",
        "listen [::]:443 ssl http2;": f"listen 127.0.0.1:{second} ssl http2;",
        "listen 80;": f"listen 127.0.0.1:{http};",
        "listen 443 ssl": f"listen 127.0.0.1:{https} ssl",
        "127.0.0.1:8080": f"127.0.0.1:{public}",
        f"/etc/letsencrypt/live/{NAME}/fullchain.pem": str(made.certificate.chain),
        f"/etc/letsencrypt/live/{NAME}/privkey.pem": str(made.certificate.key),
        "/var/log/nginx": str(root / "nginx"),
        NAME: f"{NAME} localhost",
    }
    (root / "etc/nginx/conf.d/talkwire.conf").write_text(here(nginx_text, moved))
    text = f"include {root}/etc/nginx/conf.d/*.conf;"
    (root / "nginx/nginx.conf").write_text(AROUND.format(folder=root / "nginx", text=text))
    binary, config = nginx_binary(), root / "nginx/nginx.conf"
    program(root / "sbin/nginx", f'exec {binary} -p {root}/nginx -e {root}/nginx/error.log -c {config} "$@"')
    for name in ("apt-get", "useradd", "certbot"):
        program(root / "sbin" / name, f'echo "{name} $@" >> {root}/run/done')
    program(root / "sbin/runuser", f'shift 3\nexec {" ".join(user)} "$@"')
    program(root / "sbin/chown", f'[ -n "{" ".join(user)}" ] || exit 0\nshift\nexec /bin/chown 65534:65534 "$@"')
    owner = "-o 65534 -g 65534" if user else ""
    program(root / "sbin/install", f'for last; do :; done\nexec /usr/bin/install -d {owner} -m 700 "$last"')
    program(
        root / "sbin/python3", f'[ "$1 $2" = "-m venv" ] || exec /usr/bin/python3 "$@"\nln -sfn {talkwire}/bin "$3/bin"'
    )
    program(root / "sbin/systemctl", f'exec {sys.executable} -I {Path(__file__).parent / "systemctl.py"} {root} "$@"')
    (root / "run/user").write_text("\n".join(user))
    return made


def program(path: Path, text: str) -> None:
    """Write a program of the machine, for sh."""
    path.write_text("#!/bin/sh\n" + textwrap.dedent(text) + "\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
