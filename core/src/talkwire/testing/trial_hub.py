"""A notifier on a whole hub, with its plugin's tables, routes and pages, while the kit calls it by hand."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import aiohttp

from ..actions import Notify
from ..hooks import hookimpl
from ..model import Notification
from ..notifier import Notifier, NotifierServices
from .counterparts import Counterpart, NotifierCase
from .lent import NOBODY, RECIPIENTS, LentMedium
from .services import Logs
from .stage import served, template, toml
from .verdict import Judge, said

if TYPE_CHECKING:
    from .hub import WholeHub

_ELSEWHERE = "kit"  # a medium that nobody has: the kit itself calls `deliver`


@contextlib.asynccontextmanager
async def on_a_hub(
    case: NotifierCase, counterpart: Counterpart, judge: Judge, logs: Logs | None
) -> AsyncIterator[tuple[Notifier, WholeHub, aiohttp.ClientSession]]:
    """Run a whole hub with the plugin, and give the notifier that it made."""
    from ..api import make_app
    from .hub import whole_hub

    plugin = f"notify_{case.notifier.type}"
    made: list[Notifier] = []
    faults: list[Exception] = []
    text = f'[recipients.{NOBODY}]\nmedia = ["{_ELSEWHERE}"]\n'
    text += "".join(
        f'[recipients.{name}]\nemail = "{name}@example.org"\nmedia = ["{_ELSEWHERE}"]\n' for name in RECIPIENTS
    )
    text += f"[plugins]\nenabled = [{toml(plugin)}]\n"
    text += f"[plugins.{plugin}]\n" + "".join(
        f"{toml(k)} = {toml(v)}\n" for k, v in case.pointed_at(counterpart).items()
    )
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="talkwire-kit-")))
        plugins = {plugin: _plugin(case, made, faults, logs)}
        hub = await stack.enter_async_context(whole_hub(text, folder, template=template(), plugins=plugins))
        await hub.run_until_idle()
        if not made:
            raise judge.failure(
                "__init__",
                "NotifierCase.settings, on a whole hub",
                "the core could not make it; its log names the kind of the error",
                "name the module with the plugin's hooks in NotifierCase.plugin; __init__ takes settings and services",
            )
        for fault in faults:
            raise judge.failure(
                "open",
                "NotifierCase.settings, on a whole hub",
                f"it raised {said(fault)}",
                "open with a counterpart that is up",
            ) from fault
        client = await stack.enter_async_context(served(make_app(hub.daemon)))
        yield made[0], hub, client


def _plugin(case: NotifierCase, made: list[Notifier], faults: list[Exception], logs: Logs | None) -> ModuleType:
    """Make a plugin of the hooks of the author's, whose notifier tells the kit instead of the core."""

    def begin(self: Notifier, settings: Any, services: NotifierServices) -> None:
        lent = LentMedium(self.type, clock=services.clock, logs=logs, core=services)
        case.notifier.__init__(self, settings, lent)
        made.append(self)

    async def opens(self: Notifier) -> None:
        try:
            await case.notifier.open(self)
        except Exception as error:
            faults.append(error)
            raise

    told = type(case.notifier.__name__, (case.notifier,), {"__init__": begin, "open": opens})
    plugin = ModuleType(f"notify_{case.notifier.type}")
    hooks = {name: thing for name in dir(case.plugin) if hasattr(thing := getattr(case.plugin, name), "talkwire_impl")}
    vars(plugin).update(hooks, register_notifiers=hookimpl(lambda: [told]))
    return plugin


async def stored(hub: WholeHub, notification: Notification) -> str:
    """Store a notification that the core itself shows nowhere; gives its id."""
    asked = Notify(
        recipient=notification.recipient,
        kind=notification.kind,
        title=notification.title,
        text=notification.text,
        actions=notification.actions,
        details=notification.details,
        style=notification.style,
        conversation=notification.conversation,
        key=notification.id,
    )
    await hub.daemon.hub.of("kit").notify(asked)
    await hub.run_until_idle()
    [(id_,)] = await hub.rows("SELECT id FROM notification WHERE key = :key", key=notification.id)
    return str(id_)


__all__ = ["on_a_hub", "stored"]
