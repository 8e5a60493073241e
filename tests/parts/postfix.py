"""A real mail server for the tests: Postfix, which delivers into the mailboxes of `tests.parts.dovecot`.

    plugin under test ──submission (STARTTLS), smtps (TLS)──▶ Postfix ──▶ Maildir ──▶ Dovecot
                                         ▲                        └─────▶ a server of the test's own, for foreign addresses
    customer ──────────────smtp──────────┘

Whoever signs in does so at Dovecot, by password or token. Reports of delivery are real ones: Postfix writes them into the
mailbox of whoever sent. It needs root, listens on free ports of this machine, lives in a temporary folder and is stopped by
its process id.

Sources: postconf(5), master(5), DSN_README, SASL_README of Postfix 3.7, read 2026-11-28; run with Debian's postfix 3.7.11.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.parts.ports import free_ports
from tests.parts.wants import postfix_binary

if TYPE_CHECKING:
    from tests.parts.dovecot import Dovecot  # not before pytest has seen it: it rewrites the asserts of its plugins

LIMIT = 30.0  # seconds
_MASTER = "/usr/lib/postfix/sbin/master"  # where Debian puts it
SIZE_LIMIT = 300_000  # bytes of a mail
USERS = 2000  # whose mailboxes it knows beside the named ones: `Dovecot.user()` counts them up
NAMED = ("support", "alice", "bob")
ANSWERS = {  # recipient → what is answered at once
    "busy@example.test": "450 4.2.1 this mailbox is busy",
    "grey@example.test": "450 4.7.1 greylisted, come again",
    "full@example.test": "452 4.2.2 this mailbox is full",
    "gone@example.test": "550 5.1.1 nobody of that name here",
    "closed@example.test": "554 5.7.1 not for you",
}

MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/postfix.log
maillog_file_prefixes = {folder}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mx.example.test
mydestination =
mynetworks =
alias_maps =
local_recipient_maps =
relayhost = [127.0.0.1]:{relay}
disable_dns_lookups = yes
smtp_host_lookup = native
smtp_dns_support_level = disabled
virtual_mailbox_domains = example.test
virtual_mailbox_base = {mail}
virtual_mailbox_maps = texthash:{folder}/etc/mailboxes
virtual_minimum_uid = 1
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
recipient_delimiter = +
message_size_limit = {size}
mailbox_size_limit = 0
virtual_mailbox_limit = 0
smtpd_tls_chain_files = {key}, {chain}
smtpd_tls_security_level = may
smtpd_sasl_type = dovecot
smtpd_sasl_path = {sasl}
smtpd_recipient_restrictions =
  check_recipient_access texthash:{folder}/etc/answers,
  permit_sasl_authenticated, reject_unauth_destination
smtputf8_enable = yes
bounce_queue_lifetime = 1m
maximal_queue_lifetime = 2m
minimal_backoff_time = 1s
maximal_backoff_time = 20s
queue_run_delay = 1s
notify_classes =
smtpd_error_sleep_time = 0
smtpd_soft_error_limit = 1000
smtpd_hard_error_limit = 1000
smtpd_client_connection_count_limit = 0
in_flow_delay = 0
"""
MASTER = """
127.0.0.1:{port} inet n - n - - smtpd
127.0.0.1:{submission} inet n - n - - smtpd
  -o smtpd_tls_security_level=encrypt -o smtpd_sasl_auth_enable=yes -o smtpd_client_restrictions=permit_sasl_authenticated,reject
127.0.0.1:{smtps} inet n - n - - smtpd
  -o smtpd_tls_wrappermode=yes -o smtpd_sasl_auth_enable=yes -o smtpd_client_restrictions=permit_sasl_authenticated,reject
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix:
    """A server that runs."""

    host = "localhost"

    def __init__(self, dovecot: "Dovecot") -> None:
        self.dovecot = dovecot
        self.folder = Path(tempfile.mkdtemp(prefix="tw-postfix-"))  # short: Unix sockets lie in it
        self.folder.chmod(0o755)
        self.port, self.submission, self.smtps, self.relay = free_ports(4)
        owner = pwd.getpwnam("postfix")
        for name in ("etc", "queue", "data"):
            (self.folder / name).mkdir(mode=0o755)
        os.chown(self.folder / "data", owner.pw_uid, owner.pw_gid)
        names = [*NAMED, *(f"user{number}" for number in range(1, USERS))]
        boxes = "".join(f"{name}@example.test {name}@example.test/Maildir/\n" for name in names)
        (self._etc / "mailboxes").write_text(boxes)
        (self._etc / "answers").write_text("".join(f"{who} {says}\n" for who, says in ANSWERS.items()))
        main = MAIN.format(
            folder=self.folder,
            mail=dovecot.mail,
            uid=dovecot.uid,
            gid=dovecot.gid,
            sasl=dovecot.folder / "run" / "auth-postfix",
            chain=dovecot.certificate.chain,
            key=dovecot.certificate.key,
            size=SIZE_LIMIT,
            relay=self.relay,
        )
        (self._etc / "main.cf").write_text(main)
        ports = {"port": self.port, "submission": self.submission, "smtps": self.smtps}
        (self._etc / "master.cf").write_text(MASTER.format(**ports))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def _etc(self) -> Path:
        return self.folder / "etc"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        env = {**os.environ, "MAIL_CONFIG": str(self._etc)}
        with (self.folder / "output.log").open("ab") as log:
            program = postfix_binary() or "postfix"
            subprocess.run([program, "-c", str(self._etc), "check"], check=True, stdout=log, stderr=log, env=env)
            # Its master itself: `postfix start-fg` is a shell around it, which lets it live on. In a session of its own:
            # it signals its whole group. A run that is killed leaves it behind: it changes its user, which takes the
            # signal at a parent's death away.
            self._process = subprocess.Popen(
                [_MASTER, "-c", str(self._etc), "-s"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=env,
                start_new_session=True,
            )
        deadline = time.monotonic() + LIMIT
        while not _greets(self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Postfix does not answer:\n{self.log()[-3000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop it with all that it started."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(LIMIT)
        self._process = None

    def mails(self, user: str) -> list[bytes]:
        """Give what lies in a mailbox, the oldest first."""
        path = self.dovecot.maildir(user)
        files = [file for name in ("cur", "new") for file in (path / name).iterdir()]
        return [file.read_bytes() for file in sorted(files, key=lambda file: file.stat().st_mtime_ns)]

    def log(self) -> str:
        """Give what it wrote, for a person."""
        files = [self.folder / "output.log", self.folder / "postfix.log"]
        return "\n".join(file.read_text(errors="replace") for file in files if file.exists())


@pytest.fixture(scope="session")
def postfix(dovecot: "Dovecot") -> Iterator[Postfix]:
    """Give the server; one for each worker of the run. A test takes a `dovecot.user()` of its own."""
    server = Postfix(dovecot)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(server.folder, ignore_errors=True)


def _greets(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=LIMIT) as there:
            return there.recv(64).startswith(b"220")
    except OSError:
        return False
