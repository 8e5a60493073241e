"""How fast a bot may write, and what it is told when it writes faster.

Source: Bots FAQ, "My bot is hitting limits, how do I avoid this?": about 30 messages a second over all chats, no more
than one a second in one chat though short bursts pass, 20 a minute in a group. How long a burst may be is not
documented; here three more than one a second pass within five seconds.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass

from .refusal import Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What is allowed in any window of that length."""

    everywhere: tuple[int, float] = (30, 1.0)  # messages, seconds
    chat: tuple[int, float] = (8, 5.0)
    group: tuple[int, float] = (20, 60.0)


TELEGRAMS = Limits()


class Counter:
    """Counts what was written, in sliding windows."""

    def __init__(self, limits: Limits | None, now: Callable[[], float]) -> None:
        self._limits = limits  # None: as fast as it likes
        self._now = now
        self._times: defaultdict[str, deque[float]] = defaultdict(deque)

    def count(self, chat_id: int, *, is_group: bool, messages: int = 1) -> None:
        """Count messages to a chat. Errors: `Refusal` 429 with the seconds to wait; then nothing is counted."""
        if self._limits is None:
            return
        now = self._now()
        windows = [("", self._limits.everywhere), (str(chat_id), self._limits.chat)]
        if is_group:
            windows.append((f"group {chat_id}", self._limits.group))
        rests = [self._rest(key, *window, now, messages) for key, window in windows]
        if (rest := max(rests)) > 0:
            raise flood(math.ceil(rest))
        for key, _ in windows:
            self._times[key] += [now] * messages

    def _rest(self, key: str, most: int, span: float, now: float, messages: int) -> float:
        """Give the seconds until there is room again."""
        times = self._times[key]
        while times and times[0] <= now - span:
            times.popleft()
        over = len(times) + min(messages, most) - most
        return 0.0 if over <= 0 else times[over - 1] + span - now


def flood(seconds: int) -> Refusal:
    """Make a `429 Too Many Requests`."""
    return Refusal(429, f"Too Many Requests: retry after {seconds}", retry_after=seconds)
