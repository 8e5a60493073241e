"""The power goes at a COMMIT: what it holds is lost, and whoever waits for it hears that the store is down."""

from __future__ import annotations

from typing import Any

from talkwire.errors import StoreDown
from talkwire.store import Store
from talkwire.testing.hub import WholeHub

WENT = "the power went"


class PowerCut:
    """Cuts the next COMMITs of a store, those of transactions that ran a statement with `at` in it."""

    def __init__(self, store: Store, wanted: int = 0, *, at: str = "") -> None:
        self.wanted = wanted
        self.at = at
        self.cuts = 0
        for writer in store._writers:
            connect = writer._connect
            writer._connect = lambda connect=connect: _Line(connect(), self)  # type: ignore[assignment, misc]
            if writer.driver is not None:
                writer.driver = _Line(writer.driver, self)  # type: ignore[assignment]

    def cuts_after(self, ran: list[str]) -> bool:
        """Say whether the power goes at the COMMIT of these statements."""
        if not self.wanted or not any(self.at in sql for sql in ran or [""]):
            return False
        self.wanted -= 1
        self.cuts += 1
        return True


class _Line:
    """A writer's connection."""

    def __init__(self, driver: Any, power: PowerCut) -> None:
        self._driver = driver
        self._power = power
        self._ran: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._driver, name)

    def begin(self) -> None:
        self._ran.clear()
        self._driver.begin()

    def execute(self, sql: str, params: Any = ()) -> Any:
        self._ran.append(sql)
        return self._driver.execute(sql, params)

    def many(self, sql: str, rows: Any) -> None:
        self._ran.append(sql)
        self._driver.many(sql, rows)

    def commit(self) -> None:
        if self._power.cuts_after(self._ran):
            self._driver.rollback()
            raise StoreDown(WENT)
        self._driver.commit()


async def run_through(hub: WholeHub) -> None:
    """Let everything happen that can happen now; on SQLite one COMMIT takes all that waits, what this waits for too."""
    while True:
        try:
            return await hub.run_until_idle()
        except StoreDown:
            continue
