"""The keys of this instance, in the file `instance.key`: one base64 line a key, the first one signs."""

from __future__ import annotations

import base64
import binascii
import secrets
from pathlib import Path

from pydantic import SecretBytes

from .errors import Fault, SettingsError

_KEY_BYTES = 32


def new_instance_key() -> str:
    """Make a line for the file `instance.key`."""
    return base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()


def read_instance_keys(path: Path) -> tuple[SecretBytes, ...]:
    """Read the keys of this instance: the first one signs, all are accepted. Errors: `SettingsError`."""
    keys = []
    try:
        if path.stat().st_mode & 0o077:
            raise SettingsError(str(path), [Fault("the file", f"others can read it; type: chmod 600 {path}")])
        lines = path.read_text("ascii").split()
        keys = [base64.b64decode(line, validate=True) for line in lines]
    except OSError as error:
        fault = Fault("the file", f"cannot be read: {(error.strerror or '').lower()}; talkwire init makes one")
        raise SettingsError(str(path), [fault]) from None
    except (binascii.Error, UnicodeDecodeError):
        keys = []
    if not keys or any(len(key) != _KEY_BYTES for key in keys):
        raise SettingsError(str(path), [Fault("the file", "one key a line: 32 bytes in base64")])
    return tuple(SecretBytes(key) for key in keys)
