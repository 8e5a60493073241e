"""`talkwire demo --check`: a talk through each channel, of which only what the provider's side shows is believed."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import aiohttp

from ..model import State
from .scene import Player, Say

PATIENCE = 12.0  # seconds that one step of a check may take; a simulator's slow answer takes 5
_LOOK_EVERY = 0.05  # seconds
_EVIDENCE = 120  # characters of a text that are shown


class _Failed(Exception):
    """A talk did not go as it should."""


async def set_fault(players: Sequence[Player], fault: str, say: Say) -> None:
    """Turn a fault on at every simulator that has it."""
    for player in players:
        if fault not in player.simulator.faults:
            continue
        await player.simulator.fault(player.base_url, fault)
        say(f"  {player.account}: the fault {fault} is on")


async def check_all(
    players: Sequence[Player], api: str, key: str, say: Say, *, fault: str = "", patience: float = PATIENCE
) -> int:
    """Play a talk through each channel; gives the exit code.

    A fault that Talkwire heals (a slow answer, reports in the wrong order) fails nothing: the talk came through.
    """
    failed = 0
    in_spite = f", in spite of the fault {fault}" if fault else ""
    headers = {"Authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=patience)) as session:
        for player in players:
            say(f"{player.account}: {player.simulator.title}")
            try:
                await _Talk(session, f"{api}/api/v1", player, say, patience).play()
            except _Failed as error:
                failed += 1
                say(f"  FAILED  {error}")
            except Exception as error:  # noqa: BLE001  a simulator may raise anything; the others are played all the same
                failed += 1
                say(f"  FAILED  {str(error) or type(error).__name__}")
    all_ = f"{len(players)} channel" + ("" if len(players) == 1 else "s")
    say(f"demo --check: {failed} of {all_} failed" if failed else f"demo --check: {all_} played, all is well{in_spite}")
    return 1 if failed else 0


class _Talk:
    """One talk: the customer writes, a program answers, the provider reports."""

    def __init__(self, session: aiohttp.ClientSession, api: str, player: Player, say: Say, patience: float) -> None:
        self._session = session
        self._api = api
        self._player = player
        self._say = say
        self._patience = patience
        self._word = secrets.token_hex(4)  # by which this talk's texts are known

    async def play(self) -> None:
        """Play it to its end. Errors: `_Failed`."""
        simulator, base_url = self._player.simulator, self._player.base_url
        before = len(await simulator.received(base_url))
        self._told("the customer writes", await simulator.play(base_url, f"Where is parcel {self._word}?"))

        conversation, message = await self._arrived()
        self._told("it is kept", f"conversation {conversation}, message {message['n']}, {message['external_id']}")

        text = f"Parcel {self._word} arrives today"
        accepted = await self._ask(
            "POST",
            f"/conversations/{conversation}/replies",
            json={"text": text},
            headers={"Idempotency-Key": f"demo-check-{self._word}"},
        )
        self._told("a program answers", f"202, message {accepted['message']}")

        goal = await self._goal()
        state, texts = await self._carried(accepted["message"], text, before, goal)
        self._told("the customer has it", f"the simulator shows “{_on_one_line(texts[0])}”, once")
        self._told(
            "it is reported",
            f"{state}; {goal.word} is the most that this channel reports" if goal < State.DELIVERED else state,
        )

    async def _arrived(self) -> tuple[str, Mapping[str, Any]]:
        """Wait for the customer's message; it must be there once."""
        async for _ in self._looking():
            page = await self._ask("GET", f"/conversations?account={self._player.account}&text={self._word}")
            for one in page["items"]:
                found = (await self._ask("GET", f"/conversations/{one['id']}/messages"))["items"]
                ours = [message for message in found if self._word in message["text"]]
                if len(ours) > 1:
                    raise _Failed(f"the customer wrote once, but {len(ours)} messages are kept")
                if ours:
                    return one["id"], ours[0]
        raise _Failed(f"the customer's message is not there after {self._patience:.0f} s{await self._ill()}")

    async def _goal(self) -> State:
        reports = (await self._ask("GET", f"/accounts/{self._player.account}/capabilities"))["reports"]
        return min(State[reports.upper()], State.DELIVERED)

    async def _carried(self, message: str, text: str, before: int, goal: State) -> tuple[str, list[str]]:
        """Wait until the provider's side shows the reply and the report has come back."""
        simulator, base_url = self._player.simulator, self._player.base_url
        state, texts, why = "", [], ""
        async for _ in self._looking():
            texts = (await simulator.received(base_url))[before:]
            found = await self._ask("GET", f"/messages/{message}")
            state, why = found["state"], _why(found)
            if len(texts) > 1:
                raise _Failed(f"one reply, but {len(texts)} texts reached the customer: {texts}")
            if state == "failed":
                break
            if texts and text not in texts[0]:
                raise _Failed(f"the customer got “{texts[0]}” instead of “{text}”")
            if texts and State[state.upper()] >= goal:
                return state, texts
        got = "the customer has it" if texts else "the simulator shows no reply at the customer's"
        raise _Failed(f"{got}; the reply is {state}{why}, but should be {goal.word}{await self._ill()}")

    async def _ill(self) -> str:
        """Say how the account does, where it does not work; empty: it works."""
        account = await self._ask("GET", f"/accounts/{self._player.account}")
        return "" if account["state"] == "working" else f"; the account is {account['state']}: {account['reason']}"

    async def _looking(self) -> AsyncIterator[None]:
        until = time.monotonic() + self._patience
        while time.monotonic() < until:
            yield
            await asyncio.sleep(_LOOK_EVERY)

    async def _ask(self, method: str, path: str, **given: Any) -> Any:
        async with self._session.request(method, self._api + path, **given) as answer:
            said = await answer.json(content_type=None)
            if answer.status >= 400:
                raise _Failed(
                    f"{method} {path}: {answer.status} {said.get('code', '')} {said.get('detail', '')}".rstrip()
                )
            return said

    def _told(self, what: str, evidence: str) -> None:
        self._say(f"  {what:<20} {evidence}")


def _on_one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _EVIDENCE else line[:_EVIDENCE].rsplit(" ", 1)[0] + " …"


def _why(message: Mapping[str, Any]) -> str:
    problems = [part["problem"]["text"] or part["problem"]["code"] for part in message["deliveries"] if part["problem"]]
    reason = problems[0] if problems else message["reason"]
    return f" ({reason})" if reason else ""
