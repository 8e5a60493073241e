"""Build the manual into build/docs: a warning fails it, and so does anything that a page would fetch from elsewhere.

make docs                       built, and where to look
tools/docs.py --picture FILE    … and a picture of its front page
"""

from __future__ import annotations

import asyncio
import html.parser
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "build" / "docs"
FRONT = OUT / "docs" / "index.html"
# What a browser fetches by itself; a link that somebody follows may lead anywhere.
_FETCHED = {("a", "ping"), ("audio", "src"), ("base", "href"), ("embed", "src"), ("form", "action"), ("iframe", "src")}
_FETCHED |= {("img", "src"), ("img", "srcset"), ("link", "href"), ("object", "data"), ("script", "src")}
_FETCHED |= {("source", "src"), ("source", "srcset"), ("video", "poster"), ("video", "src"), ("image", "href")}
_ELSEWHERE = re.compile(r"\s*(?:[a-z][a-z0-9+.-]*:)?//", re.IGNORECASE)
_IN_CSS = re.compile(r"(?:url\(\s*[\"']?|@import\s+[\"'])((?:https?:)?//[^\"')\s]+)", re.IGNORECASE)


def build() -> bool:
    """Build all pages; give whether nothing was wrong."""
    words = ["-b", "html", "-q", "-W", "--keep-going", "-j", "auto", "-c", "docs", "-d", "build/doctrees", ".", OUT]
    done = subprocess.run([sys.executable, "-m", "sphinx", *map(str, words)], cwd=ROOT, check=False)
    return done.returncode == 0


def remote(folder: Path) -> Iterator[str]:
    """Name what the pages of a folder would fetch from elsewhere."""
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".html":
            found = _Page(path.read_text("utf-8")).fetched
        elif path.suffix == ".css":
            found = _IN_CSS.findall(path.read_text("utf-8"))
        else:
            continue
        yield from (f"{path.relative_to(folder)}: {one}" for one in found if _ELSEWHERE.match(one))


class _Page(html.parser.HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self._in_style = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_style = tag == "style"
        given = dict(attrs)
        for name, value in attrs:
            if (tag, name) in _FETCHED and value and not (tag == "link" and given.get("rel") in {"canonical", "next"}):
                self.fetched.append(value)
            elif name == "style" and value:
                self.fetched += _IN_CSS.findall(value)

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.fetched += _IN_CSS.findall(data)

    def handle_endtag(self, tag: str) -> None:
        self._in_style = False


async def picture(file: Path) -> None:
    """Draw the front page."""
    from playwright.async_api import async_playwright

    sys.path.insert(0, str(ROOT))
    from tests.parts.chromium import launch_options

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(**launch_options())
        page = await browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme="light")
        await page.goto(FRONT.as_uri())
        await page.screenshot(path=file)
        await browser.close()


def main() -> int:
    started = time.monotonic()
    if not build():
        print("docs: Sphinx has warnings, each is named above")
        return 1
    if found := [*remote(OUT)]:
        print("docs: pages that would fetch something from elsewhere:\n" + "\n".join(f"  {one}" for one in found))
        return 1
    print(f"docs: {len([*OUT.rglob('*.html')])} pages in {time.monotonic() - started:.0f} s, nothing from elsewhere")
    print(f"      look at {FRONT.relative_to(ROOT)}")
    if sys.argv[1:2] == ["--picture"]:
        asyncio.run(picture(Path(sys.argv[2])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
