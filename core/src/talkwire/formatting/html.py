"""HTML that is safe to show."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

from . import parse as tree

HTML_LIMIT = 100_000  # characters; 20,000 nested elements of this size cost 0.8 s
_TAGS = re.findall(
    r"\w+",
    "a abbr b blockquote br caption center cite code col colgroup dd del div dl dt em font h1 h2 h3 h4 h5 h6 hr i ins kbd "
    "li ol p pre q s small span strike strong sub sup table tbody td tfoot th thead tr tt u ul",
)  # no img: a picture tells its sender that, when and where the mail was read
_ATTRIBUTES = {
    "a": {"href"}, "ol": {"start"}, "td": {"colspan", "rowspan"}, "th": {"colspan", "rowspan"}, "*": {"dir", "lang"},
}  # fmt: skip
_GONE_WITH_CONTENT = {"head", "noscript", "script", "style", "template", "title"}
_STYLES = {"bold": "strong", "italic": "em", "strike": "s"}


def html(markdown: str) -> str:
    """Give Markdown as HTML: everything escaped, links only to http, https, mailto and tel."""
    return _nodes(tree.parse(markdown))


def sanitise(foreign: str) -> str:
    """Give the harmless part of foreign HTML: text, structure and links; no pictures, styles, scripts.

    What goes beyond `HTML_LIMIT` characters is cut off, which the last paragraph says. Show it in a
    sandboxed frame all the same.
    """
    import nh3

    cut = len(foreign) > HTML_LIMIT
    clean = nh3.clean(
        foreign[:HTML_LIMIT].encode("utf-8", "replace").decode(),  # half a surrogate pair is no text
        tags=set(_TAGS),
        attributes=_ATTRIBUTES,
        url_schemes={"http", "https", "mailto", "tel"},
        clean_content_tags=_GONE_WITH_CONTENT,
        link_rel="noopener noreferrer nofollow",
    )
    return clean + "<p>[…]</p>" if cut else clean


def _nodes(nodes: Iterable[tree.Node]) -> str:
    return "".join(map(_node, nodes))


def _node(node: tree.Node) -> str:
    match node:
        case tree.Paragraph(spans):
            return f"<p>{_spans(spans)}</p>"
        case tree.Heading(level, spans):
            return f"<h{level}>{_spans(spans)}</h{level}>"
        case tree.CodeBlock(text):
            return f"<pre><code>{escape(text)}</code></pre>"
        case tree.Quote(nodes):
            return f"<blockquote>{_nodes(nodes)}</blockquote>"
        case tree.List(items, start):
            tag, head = ("ul", "<ul>") if start is None else ("ol", f'<ol start="{start}">')
            return head + "".join(f"<li>{_nodes(item)}</li>" for item in items) + f"</{tag}>"
        case tree.Table(rows):
            return (
                "<table>" + "".join(_row(row, "td" if number else "th") for number, row in enumerate(rows)) + "</table>"
            )
        case tree.Rule():
            return "<hr>"


def _row(cells: Iterable[Iterable[tree.Span]], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{_spans(cell)}</{tag}>" for cell in cells) + "</tr>"


def _spans(spans: Iterable[tree.Span]) -> str:
    return "".join(map(_span, spans))


def _span(span: tree.Span) -> str:
    match span:
        case tree.Words(text):
            return escape(text)
        case tree.Code(text):
            return f"<code>{escape(text)}</code>"
        case tree.Break():
            return "<br>"
        case tree.Styled(kind, inner):
            return f"<{_STYLES[kind]}>{_spans(inner)}</{_STYLES[kind]}>"
        case tree.Link(url, inner):
            return f'<a href="{escape(url)}" rel="noopener noreferrer nofollow">{_spans(inner)}</a>'
