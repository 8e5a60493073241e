"""A real nginx for the tests, with a text of ours, TLS and a certificate that lives as long as the test.

It listens on loopback, runs as whoever runs the tests, in one process that is stopped by its id.
"""

import asyncio
import contextlib
import ctypes
import datetime as dt
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.parts.wants import nginx_binary

LIMIT = 20.0  # seconds to wait for its port before saying that it never came
AROUND = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
events {{ worker_connections 256; }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {text}
}}
"""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate for one name, which nobody but the test believes."""

    chain: Path
    key: Path

    def believed(self) -> ssl.SSLContext:
        """Give what a client needs that believes it."""
        return ssl.create_default_context(cafile=self.chain)


def certificate(folder: Path, name: str) -> Certificate:
    """Make a certificate that names itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)
    me = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    names = x509.SubjectAlternativeName([x509.DNSName(name), x509.IPAddress(ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(me)
        .issuer_name(me)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=2))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    found = Certificate(folder / "fullchain.pem", folder / "privkey.pem")
    found.chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    found.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return found


def here(text: str, changes: Mapping[str, str]) -> str:
    """Give a configuration as it stands in a page, with this machine's ports and paths; each must stand in it."""
    for old, new in changes.items():
        if old not in text:
            raise ValueError(f"{old} does not stand in the configuration")
        text = text.replace(old, new)
    return text


@contextlib.asynccontextmanager
async def nginx(folder: Path, text: str, port: int) -> AsyncIterator[Path]:
    """Run nginx with a text for its http block until the block ends, and give its folder; `port` is one it opens."""
    config = folder / "nginx.conf"
    config.write_text(AROUND.format(folder=folder, text=text))
    process = await asyncio.create_subprocess_exec(
        nginx_binary() or "nginx",
        *("-p", str(folder), "-c", str(config), "-e", str(folder / "error.log")),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        preexec_fn=_die_with_parent,
    )
    try:
        async with asyncio.timeout(LIMIT):
            while not await _listens(port):
                if process.returncode is not None:
                    raise RuntimeError(f"nginx ended with {process.returncode}:\n{(folder / 'error.log').read_text()}")
                await asyncio.sleep(0.02)  # another program: there is nothing to wait for but its port
        yield folder
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        await process.wait()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def _die_with_parent() -> None:
    # prctl(PR_SET_PDEATHSIG): a run that is killed leaves no server behind. Linux only; elsewhere it may.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)
