"""What a channel makes of an envelope: items that can be stored, whatever `parse` does."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any, get_args

from ..channel import Channel
from ..errors import PLUGIN_MAY_RAISE, TalkwireError
from ..model import Change, Enclosed, Envelope, Inbound, Item, Original, Report, State, Unread
from ..store.texts import is_storable, storable

_ITEMS = get_args(Item)


def read(channel: Channel, envelope: Envelope) -> list[Item]:
    """Give what an envelope means; whatever `parse` does, the envelope is not lost."""
    items: list[Item] = []
    try:
        for item in channel.parse(envelope):
            items.append(item)  # noqa: PERF402  what came before an error counts
    except PLUGIN_MAY_RAISE as error:  # law 7: an unreadable item is kept and shown
        items.append(Unread(f"{type(error).__name__} in parse: {_short(error)}"))
    return checked(items)


def _short(error: BaseException) -> str:
    # Other errors may quote what they choked on.
    return str(error)[:200] if isinstance(error, TalkwireError) else "see the log at debug"


_TEXTS: dict[type, Callable[[Any], tuple[str, ...]]] = {
    Inbound: attrgetter(
        "text", "external_id", "address.value", "address.name", "author", "thread", "reply_to", "group", "subject"
    ),
    Report: attrgetter("external_id", "key", "code", "reason", "recipient"),
}
_MORE = attrgetter("blocks", "known_as", "follows", "cc", "answer_at")  # where more texts stand


def checked(items: Iterable[Any]) -> list[Item]:
    """Give items that can be stored; what `parse` should not have given becomes unread."""
    checked: list[Item] = []
    for item in items:
        try:
            checked.append(_check(item))
        except (TypeError, AttributeError, ValueError) as error:
            checked.append(Unread(f"parse gave a {type(item).__name__} that cannot be stored ({type(error).__name__})"))
    return checked


def _check(item: Any) -> Any:
    if not isinstance(item, _ITEMS):
        raise TypeError
    if (at := getattr(item, "at", None)) is not None and at.utcoffset() is None:
        raise ValueError("a time without its zone")
    if type(item) is Inbound and not item.external_id:
        raise ValueError("nothing tells it from the next one")
    if type(item) is Change and any(isinstance(block, Enclosed | Original) for block in item.blocks):
        raise TypeError  # nothing stores what lies in it
    if type(item) is Report:
        State(item.state)  # it may wait for its part in the store, and must not break that part's receipt
    texts = _TEXTS.get(type(item))
    if texts is None or (type(item) is Inbound and any(_MORE(item))):
        return storable(item)
    said = texts(item)
    if type(item) is Inbound and item.address.aliases:
        said += tuple(text for alias in item.address.aliases for text in (alias.kind, alias.value))
    # One look at what nearly all items are: nothing to change.
    return item if is_storable("".join(said)) else storable(item)
