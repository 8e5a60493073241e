"""The texts that Meta has approved for a business account: listed, kept, and filled in with values.

Source: Meta, "WhatsApp Business Account > Message Templates" and "Send message templates", v23.0, collected 2026-11-22.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pydantic import Field

from talkwire import AccountNotice, Item, Payload, Refused, TalkwireError, Template, Unreadable, Unsupported

from .abilities import TEMPLATE_BODY_LIMIT, TEMPLATE_CODE_LIMIT, TEMPLATE_HEADER_LIMIT
from .values import Json

if TYPE_CHECKING:
    from .channel import WhatsApp

KEPT = "templates"  # name under which they are kept, in pieces
_PIECE = 60_000  # bytes of one kept value; 64 kB fit
_PAGE = 100  # templates that one answer lists
_PAGES_MOST = 100
_EVERY = timedelta(hours=1)  # between two looks at Meta's list, for what no webhook told
_AGAIN_AFTER = timedelta(minutes=5)
_WITHIN = timedelta(seconds=20)  # for the whole list; the account is not open before
_NOT_SOONER = timedelta(seconds=10)  # whoever asks for a template that is not there does not make us ask each time
_NAMED_MOST = 20  # templates that an error names
_PLACE = re.compile(r"\{\{\s*(\w+)\s*\}\}")
# The Graph API refuses others: "Param text cannot have new-line/tab characters or more than 4 consecutive spaces".
_VALUE = re.compile(r"(?!.* {5})[^\n\t\r]*\S[^\n\t\r]*")
_MEDIA = ("image", "video", "document")
_BEYOND = {"carousel": "a carousel", "limited_time_offer": "a limited-time offer", "mpm": "a list of products",
           "spm": "a product", "catalog": "a catalogue", "order_details": "an order"}  # fmt: skip


class _Button(Payload):
    type: str
    text: str = ""
    url: str = ""


class _Component(Payload):
    type: str
    format: str = "TEXT"
    text: str = ""
    buttons: list[_Button] = Field(default_factory=list)


class _Listed(Payload):
    name: str = Field(min_length=1)
    language: str = Field(min_length=1)
    status: str
    category: str = ""
    components: list[_Component] = Field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A place of a template that takes a value."""

    where: str  # for a person: `body {{1}}`
    component: str  # header, body, button
    kind: str  # text, image, video, document, url, code
    place: str = ""  # what stands between the braces
    index: int = 0  # of the button


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A template as Meta lists it."""

    name: str
    language: str  # as Meta writes it, `en_US`
    status: str  # APPROVED, PENDING, REJECTED, PAUSED, DISABLED, …
    category: str = ""
    header: str = ""  # its text; of a header with a file the word for it: `image`
    header_is_file: bool = False
    body: str = ""
    footer: str = ""
    buttons: tuple[tuple[str, str, str], ...] = ()  # (type in lower case, text, url)
    beyond: str = ""  # what it holds that we cannot fill in, for a person; empty: nothing

    @property
    def slots(self) -> tuple[Slot, ...]:
        """Name the values that it takes, in the order in which they are given."""
        return tuple(self._slots())

    def _slots(self) -> Iterator[Slot]:
        if self.header_is_file:
            yield Slot(where=f"header ({self.header}, its https address)", component="header", kind=self.header)
        else:
            yield from _places("header", self.header)
        yield from _places("body", self.body)
        for index, (kind, text, url) in enumerate(self.buttons):
            if kind == "copy_code":
                yield Slot(where=f"button {index + 1} (code)", component="button", kind="code", index=index)
            elif _PLACE.search(url):
                yield Slot(
                    where=f"button {index + 1} ({text}, end of its address)",
                    component="button",
                    kind="url",
                    index=index,
                )

    def text(self, values: Sequence[str] = ()) -> str:
        """Write it as it is seen; without values its places stand as Meta writes them."""
        return "\n\n".join(filter(None, (self.filled_header(values), self.filled_body(values), self.footer)))

    def filled_header(self, values: Sequence[str]) -> str:
        """Write the text of its header with values; empty where it has none."""
        return "" if self.header_is_file else self._filled("header", self.header, values)

    def filled_body(self, values: Sequence[str]) -> str:
        """Write its body with values."""
        return self._filled("body", self.body, values)

    def _filled(self, component: str, text: str, values: Sequence[str]) -> str:
        pairs = zip(self.slots, values, strict=False)
        given = {slot.place: value for slot, value in pairs if (slot.component, slot.kind) == (component, "text")}
        return _PLACE.sub(lambda place: given.get(place[1], place[0]), text)

    def links(self, values: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Give its buttons as they are seen: text, and the address that they open, empty for none."""
        ends = {slot.index: value for slot, value in zip(self.slots, values, strict=False) if slot.kind == "url"}
        for index, (_, text, url) in enumerate(self.buttons):
            yield text, ends.get(index, "").join(_PLACE.split(url)[::2])

    def components(self, values: Sequence[str]) -> list[dict[str, Any]]:
        """Write the values as the API takes them."""
        found: list[dict[str, Any]] = []
        for slot, value in zip(self.slots, values, strict=True):
            parameter = _parameter(slot, value)
            if slot.component == "button":
                kind = "copy_code" if slot.kind == "code" else "url"
                found.append({"type": "button", "sub_type": kind, "index": str(slot.index), "parameters": [parameter]})
            elif found and found[-1]["type"] == slot.component:
                found[-1]["parameters"].append(parameter)
            else:
                found.append({"type": slot.component, "parameters": [parameter]})
        found += (_form(index) for index, (kind, _, _) in enumerate(self.buttons) if kind == "flow")
        return found


def _places(component: str, text: str) -> Iterator[Slot]:
    names = list(dict.fromkeys(_PLACE.findall(text)))
    if all(map(_is_number, names)):
        names.sort(key=int)
    for name in names:
        yield Slot(where=f"{component} {{{{{name}}}}}", component=component, kind="text", place=name)


def _is_number(place: str) -> bool:
    return place.isascii() and place.isdecimal()


def _parameter(slot: Slot, value: str) -> dict[str, Any]:
    if slot.kind in _MEDIA:
        return {"type": slot.kind, slot.kind: {"link": value}}
    if slot.kind == "code":
        return {"type": "coupon_code", "coupon_code": value}
    named = {"parameter_name": slot.place} if slot.place and not _is_number(slot.place) else {}
    return {"type": "text", **named, "text": value}


def _form(index: int) -> dict[str, Any]:
    """Name a button that opens a form: it takes no value, and Meta refuses a template whose form is not named (131009).

    Source: Meta's OpenAPI, "Send Flow Template Message"; juspay/clairvoyance#1128, 2026-09-09. The token comes back with
    what was filled in, and is not needed: the answer names the message.
    """
    action = {"type": "action", "action": {"flow_token": "unused"}}
    return {"type": "button", "sub_type": "flow", "index": str(index), "parameters": [action]}


def known(value: Any) -> Known:
    """Read one template as Meta lists it. Errors: `Unreadable`."""
    listed = _Listed.read(value)
    parts: dict[str, Any] = {}
    beyond = ""
    for component in listed.components:
        kind = component.type.lower()
        if kind == "header":
            shape = component.format.lower()
            if shape in _MEDIA:
                parts |= {"header": shape, "header_is_file": True}
            elif shape == "text":
                parts["header"] = component.text
            else:
                beyond = f"a header of the kind {shape}"
        elif kind in ("body", "footer"):
            parts[kind] = component.text
        elif kind == "buttons":
            parts["buttons"] = tuple((button.type.lower(), button.text, button.url) for button in component.buttons)
            beyond = beyond or next(
                (_BEYOND[b.type.lower()] for b in component.buttons if b.type.lower() in _BEYOND), ""
            )
        elif kind in _BEYOND:
            beyond = _BEYOND[kind]
    return Known(
        name=listed.name,
        language=listed.language,
        status=listed.status.upper(),
        category=listed.category,
        beyond=beyond,
        **parts,
    )


class Templates:
    """What an account knows of its templates; read at the start, looked at again every hour and when Meta tells of a change."""

    def __init__(self, channel: WhatsApp) -> None:
        self._channel = channel
        self._known: tuple[Known, ...] = ()
        self._listed = False  # Meta's list was read, now or before
        self._why = ""  # why it was not, the last time
        self._changed = asyncio.Event()
        self._ended = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None

    def __iter__(self) -> Iterator[Known]:
        return iter(self._known)

    # --- what is known ------------------------------------------------------------------------------

    def find(self, block: Template, *, language: str = "", position: int = 0) -> Known:
        """Give the template that a block names, whose values fit.

        Without a language it is the one of the reader's `language`, else the first that is approved.

        Errors: `Unsupported`, saying what there is instead.
        """

        def no(text: str) -> Unsupported:
            return Unsupported(f"Block {position + 1} cannot be sent: {text}.", block=position, kind="template")

        if not self._channel.settings.business_account_id:
            raise no(f"no templates are known: set accounts.{self._channel.account}.business_account_id")
        if not self._listed:
            raise no("Meta has not said yet which templates there are" + (f" ({self._why})" if self._why else ""))
        named = [one for one in self._known if one.name == block.name]
        if not named:
            self.changed()  # perhaps it is new
            raise no(f'there is no template "{block.name}"; {_there(one.name for one in self._known)}')
        if block.language:
            found = next((one for one in named if one.language == block.language), None)
            if found is None:
                raise no(f'"{block.name}" is not there in "{block.language}"; {_there(one.language for one in named)}')
        else:
            found = _preferred(named, language)
        if found.status != "APPROVED":
            self.changed()
            raise no(f'"{found.name}" ({found.language}) is {found.status} at Meta; only what is APPROVED can be sent')
        if found.beyond:
            raise no(f'"{found.name}" has {found.beyond}, which cannot be filled in')
        if fault := _fault(found, block.values):
            raise no(f'"{found.name}" ({found.language}) {fault}')
        return found

    # --- how it is learnt -----------------------------------------------------------------------------

    async def begin(self) -> None:
        """Take what was kept, ask Meta, and go on asking until `end`; a second time does nothing."""
        if not self._channel.settings.business_account_id or self._looking is not None:
            return
        self._ended.clear()
        await self._take_kept()
        good = await self._try()
        self._looking = asyncio.get_running_loop().create_task(self._look(good=good))

    async def end(self) -> None:
        """Ask no more."""
        self._ended.set()
        if (looking := self._looking) is not None:
            self._looking = None
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)

    def heard(self, item: Item) -> None:
        """Ask Meta again soon if this says that templates are not as they were."""
        if isinstance(item, AccountNotice) and item.code.startswith(("message_template_", "template_")):
            self.changed()

    def changed(self) -> None:
        """Ask Meta again soon: something may not be as it was."""
        self._changed.set()

    def take(self, templates: Iterable[Known]) -> None:
        """Know these from now on, and no others."""
        self._known, self._listed = tuple(templates), True

    async def refresh(self) -> None:
        """Ask Meta now, and keep what it says. Errors: as `fetched`."""
        self.take(await self.fetched())
        await self._keep()

    async def fetched(self) -> list[Known]:
        """Give Meta's list as it is now; what cannot be read of it is left out, and logged.

        Errors: leaves of `SendError`.
        """
        query = {"fields": "name,language,status,category,components", "limit": str(_PAGE)}
        found: list[Known] = []
        for _ in range(_PAGES_MOST):
            said = await self._page(query)
            found += self._readable(said.get("data"))
            after = _following(said)
            if not after:
                break
            query["after"] = after
        return found

    async def _page(self, query: Mapping[str, str]) -> Json:
        business = self._channel.settings.business_account_id
        try:
            return await self._channel.graph.get(f"{business}/message_templates", query)
        except Refused as no:
            raise Refused(
                f"Meta does not show us the templates of business_account_id {business} ({no}); compare it with WhatsApp "
                "Manager, API setup, and give the token the permission whatsapp_business_management",
                code=no.code,
            ) from no

    def _readable(self, values: Any) -> Iterator[Known]:
        for value in values if isinstance(values, list) else ():
            try:
                yield known(value)
            except Unreadable as error:
                self._channel.log.warning("a template cannot be read", where=str(error))

    async def _look(self, *, good: bool) -> None:
        clock = self._channel.clock
        while not self._ended.is_set():
            await clock.wait(self._changed, clock.now() + (_EVERY if good else _AGAIN_AFTER))
            self._changed.clear()
            good = await self._try()
            await clock.wait(self._ended, clock.now() + _NOT_SOONER)

    async def _try(self) -> bool:
        try:
            async with asyncio.timeout(_WITHIN.total_seconds()):
                await self.refresh()
        except (TalkwireError, TimeoutError) as error:  # what was known is still the best there is
            self._why = str(error)
            self._channel.log.warning("templates not listed", kind=type(error).__name__, error=self._why)
            return False
        return True

    async def _take_kept(self) -> None:
        try:
            head = await self._channel.kept(KEPT)
            pieces = [await self._channel.kept(name) for name in pieces_named_by(head)]
            if head:
                self.take(read_kept("".join(pieces)))
        except ValueError:  # another version wrote it: Meta is asked anyway
            self._channel.log.warning("kept templates cannot be read")

    async def _keep(self) -> None:
        pieces = in_pieces(self._known)
        for number, piece in enumerate(pieces):
            await self._channel.keep(f"{KEPT}:{number}", piece)
        await self._channel.keep(KEPT, json.dumps({"pieces": len(pieces)}))


def pieces_named_by(head: str) -> list[str]:
    """Give the names under which the pieces are kept; `head` is what is kept as `KEPT`. Errors: `ValueError`."""
    try:
        return [f"{KEPT}:{number}" for number in range(int(json.loads(head)["pieces"]))] if head else []
    except (TypeError, KeyError) as error:
        raise ValueError("no number of pieces") from error


def in_pieces(templates: Iterable[Known]) -> list[str]:
    """Write templates as text that is kept in pieces; ASCII, so that characters are bytes."""
    fields = Known.__slots__
    whole = json.dumps([{name: getattr(one, name) for name in fields if getattr(one, name)} for one in templates])
    return [whole[at : at + _PIECE] for at in range(0, len(whole), _PIECE)]


def read_kept(text: str) -> list[Known]:
    """Read what `in_pieces` wrote. Errors: `ValueError`, also for what another version wrote."""
    found = []
    try:
        for one in json.loads(text or "[]"):
            buttons = tuple((str(kind), str(said), str(url)) for kind, said, url in one.pop("buttons", ()))
            found.append(Known(buttons=buttons, **one))
    except (TypeError, AttributeError) as error:
        raise ValueError("no templates") from error
    return found


def _following(said: Json) -> str:
    """Give the cursor of the next page, empty where this was the last: its `next` holds the token, and is not followed."""
    paging = said.get("paging")
    if not isinstance(paging, dict) or not paging.get("next"):
        return ""
    cursors = paging.get("cursors")
    return str(cursors.get("after") or "") if isinstance(cursors, dict) else ""


def _preferred(named: Sequence[Known], language: str) -> Known:
    language = language.replace("-", "_")  # Meta writes `pt_BR`

    def rank(one: Known) -> tuple[bool, bool, bool]:
        return one.status != "APPROVED", one.language != language, one.language[:2] != language[:2]

    return min(named, key=rank)


def _there(names: Iterable[str]) -> str:
    all_ = sorted(set(names))
    more = f" and {len(all_) - _NAMED_MOST} more" if len(all_) > _NAMED_MOST else ""
    return f"there are: {', '.join(all_[:_NAMED_MOST])}{more}" if all_ else "there is none at all"


def _fault(template: Known, values: Sequence[str]) -> str:
    """Say why values do not fit a template; empty: they do."""
    slots = template.slots
    if len(slots) != len(values):
        takes = ", ".join(slot.where for slot in slots)
        many = f"{len(slots)} value{'s' if len(slots) != 1 else ''}"
        return f"takes {f'{many} ({takes})' if slots else 'no values'}, and {len(values)} {'is' if len(values) == 1 else 'are'} given"
    for slot, value in zip(slots, values, strict=True):
        if slot.kind in _MEDIA:
            if not re.fullmatch(r"https://\S+", value):
                return f"takes the https address of a file in its {slot.where}"
        elif not _VALUE.fullmatch(value):
            return f"takes one line of text for {slot.where}, without tabs and with four spaces in a row at most"
        elif (slot.kind == "code" or template.category == "AUTHENTICATION") and len(value) > TEMPLATE_CODE_LIMIT:
            return f"takes at most {TEMPLATE_CODE_LIMIT} characters for {slot.where}"
    if len(template.filled_header(values)) > TEMPLATE_HEADER_LIMIT:
        return f"has a header of more than {TEMPLATE_HEADER_LIMIT} characters with these values"
    if len(template.filled_body(values)) > TEMPLATE_BODY_LIMIT:
        return f"is longer than {TEMPLATE_BODY_LIMIT} characters with these values"
    return ""
