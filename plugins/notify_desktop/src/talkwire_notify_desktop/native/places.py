"""What the client keeps on the machine: the sign-in, and what it last knew.

Source: XDG Base Directory Specification 0.8.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import stat
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from talkwire import TalkwireError

from .cards import Able

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]
_locks: Any = fcntl  # None: this system has no such locks

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class SignInError(TalkwireError):
    """The client cannot go on as who it is signed in, or is not: a person must type something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """As whom, where."""

    url: str  # of the server, without a slash at the end
    key: str = field(repr=False)
    surface: str  # the same after each start
    device: str  # a name for people: this machine's
    recipient: str = ""
    page: str = ""  # where a click leads, with {conversation} in it; empty: nowhere


@dataclass(frozen=True, slots=True)
class Known:
    """What a running client last knew of itself."""

    pid: int
    trouble: str  # why it is not connected; empty: it is
    able: Able

    @property
    def connected(self) -> bool:
        return not self.trouble


def server(url: str) -> str:
    """Give a server's address in its normal form. Errors: `SignInError`."""
    parts = urlsplit(url.strip())
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise SignInError(f'"{url}" is no address of a server; it looks like https://talk.example.org')
    if parts.username or parts.password or parts.query or parts.fragment:
        raise SignInError("the address holds more than the server: leave out what stands before @, and after ? or #")
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise SignInError(f"{url} is not encrypted, and the key would be read on the way: use https://{parts.netloc}")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def page(address: str) -> str:
    """Check where a click shall lead. Errors: `SignInError`."""
    if address and (urlsplit(address).scheme not in {"http", "https"} or not urlsplit(address).hostname):
        raise SignInError(
            f'"{address}" is no address of a page; it looks like https://crm.example.org/c/{{conversation}}'
        )
    return address


def new(url: str, key: str) -> SignIn:
    """Make a sign-in for this machine; signing in again keeps its name as a surface."""
    before = _read(sign_in_file())
    surface = str(before.get("surface") or f"native-{secrets.token_hex(8)}")
    return SignIn(url=server(url), key=key, surface=surface, device=socket.gethostname()[:60] or "desktop")


def keep(signed: SignIn) -> None:
    """Write the sign-in, for this user alone."""
    _write(sign_in_file(), asdict(signed))


def signed_in() -> SignIn:
    """Give the sign-in. Errors: `SignInError`, saying what to type."""
    file = sign_in_file()
    if not file.exists():
        raise SignInError("nobody is signed in on this machine; type: talkwire desktop login https://YOUR-SERVER")
    if os.name == "posix" and stat.S_IMODE(file.stat().st_mode) & 0o077:
        raise SignInError(f"others on this machine can read the key in {file}; type: chmod 600 {file}")
    told = _read(file)
    try:
        return SignIn(**{name: str(told[name]) for name in ("url", "key", "surface", "device", "recipient", "page")})
    except KeyError as error:
        raise SignInError(f"{file} is damaged; sign in again: talkwire desktop login https://YOUR-SERVER") from error


def sign_out() -> bool:
    """Forget the sign-in; say whether there was one."""
    there = sign_in_file().exists()
    sign_in_file().unlink(missing_ok=True)
    known_file().unlink(missing_ok=True)
    return there


def note(known: Known) -> None:
    """Write what the running client knows, for `talkwire desktop status`."""
    with contextlib.suppress(OSError):  # a full disk must not end the client
        _write(known_file(), asdict(known))


def noted() -> Known | None:
    """Read what the client that runs now knows; None: none runs, or it has written nothing yet."""
    if not is_running():
        return None
    told = _read(known_file())
    try:
        return Known(told["pid"], told["trouble"], Able(**told["able"]))
    except (KeyError, TypeError):
        return None


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Be the only client of this user. Errors: `SignInError` where another runs."""
    if _locks is None:
        yield
        return
    _folder(_lock_file().parent)
    descriptor = os.open(_lock_file(), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            _locks.flock(descriptor, _locks.LOCK_EX | _locks.LOCK_NB)
        except BlockingIOError as error:
            raise SignInError("it runs already on this machine; see: talkwire desktop status") from error
        known_file().unlink(missing_ok=True)
        yield
    finally:
        os.close(descriptor)


def is_running() -> bool:
    """Say whether a client of this user runs now."""
    if _locks is None:
        return known_file().exists()
    if not _lock_file().exists():
        return False
    descriptor = os.open(_lock_file(), os.O_RDWR | os.O_CLOEXEC)
    try:
        _locks.flock(descriptor, _locks.LOCK_SH | _locks.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def config_folder() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")


def state_folder() -> Path:
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")


def sign_in_file() -> Path:
    return config_folder() / "talkwire" / "desktop.json"


def known_file() -> Path:
    return state_folder() / "talkwire" / "desktop.json"


def _lock_file() -> Path:
    return state_folder() / "talkwire" / "desktop.lock"


def _folder(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def _read(file: Path) -> dict[str, Any]:
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _write(file: Path, told: dict[str, Any]) -> None:
    """Replace a file by one that only this user can read, at no moment otherwise."""
    _folder(file.parent)
    beside = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
            json.dump(told, out, indent=2)
        beside.replace(file)
    finally:
        beside.unlink(missing_ok=True)
