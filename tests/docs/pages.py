"""Pages that are executed: what stands in the comment above a block says what is done with it.

    <!-- run -->                      the block's commands, in bash, one after the other; the first that fails ends the test
    <!-- run, exit 78 -->             …, and the last one ends with this code
    <!-- run beside, until URL -->    … as processes of their own, until the page ends; goes on when the URL answers
    <!-- shows -->                    lines that the last commands printed, in this order; `…` is anything
    <!-- file NAME -->                the block is written into this file
    <!-- append NAME -->              … at its end
    <!-- from PATH -->                the block stands in this file of the repository
    <!-- scaffold PATH -->            … in this file of a new plugin called acme

A block without a comment must be marked `text`: a drawing, which nobody types.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import textwrap
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(
    r"^(?:<!-- (?P<order>.*?) -->\n)?(?P<dent> *)```(?P<kind>\w*)\n(?P<text>.*?)^ *```$", re.MULTILINE | re.DOTALL
)
_READY = 30.0  # seconds until a process that was started must answer
_STEP = 240.0  # seconds that the commands of one block may take


class PageFailed(AssertionError):
    """A page does not do what it says."""


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block of a page."""

    line: int
    order: str  # what stands in the comment above it; empty: nothing
    kind: str  # the word behind the fence
    text: str


def blocks(text: str) -> Iterator[Block]:
    """Find the fenced blocks of a page."""
    for found in _BLOCK.finditer(text):
        line = text.count("\n", 0, found.start("kind")) + 1
        yield Block(line, found["order"] or "", found["kind"], textwrap.dedent(found["text"]))


def other_ports(folder: Path, public: int, admin: int) -> None:
    """Let an instance listen where no other daemon of this machine does; who reads a page has none."""
    settings = next(path for path in (folder / "talkwire.toml", *folder.glob("*/talkwire.toml")) if path.exists())
    text = settings.read_text()
    assert "127.0.0.1:8080" in text
    settings.write_text(text.replace("127.0.0.1:8080", f"127.0.0.1:{public}").replace(":9464", f":{admin}"))


@dataclass
class Reader:
    """Somebody who reads a page and does what it says, in a folder."""

    folder: Path
    env: Mapping[str, str]
    changes: Mapping[str, str] = field(default_factory=dict)  # text of the page → what this machine has instead
    output: str = ""  # of the last commands
    took: list[tuple[str, float]] = field(default_factory=list)  # (first command, seconds)
    after: dict[str, Callable[[], None]] = field(default_factory=dict)  # done when a block with these words has run
    _beside: list[tuple[subprocess.Popen[bytes], Path]] = field(default_factory=list)

    def read(self, page: Path) -> None:
        """Do all that a page says. Errors: `PageFailed`, naming page and line."""
        try:
            for block in blocks(page.read_text("utf-8")):
                try:
                    self._do(block)
                except PageFailed as failed:
                    logs = "".join(f"\n--- {log.name}\n{log.read_text()[-3000:]}" for _, log in self._beside)
                    raise PageFailed(f"{page}:{block.line}: {failed}{logs}") from None
        finally:
            self._stop()

    def _do(self, block: Block) -> None:
        text = self._here(block.text)
        order, _, rest = block.order.partition(" ")
        match order:
            case "run":
                self._run(text, rest)
            case "run,":
                self._run(text, rest)
            case "shows":
                self._shows(text)
            case "file":
                self._write(rest, text, "w")
            case "append":
                self._write(rest, text, "a")
            case "from" | "scaffold" | "":
                pass  # `test_pages` looks at these
            case _:
                raise PageFailed(f"nobody knows how to do {block.order!r}")

    def _here(self, text: str) -> str:
        if not self.changes:
            return text
        # In one go: what stands there instead may look like something else of the page, as the port 28080 does.
        words = re.compile("|".join(map(re.escape, self.changes)))
        return words.sub(lambda found: self.changes[found[0]], text)

    def _write(self, name: str, text: str, mode: str) -> None:
        target = self.cwd / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open(mode, encoding="utf-8") as file:
            file.write(text)

    @property
    def cwd(self) -> Path:
        """Say where the last commands left us."""
        kept = self.folder / ".cwd"
        return Path(kept.read_text().strip()) if kept.exists() else self.folder

    def _script(self, text: str) -> str:
        kept, cwd = self.folder / ".env", self.folder / ".cwd"
        begin = f"[ ! -f {kept} ] || source {kept}\ncd {self.cwd}\nset -e\n"
        return f"{begin}{text}\nset +e\nexport -p > {kept}\npwd > {cwd}\n"

    def _run(self, text: str, how: str) -> None:
        if how.startswith("beside"):
            self._start(text, self._here(how.partition("until ")[2]))
            return
        wanted = int(how.rpartition(" ")[2]) if "exit" in how else 0
        started = time.monotonic()
        done = subprocess.run(
            ["bash", "-c", self._script(text)],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_STEP,
            check=False,
        )
        self.output = done.stdout
        self.took.append((text.splitlines()[0], time.monotonic() - started))
        if done.returncode != wanted:
            raise PageFailed(f"ended with {done.returncode} instead of {wanted}\n{text}\n{done.stdout[-4000:]}")
        for words, then in self.after.items():
            if words in text:
                then()

    def _start(self, text: str, url: str) -> None:
        log = self.folder / f"beside-{len(self._beside)}.log"
        with log.open("wb") as out:
            begin = self._script("").partition("set -e\n")[0]
            process = subprocess.Popen(
                ["bash", "-c", f"{begin}exec {text.strip()}"],
                cwd=self.folder,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._beside.append((process, log))
        started = time.monotonic()
        while not _answers(url):
            if process.poll() is not None:
                raise PageFailed(f"ended at once with {process.returncode}: {text}")
            if time.monotonic() - started > _READY:
                raise PageFailed(f"{url} did not answer within {_READY:g} s")
            time.sleep(0.05)  # a process of its own: there is nothing to wait for but its port
        self.took.append((text.splitlines()[0], time.monotonic() - started))

    def _shows(self, text: str) -> None:
        rest = re.sub(r"\x1b\[[0-9;]*m", "", self.output)
        for line in filter(None, (one.strip() for one in text.splitlines())):
            pattern = r"\s+".join(r"\S.*?".join(map(re.escape, word.split("…"))) for word in line.split())
            found = re.search(pattern.replace(r"\S.*?", ".*?"), rest)
            if found is None:
                raise PageFailed(f"the page shows {line!r}, and that is not in what was printed:\n{self.output}")
            rest = rest[found.end() :]

    def _stop(self) -> None:
        for process, _ in reversed(self._beside):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
        for process, _ in self._beside:
            try:
                process.wait(25)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except urllib.error.HTTPError:
        return True  # it speaks
    except OSError:
        return False
