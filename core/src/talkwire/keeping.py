"""Small durable values of accounts; the secret ones are sealed with the instance key."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import SecretBytes

from .errors import TalkwireError
from .store import Store, Tx

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

_LIMIT = 64 * 1024  # bytes of one value
_PUT = """
    INSERT INTO keep (account, name, value, sealed) VALUES (:account, :name, :value, :sealed)
    ON CONFLICT (account, name) DO UPDATE SET value = excluded.value, sealed = excluded.sealed
"""
_GET = "SELECT value, sealed FROM keep WHERE account = :account AND name = :name"


class Keeper:
    """Keeps values for accounts. `keys` are those of the instance: the first seals, all open."""

    def __init__(self, store: Store, keys: Sequence[SecretBytes]) -> None:
        self._store = store
        self._keys = tuple(keys)

    async def keep(self, account: str, name: str, value: str, *, secret: bool) -> None:
        """Keep a value; committed when this returns."""
        if len(value.encode()) > _LIMIT:
            raise ValueError(f"a kept value has at most {_LIMIT} bytes")
        text = self._box().encrypt(value.encode()).decode() if secret else value
        await self._store.write(_put, (account, name, text, int(secret)))

    async def kept(self, account: str, name: str) -> str:
        """Give a kept value, empty where there is none. Errors: `TalkwireError` if no key opens it."""
        row = await self._store.read(lambda query: query.one(_GET, {"account": account, "name": name}))
        if row is None:
            return ""
        if not row[1]:
            return str(row[0])
        from cryptography.fernet import InvalidToken

        try:
            return self._box().decrypt(row[0].encode()).decode()
        except InvalidToken:
            raise TalkwireError(
                f'account "{account}": no instance key opens "{name}"; put the old key back into instance.key'
            ) from None

    def _box(self) -> MultiFernet:
        from cryptography.fernet import Fernet, MultiFernet

        if not self._keys:
            raise TalkwireError("there is no instance key; type: talkwire init")
        return MultiFernet([Fernet(base64.urlsafe_b64encode(key.get_secret_value())) for key in self._keys])


def _put(tx: Tx, items: Sequence[tuple[str, str, str, int]]) -> Sequence[None]:
    in_order: Sequence[tuple[str, str, str, int]] = sorted(items, key=lambda item: item[:2])
    tx.many(_PUT, in_order)  # of one name the last one holds
    return [None] * len(items)
