"""No test leaves the machine: a look-up or a connection to the outside fails, and so does the test that tried.

An audit hook sees every connection of Python's own sockets, whoever makes it, in whichever thread.
It does not see libraries that bring their own (libpq, uvloop, child processes); those are given loopback addresses only.
"""

import ipaddress
import socket
import sys
from collections.abc import Iterator

import pytest

_tried: list[str] = []
_watching = False  # an audit hook cannot be taken away again, only told to look elsewhere


class OutsideError(OSError):
    """Raised into the code that wanted to leave the machine; the test itself fails afterwards."""


def _is_inside(host: object) -> bool:
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    if not isinstance(host, str) or host in {"", "localhost", socket.gethostname()} or host.endswith(".localhost"):
        return True  # None and "" mean this machine
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _is_number(host: object) -> bool:
    try:
        ipaddress.ip_address(host.decode() if isinstance(host, bytes) else str(host))
    except ValueError:
        return False
    return True


def _watch(event: str, args: tuple[object, ...]) -> None:
    if not _watching or event not in {"socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"}:
        return
    if event in {"socket.connect", "socket.sendto"}:
        address = args[1]
        host = address[0] if isinstance(address, tuple) else ""  # a path is a Unix socket
    else:
        host = args[0]
        if _is_number(host):
            return  # turning digits into an address asks nobody
        if str(host).endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")  # as it is everywhere (RFC 2606)
    if not _is_inside(host):
        _tried.append(f"{event} {host!s}")
        raise OutsideError(f"a test must not leave the machine: {event} {host!s}")


sys.addaudithook(_watch)


@pytest.fixture(autouse=True)
def _stay_on_this_machine() -> Iterator[None]:
    global _watching  # noqa: PLW0603  (see above)
    _tried.clear()
    _watching = True
    yield
    _watching = False
    if _tried:
        pytest.fail(f"this test wanted to leave the machine: {', '.join(_tried)}", pytrace=False)
