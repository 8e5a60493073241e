"""A flow of marked text as a dialect writes it, whole or any cut of it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence

from .dialect import Dialect
from .flow import Mark, Piece, with_address


class Run:
    """A stretch of the flow under one mark; what stands in it are runs again, or text."""

    __slots__ = ("end", "in_quote", "inner", "mark", "start", "text")

    def __init__(self, mark: Mark | None, pieces: Sequence[Piece], depth: int, start: int, *, in_quote: bool) -> None:
        self.mark = mark  # None: under no further one
        self.text = "".join([piece.text for piece in pieces])
        self.start, self.end = start, start + len(self.text)  # of all that is seen of the flow
        self.in_quote = in_quote
        self.inner: list[Run] = []
        if mark is not None and mark.kind not in _TEXTS:
            self.inner = runs(pieces, depth + 1, start, in_quote=in_quote or mark.kind == "quote")


_TEXTS = frozenset({"bullet", "code", "pre"})  # no mark counts in them


def runs(pieces: Sequence[Piece], depth: int = 0, start: int = 0, *, in_quote: bool = False) -> list[Run]:
    """Lay a flow out in runs, each as long as the mark at `depth` is the same."""
    found: list[Run] = []
    begin, mark = 0, _mark(pieces[0], depth) if pieces else None
    for number in range(1, len(pieces) + 1):
        following = _mark(pieces[number], depth) if number < len(pieces) else None
        if number == len(pieces) or following != mark:
            run = Run(mark, pieces[begin:number], depth, start, in_quote=in_quote)
            found.append(run)
            begin, mark, start = number, following, run.end
    return found


def _mark(piece: Piece, depth: int) -> Mark | None:
    return piece.marks[depth] if depth < len(piece.marks) else None


def write(pieces: Iterable[Piece], dialect: Dialect) -> str:
    """Write a flow in a dialect: every mark that is opened is closed."""
    return Writing(runs(list(pieces)), dialect).whole()


class Writing:
    """A flow in one dialect; a run that lies whole in several cuts is written once."""

    def __init__(self, flow: Sequence[Run], dialect: Dialect) -> None:
        self._flow = flow
        self._dialect = dialect
        self._written: dict[Run, str] = {}  # those that were asked for whole

    def whole(self) -> str:
        """Write all of it."""
        return "".join(map(self._whole, self._flow))

    def cut(self, start: int, end: int) -> str:
        """Write what lies between two positions of the flow's text; marks are closed and opened again."""
        return self._between(self._flow, start, end)

    def _between(self, flow: Sequence[Run], start: int, end: int) -> str:
        first, last = bisect_right(flow, start, key=_end), bisect_left(flow, end, key=_end)
        return "".join(
            self._whole(run) if start <= run.start and run.end <= end else self._part(run, start, end)
            for run in flow[first : last + 1]
        )

    def _whole(self, run: Run) -> str:
        written = self._written.get(run)
        if written is None:
            inner = "".join(map(self._whole, run.inner)) if run.inner else ""
            written = self._written[run] = self._marked(run, run.text, inner)
        return written

    def _part(self, run: Run, start: int, end: int) -> str:
        start, end = max(start, run.start), min(end, run.end)
        inner = self._between(run.inner, start, end) if run.inner else ""
        return self._marked(run, run.text[start - run.start : end - run.start], inner)

    def _marked(self, run: Run, text: str, inner: str) -> str:
        """Write a run of which `text` is seen; `inner` is what stands in it, in the dialect already."""
        dialect, mark = self._dialect, run.mark
        if mark is None:
            return dialect.escape(text)
        match mark.kind:
            case "bullet":
                return dialect.escape(mark.arg) if mark.arg else dialect.bullet
            case "code" | "pre":
                return self._code(mark, text, in_quote=run.in_quote)
            case "quote":
                return "\n".join([((dialect.quote or "") + line).rstrip() for line in inner.split("\n")])
            case "item":
                first, *others = inner.split("\n")
                return "\n".join([first, *(" " * int(mark.arg) + line if line else "" for line in others)])
            case "link":
                link, url = dialect.link, mark.arg
                return _around(
                    inner, lambda text: link(text, url) if link else with_address(text, dialect.escape(url)), dialect
                )
        pair = pair_of(mark.kind, dialect)
        return _around(inner, lambda text: pair[0] + text + pair[1], dialect) if pair else inner

    def _code(self, mark: Mark, text: str, *, in_quote: bool) -> str:
        dialect = self._dialect
        pair: tuple[str, str] | None = getattr(dialect, mark.kind)
        if pair is None:
            return dialect.escape(text)
        code = dialect.escape_code(text)
        if not code.strip():
            return code
        before, after = pair[0] + (dialect.language(mark.arg) if mark.arg and dialect.language else ""), pair[1]
        if mark.kind == "code" and dialect.only_at_borders:
            return _around(code, lambda text: before + text + after, dialect)
        if in_quote and not dialect.spans_lines:
            return "\n".join([before + line + after if line.strip() else line for line in code.split("\n")])
        return before + code + after


def _end(run: Run) -> int:
    return run.end


def pair_of(kind: str, dialect: Dialect) -> tuple[str, str] | None:
    """Give what stands before and after a text under a mark; None where the dialect has nothing for it."""
    if kind not in _PAIRS:
        return None
    pair: tuple[str, str] | None = getattr(dialect, kind)
    return pair or (dialect.bold if kind == "heading" else None)


_PAIRS = frozenset({"bold", "italic", "strike", "code", "pre", "heading"})


def _around(inner: str, wrap: Callable[[str], str], dialect: Dialect) -> str:
    # "*bold *" is not bold anywhere: spaces stay outside.
    if not dialect.spans_lines and "\n" in inner:
        return "\n".join([_around(line, wrap, dialect) for line in inner.split("\n")])
    text = inner.strip()
    if not text or is_hidden(text, dialect):
        return inner
    at = inner.index(text)
    return inner[:at] + wrap(text) + inner[at + len(text) :]


def is_hidden(text: str, dialect: Dialect) -> bool:
    """Say whether a mark would not be seen beside this text."""
    return bool(dialect.unseen) and dialect.unseen in (text[:1], text[-1:])
