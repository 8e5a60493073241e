"""A real IMAP server for the tests: Dovecot with its mail, its keys and its certificate in a temporary folder.

Every user has the same password and an own empty mailbox, so that tests on one server do not meet. Mail is put into a
mailbox as its MTA does, as files. It runs as whoever runs the tests, and is stopped by its process id.

    customer ──put(user, mail)──▶ Maildir ──▶ Dovecot ◀──IMAP, TLS──▶ the plugin under test

Sources: Dovecot's manual 2.3, "Rootless", "OAuth2 database", "Maildir"; run with Debian's dovecot-imapd 2.3.19.
"""

import asyncio
import base64
import contextlib
import ctypes
import hashlib
import hmac
import itertools
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from tests.parts.nginx import certificate
from tests.parts.ports import free_ports
from tests.parts.wants import dovecot_binary

LIMIT = 20.0  # seconds to wait for its port before saying that it never came
PASSWORD = "not-a-secret"
SIGNING_KEY = b"topsecretsigningkey"

CONFIG = """
base_dir = {folder}/run
state_dir = {folder}/state
instance_name = {name}
log_path = {folder}/dovecot.log
protocols = imap
listen = 127.0.0.1
ssl = yes
ssl_cert = <{chain}
ssl_key = <{key}
disable_plaintext_auth = no
auth_mechanisms = plain login xoauth2 oauthbearer
auth_failure_delay = 0 secs
shutdown_clients = yes
auth_verbose = no
mail_location = maildir:~/Maildir
maildir_very_dirty_syncs = no
mailbox_list_index = no
mail_max_userip_connections = 1000
first_valid_uid = 1
first_valid_gid = 1
default_internal_user = {internal}
default_internal_group = {internal_group}
default_login_user = {login}
{imap_capability}
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {folder}/oauth2.conf
}}
passdb {{
  driver = static
  mechanisms = plain login
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={folder}/mail/%u
}}
service imap-login {{
  {chroot}
  service_count = 0
  process_min_avail = 1
  inet_listener imap {{
    address = 127.0.0.1
    port = {port}
  }}
  inet_listener imaps {{
    address = 127.0.0.1
    port = {tls_port}
    ssl = yes
  }}
}}
service imap {{
  process_min_avail = 1
  service_count = 50
}}
service anvil {{
  {chroot}
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service auth {{
  unix_listener auth-postfix {{
    mode = 0666
  }}
}}
service stats {{
  {chroot}
}}
"""
OAUTH = """
introspection_mode = local
local_validation_key_dict = fs:posix:prefix={folder}/keys/
username_attribute = email
username_format = %u
"""
_numbers = itertools.count(1)


class Dovecot:
    """A server that runs, or is stopped and started as a test needs."""

    host = "127.0.0.1"
    password = PASSWORD

    def __init__(self, folder: Path, *, capability: str = "") -> None:
        self.folder = folder
        self.port, self.tls_port = free_ports(2)
        self.uid, self.gid = _mail_owner()
        self.mail = folder / "mail"
        (tls := folder / "tls").mkdir()
        self.certificate = certificate(tls, "localhost")
        for name in ("run", "state", "mail", "keys/default/HS256"):
            (folder / name).mkdir(parents=True)
        os.chmod(folder, 0o755)
        os.chown(self.mail, self.uid, self.gid)
        (folder / "keys/default/HS256/default").write_bytes(base64.b64encode(SIGNING_KEY))
        (folder / "oauth2.conf").write_text(OAUTH.format(folder=folder))
        is_root = os.geteuid() == 0
        me, group = pwd.getpwuid(os.geteuid()).pw_name, _group_name(os.getegid())
        text = CONFIG.format(
            folder=folder,
            name=folder.name,
            chain=self.certificate.chain,
            key=self.certificate.key,
            internal="dovecot" if is_root else me,
            internal_group="dovecot" if is_root else group,
            login="dovenull" if is_root else me,
            chroot="" if is_root else "chroot =",
            imap_capability=f"imap_capability = {capability}" if capability else "",
            password=PASSWORD,
            uid=self.uid,
            gid=self.gid,
            port=self.port,
            tls_port=self.tls_port,
        )
        self._config = folder / "dovecot.conf"
        self._config.write_text(text)
        self._process: subprocess.Popen[bytes] | None = None

    # --- its life --------------------------------------------------------------------------------

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self.folder / "output.log").open("ab") as log:
            self._process = subprocess.Popen(
                [dovecot_binary() or "dovecot", "-F", "-c", str(self._config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_die_with_parent,  # noqa: PLW1509  (no thread of ours holds a lock here)
            )
        deadline = time.monotonic() + LIMIT
        while not _greets(self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Dovecot does not answer:\n{self.log()[-3000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop it with all its connections."""
        if self._process is None:
            return
        pid = self._process.pid
        listed = Path(f"/proc/{pid}/task/{pid}/children")  # Linux only
        children = [int(one) for one in listed.read_text().split()] if listed.exists() else []
        self._process.terminate()
        self._process.wait(LIMIT)
        self._process = None
        for child in children:  # one that waits for mail would serve its client for half a minute more
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)

    def kick(self, user: str) -> None:
        """Cut the connections of a user, as an administrator does."""
        self._administer("kick", user)

    def _leave_alone(self, user: str) -> None:
        """Cut the connections of a user, and wait until nothing of them can still write."""
        self.kick(user)
        deadline = time.monotonic() + LIMIT
        while user in self._administer("who", "-1", user):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{user} is still connected")

    def log(self) -> str:
        """Give what it wrote, for a person."""
        files = [self.folder / "output.log", self.folder / "dovecot.log"]
        return "\n".join(file.read_text(errors="replace") for file in files if file.exists())

    def _administer(self, *words: str) -> str:
        doveadm = Path(dovecot_binary() or "dovecot").parent.parent / "bin" / "doveadm"
        program = str(doveadm) if doveadm.exists() else "doveadm"
        asked = [program, "-c", str(self._config), *words]
        return subprocess.run(asked, check=True, capture_output=True, timeout=LIMIT, text=True).stdout

    # --- mail ------------------------------------------------------------------------------------

    def user(self) -> str:
        """Give a user whom nobody had before, with an empty mailbox."""
        return f"user{next(_numbers)}@example.test"

    def maildir(self, user: str, folder: str = "INBOX") -> Path:
        """Give where the mail of a folder lies; made where it was not."""
        path = self.mail / user / "Maildir" / ("" if folder == "INBOX" else f".{folder}")
        wanted = [*reversed([one for one in (path, *path.parents) if self.mail in one.parents])]
        for one in (*wanted, path / "cur", path / "new", path / "tmp"):
            if not one.is_dir():
                one.mkdir(exist_ok=True)  # the server makes it at the same time
                os.chown(one, self.uid, self.gid)
        return path

    def put(self, user: str, *mails: bytes, folder: str = "INBOX", at: float | None = None) -> None:
        """Put mails into a folder, as if they had just come, or at a moment (seconds since 1970)."""
        path = self.maildir(user, folder)
        for mail in mails:
            number = next(_numbers)
            name = f"{int(at or time.time())}.M{number:07}P{os.getpid()}.test"
            draft = path / "tmp" / name
            draft.write_bytes(mail)
            os.chown(draft, self.uid, self.gid)
            if at is not None:
                os.utime(draft, (at, at))  # INTERNALDATE
            draft.rename(path / "new" / name)

    def files(self, user: str, folder: str = "INBOX") -> list[str]:
        """Name the files of a folder, with their flags behind a colon."""
        path = self.maildir(user, folder)
        return sorted(file.name for name in ("cur", "new") for file in (path / name).iterdir())

    def renumber(self, user: str) -> None:
        """Give all mails of the inbox other UIDs, as a server does that lost its index: another UIDVALIDITY."""
        self._leave_alone(user)
        for file in self.maildir(user).glob("dovecot.index*"):
            file.unlink()
        uids = self.maildir(user) / "dovecot-uidlist"
        head, *lines = uids.read_text().splitlines()
        validity = int(re.search(r"V(\d+)", head)[1])
        # The numbers stand in reverse, so that none of them means what it meant.
        here = {name.partition(":")[0] for name in self.files(user)}
        names = [name for line in lines if (name := line.split(" ", 1)[1]).rpartition(":")[2] in here]
        lines = [f"{number} {name}" for number, name in enumerate(reversed(names), 1)]
        head = re.sub(r"N\d+", f"N{len(lines) + 1}", head.replace(f"V{validity}", f"V{validity + 1}"))
        uids.write_text("\n".join([head, *lines]) + "\n")

    def back_up(self, user: str) -> Path:
        """Keep a mailbox as it is; gives where."""
        self.maildir(user)
        kept = Path(tempfile.mkdtemp(prefix="kept-", dir=self.folder))
        passing = shutil.ignore_patterns("*.lock", "*.tmp")  # Dovecot's own, which may be gone before they are copied
        shutil.copytree(self.mail / user, kept / "mail", copy_function=shutil.copy2, ignore=passing)
        return kept / "mail"

    def bring_back(self, user: str, kept: Path) -> None:
        """Bring a mailbox back as it was; what came since is gone, and its UIDs are given again."""
        self._leave_alone(user)
        shutil.rmtree(self.mail / user)
        shutil.copytree(kept, self.mail / user, copy_function=shutil.copy2)
        for path in ((self.mail / user), *(self.mail / user).rglob("*")):
            os.chown(path, self.uid, self.gid)

    # --- tokens ----------------------------------------------------------------------------------

    def token(self, user: str, *, life: float = 3600) -> str:
        """Sign a token for a user, as its provider does; with a negative life it is over."""
        now = int(time.time())
        claims = {"email": user, "sub": user, "iss": "tests", "iat": now - 10, "nbf": now - 10, "exp": int(now + life)}
        head = {"alg": "HS256", "typ": "JWT", "kid": "default"}
        signed = b".".join(_base64url(json.dumps(part).encode()) for part in (head, claims))
        return (signed + b"." + _base64url(hmac.new(SIGNING_KEY, signed, hashlib.sha256).digest())).decode()


@contextlib.contextmanager
def dovecot_running(**options: str) -> Iterator[Dovecot]:
    """Run a server until the block ends."""
    server = Dovecot(Path(tempfile.mkdtemp(prefix="tw-dovecot-")), **options)  # short: Unix sockets lie in it
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(server.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def dovecot() -> Iterator[Dovecot]:
    """Give the server; one for each worker of the run. A test takes a `user()` of its own."""
    with dovecot_running() as server:
        yield server


@pytest.fixture(scope="session")
def dovecot_without_move() -> Iterator[Dovecot]:
    """Give a server that says it can neither push nor move."""
    with dovecot_running(capability="IMAP4rev1 UIDPLUS") as server:
        yield server


class Line:
    """A way to a server that a test may cut, hold up, or let talk for the server."""

    def __init__(self, host: str, port: int) -> None:
        self._to = (host, port)
        self._pumps: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self._server: asyncio.Server | None = None
        self.port = 0
        self.said = bytearray()  # by the client
        self._more = asyncio.Event()
        self.cut_after: bytes = (
            b""  # said by the server: what comes from there on is not passed on, and the line is cut
        )
        self.cut_every = 0  # bytes of the server on one connection, after which it is cut; 0: it is not
        self.hold_after: bytes = b""  # said by the server: nothing is passed on from there
        self.replies: dict[bytes, bytes] = {}  # in place of the server, to what the client says
        self.connections = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._meet, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cut()
        self._server.close()
        if self._pumps:
            await asyncio.wait(self._pumps)

    def hold(self) -> None:
        """Pass nothing on any more, either way; the connections stay."""
        self._flows.clear()

    @property
    def is_held(self) -> bool:
        """Say whether nothing is passed on now."""
        return not self._flows.is_set()

    def flow(self) -> None:
        """Pass everything on again."""
        self.hold_after = b""
        self._flows.set()

    def cut(self) -> None:
        """Cut what is there now."""
        for writer in self._writers:
            writer.transport.abort()
        self._flows.set()

    async def hears(self, what: bytes, times: int = 1) -> None:
        """Wait until the client has said something, so often."""
        try:
            async with asyncio.timeout(LIMIT):
                while self.said.count(what) < times:
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:
            raise AssertionError(f"the client said {what!r} {self.said.count(what)} times, not {times}") from None

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            there, away = await asyncio.open_connection(*self._to)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, away}
        for pump in (self._ask(reader, away, writer), self._answer(there, writer, away)):
            task = asyncio.create_task(pump)
            self._pumps.add(task)
            task.add_done_callback(self._pumps.discard)

    async def _ask(
        self, client: asyncio.StreamReader, server: asyncio.StreamWriter, back: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await client.read(65536):
                self.said += data
                self._more.set()
                await self._flows.wait()
                reply = next((reply for asked, reply in self.replies.items() if asked in data), None)
                if reply is None:
                    server.write(data)
                else:
                    back.write(reply.replace(b"TAG", data.split(b" ", 1)[0]))
        server.transport.abort()

    async def _answer(
        self, server: asyncio.StreamReader, client: asyncio.StreamWriter, away: asyncio.StreamWriter
    ) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while data := await server.read(65536):
                await self._flows.wait()
                passed += len(data)
                if self.cut_every and passed > self.cut_every:
                    break
                if self.cut_after and self.cut_after in data:
                    client.write(data[: data.index(self.cut_after)])
                    with contextlib.suppress(OSError):
                        await client.drain()
                    self.cut_after = b""
                    break
                if self.hold_after and self.hold_after in data:
                    self._flows.clear()
                    await self._flows.wait()
                client.write(data)
        client.close()
        away.transport.abort()


def _mail_owner() -> tuple[int, int]:
    """Give who owns the mail: Dovecot never touches root's."""
    if os.geteuid() != 0:
        return os.geteuid(), os.getegid()
    entry = pwd.getpwnam("mail")
    return entry.pw_uid, entry.pw_gid


def _group_name(gid: int) -> str:
    import grp

    return grp.getgrgid(gid).gr_name


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _greets(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=LIMIT) as there:
            return there.recv(64).startswith(b"* OK")
    except OSError:
        return False


def _die_with_parent() -> None:
    # prctl(PR_SET_PDEATHSIG): a run that is killed leaves no server behind. Linux only; elsewhere it may.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)
