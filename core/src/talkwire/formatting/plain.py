"""The plain twin of everything that can be said."""

from __future__ import annotations

from collections.abc import Sequence

from talkwire import model

from .dialect import PLAIN
from .flow import flow
from .parse import Break, Link, List, Node, Paragraph, Span, Styled, Words, as_written, linked, parse
from .writing import write


def plain(markdown: str) -> str:
    """Give Markdown as readable text: marks dropped, links with their address, tables as lines."""
    return write(flow(parse(markdown)), PLAIN)


def plain_text(said: model.Draft | Sequence[model.Block]) -> str:
    """Give blocks as readable text, for `Message.text` and previews."""
    blocks = said.blocks if isinstance(said, model.Draft) else said
    if not blocks:  # most of what comes in
        return ""
    texts = (write(flow(readable(block)), PLAIN) for block in blocks)
    return "\n\n".join(text for text in texts if text)


def readable(block: model.Block) -> tuple[Node, ...]:
    """Say a block in text: the form it takes where a channel has none of its own for it."""
    match block:
        case model.Text(markdown):
            return parse(markdown)
        case model.Media(caption=caption):
            return parse(caption) or as_written("[attachment]")
        case model.RemoteMedia(name=name, media_type=media_type, caption=caption):
            return as_written(f"[{name or media_type or 'attachment'}]\n{caption}")
        case model.Enclosed(name=name, media_type=media_type):
            return as_written(f"[{name or media_type or 'attachment'}]")
        case model.Original():
            return ()  # its message's text says what is new in it
        case model.Forward():
            return as_written("[forwarded message]")
        case model.Buttons(text=text, options=options) | model.Choices(text=text, options=options):
            return (*parse(text), *numbered(options))
        case model.Card(options=options):
            return (*headed(block), *numbered(options))
        case model.Location(latitude=latitude, longitude=longitude, name=name, address=address):
            point = f"{round(latitude, 6)}, {round(longitude, 6)}"
            url = f"https://www.openstreetmap.org/?mlat={latitude:.6f}&mlon={longitude:.6f}"
            place = ", ".join(part for part in (name, address) if part)
            return _lines((Words(place),) if place else (), (Link(url, (Words(point),)),))
        case model.Template(name=name, values=values, text=text):
            return as_written(text or ", ".join((name, *values)))
        case model.FormLink(label=label, url=url):
            return (Paragraph(linked(url, (Words(label),))),)
        case model.Choice(title=title):
            return as_written(title)
        case model.ContactCard(name=name, phones=phones, emails=emails):
            return as_written("\n".join((name, *phones, *emails)))
        case model.Other(text=text):
            return as_written(text)


def headed(card: model.Card) -> tuple[Node, ...]:
    """Give a card's title and text."""
    title = (Paragraph((Styled("bold", (Words(card.title),)),)),) if card.title else ()
    return (*title, *parse(card.text))


def numbered(options: Sequence[model.Option]) -> tuple[Node, ...]:
    """Give options as a list that can be answered with a number."""
    return (List(tuple((Paragraph(_option(option)),) for option in options), 1),) if options else ()


def _option(option: model.Option) -> tuple[Span, ...]:
    named = linked(option.url, (Words(option.title),))
    return (*named, Words(f": {option.description}")) if option.description else named


def _lines(*lines: Sequence[Span]) -> tuple[Node, ...]:
    spans: list[Span] = []
    for line in filter(None, lines):
        spans += [Break(), *line] if spans else line
    return (Paragraph(tuple(spans)),)
