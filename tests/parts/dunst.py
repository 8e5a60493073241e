"""A real Linux desktop for the tests: dunst on a screen in memory, with a session bus of its own.

The bus starts nothing by itself: Debian's dunst would be started by whoever calls it, and "nobody shows notifications"
could not be tested. dunst notes each notification that it draws, so a test reads what was on the screen; its buttons are
pressed as a person does, by dunst's own menu.

    client under test ──D-Bus──▶ dunst ──▶ Xvfb      dunstctl ──D-Bus──▶ dunst (press, click, close)

Sources: dunst(1), dunst(5), dunstctl(1) of 1.9; dbus-daemon(1); Xvfb's -displayfd. Run with Debian 12's.
"""

import json
import os
import re
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

LIMIT = 20.0  # seconds to wait for what a test expects, before saying that it never came

BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={folder}/bus</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""
DUNSTRC = """
[global]
    width = (280, 420)
    height = 400
    origin = top-right
    offset = 24x24
    notification_limit = 6
    separator_height = 1
    separator_color = "#c9ced6"
    padding = 14
    horizontal_padding = 16
    text_icon_padding = 14
    frame_width = 1
    frame_color = "#c9ced6"
    corner_radius = 10
    font = Sans 11
    line_height = 3
    markup = full
    format = "<b>%s</b>\\n%b"
    show_indicators = no
    icon_position = left
    min_icon_size = 40
    max_icon_size = 40
    sort = no
    idle_threshold = 0
    history_length = 50
    stack_duplicates = false
    dmenu = {folder}/menu
    browser = /bin/false
    mouse_left_click = do_action, close_current
[urgency_low]
    background = "#ffffff"
    foreground = "#1d2430"
    timeout = 10
[urgency_normal]
    background = "#ffffff"
    foreground = "#1d2430"
    timeout = 0
[urgency_critical]
    background = "#ffffff"
    foreground = "#1d2430"
    frame_color = "#1f6feb"
    timeout = 0
[note_what_is_drawn]
    summary = "*"
    script = {folder}/drawn
"""
DARK = {"#ffffff": "#1d2430", "#1d2430": "#e6eaf0", "#c9ced6": "#3a4352"}  # light → dark
# dunst runs it for each notification that it draws, with what it draws in the environment (dunst(5), "script").
DRAWN = """#!/bin/sh
umask 077
new="$(mktemp "{folder}/cards/.XXXXXX")"
printf '%s\\n%s\\n%s\\n%s' "$DUNST_ID" "$DUNST_URGENCY" "$DUNST_SUMMARY" "$DUNST_BODY" >"$new"
mv "$new" "{folder}/cards/$(date +%s%N)-$DUNST_ID"
"""
# dunst's menu of actions: its lines go to the program, which says the line that was chosen (dunst(5), "dmenu").
MENU = """#!/bin/sh
cat >"{folder}/menu.new"
mv "{folder}/menu.new" "{folder}/menu.seen"
grep -m1 -F -- "$(cat "{folder}/menu.pick")" "{folder}/menu.seen"
"""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A notification as dunst drew it."""

    id: int  # dunst's own
    urgency: str
    title: str
    body: str


class Desktop:
    """A screen, a bus, and dunst, which a test may stop and start again."""

    def __init__(self, *, is_dark: bool = False) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="desktop-"))
        self.folder.chmod(0o755)
        (self.folder / "cards").mkdir()
        self.address = f"unix:path={self.folder}/bus"
        self.display = ""
        self._screen: subprocess.Popen[bytes] | None = None
        self._bus: subprocess.Popen[bytes] | None = None
        self._dunst: subprocess.Popen[bytes] | None = None
        for name, text in (("bus.conf", BUS), ("dunstrc", DUNSTRC), ("drawn", DRAWN), ("menu", MENU)):
            if is_dark:
                text = re.sub(r"#[0-9a-f]{6}", lambda found: DARK.get(found[0], found[0]), text)  # noqa: PLW2901
            file = self.folder / name
            file.write_text(text.replace("{folder}", str(self.folder)))
            file.chmod(0o755)

    # parts, each by its own process id

    def start(self) -> None:
        self.start_screen()
        self.start_bus()
        self.start_dunst()

    def stop(self) -> None:
        for process in (self._dunst, self._bus, self._screen):
            _end(process)
        shutil.rmtree(self.folder, ignore_errors=True)

    def start_screen(self) -> None:
        reading, writing = os.pipe()
        try:  # Xvfb finds a free number and writes it, so that workers never meet
            self._screen = subprocess.Popen(
                ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1024x600x24", "-nolisten", "tcp"],
                pass_fds=(writing,),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            os.close(writing)
            self.display = ":" + _line(reading, "Xvfb never said its number")
        finally:
            os.close(reading)

    def start_bus(self) -> None:
        (self.folder / "bus").unlink(missing_ok=True)
        self._bus = subprocess.Popen(
            ["dbus-daemon", f"--config-file={self.folder}/bus.conf", "--nofork", "--nopidfile", "--nosyslog"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        _until((self.folder / "bus").exists, "the bus never opened its socket")

    def stop_bus(self) -> None:
        self.stop_dunst()
        _end(self._bus)
        self._bus = None
        (self.folder / "bus").unlink(missing_ok=True)

    def start_dunst(self) -> None:
        for card in (self.folder / "cards").iterdir():
            card.unlink()
        self._dunst = subprocess.Popen(
            ["dunst", "-conf", str(self.folder / "dunstrc")],
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        _until(lambda: self._says("count", "displayed") is not None, "dunst never answered on its bus")

    def stop_dunst(self) -> None:
        _end(self._dunst)
        self._dunst = None

    def mend(self) -> None:
        """Start again what a test stopped."""
        if self._bus is None:
            self.start_bus()
        if self._dunst is None:
            self.start_dunst()

    # what is on the screen

    @property
    def environment(self) -> dict[str, str]:
        """Give the environment of a program on this desktop."""
        return {**os.environ, "DISPLAY": self.display, "DBUS_SESSION_BUS_ADDRESS": self.address}

    @property
    def drawn(self) -> list[Drawn]:
        """Give all that dunst has drawn since it started, oldest first."""
        found = []
        for file in sorted((self.folder / "cards").iterdir()):
            if file.name.startswith("."):
                continue
            number, urgency, title, body = file.read_text().split("\n", 3)
            found.append(Drawn(int(number), urgency, title, body))
        return found

    @property
    def count(self) -> int:
        """Say how many can be seen now."""
        return int(self._says("count", "displayed") or 0)

    @property
    def menu(self) -> list[str]:
        """Give the buttons of all that can be seen, as dunst's menu had them when it was last opened."""
        return (self.folder / "menu.seen").read_text().splitlines()

    @property
    def closed(self) -> list[str]:
        """Give the titles of all that was closed, newest first."""
        told = json.loads(self._says("history") or "{}")
        return [entry["summary"]["data"] for entry in told.get("data", [[]])[0]]

    # what a person does

    def press(self, label: str) -> None:
        """Press a button, by its label; its notification was handed to dunst before.

        dunst may not have drawn it yet. A menu without the label presses nothing, and is opened again.
        """
        seen = self.folder / "menu.seen"
        (self.folder / "menu.pick").write_text(label)
        ends = time.monotonic() + LIMIT
        while time.monotonic() < ends:
            _until(lambda: self.count > 0, "dunst shows nothing that could be pressed")
            seen.unlink(missing_ok=True)
            self._says("context")
            _until(seen.exists, "dunst never opened its menu")
            if label in seen.read_text():
                return
        pytest.fail(f"no button is called {label}; there are: {', '.join(self.menu)}")

    def click(self) -> None:
        """Click the body of the newest."""
        self._says("action", "0")

    def close(self) -> None:
        """Close the newest, as its cross does."""
        self._says("close")

    def clear(self) -> None:
        """Close all, and forget what was drawn."""
        self._says("close-all")
        self._says("history-clear")
        for card in (self.folder / "cards").iterdir():
            card.unlink()

    def paint(self, colours: str) -> None:
        """Paint the ground from the top to the bottom: `#e8edf5-#cfd9e8`."""
        words = ["display", "-window", "root", "-size", "1024x600", f"gradient:{colours}"]
        # It ends with 1 when it has painted (ImageMagick 6.9.11).
        subprocess.run(words, env=self.environment, check=False, timeout=LIMIT, capture_output=True)

    def screenshot(self, file: Path, crop: str = "") -> None:
        """Take a picture of the screen."""
        words = ["import", "-window", "root", *(["-crop", crop, "+repage"] if crop else []), str(file)]
        subprocess.run(words, env=self.environment, check=True, timeout=LIMIT, capture_output=True)

    def _says(self, *words: str) -> str | None:
        done = subprocess.run(
            ["dunstctl", *words], env=self.environment, capture_output=True, text=True, check=False, timeout=LIMIT
        )
        return done.stdout.strip() if done.returncode == 0 else None


@pytest.fixture(scope="module")
def one_desktop() -> Iterator[Desktop]:
    made = Desktop()
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def desktop(one_desktop: Desktop, monkeypatch: pytest.MonkeyPatch) -> Desktop:
    """Give a desktop with nothing on it; programs of the test are on it. One serves a whole module."""
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", one_desktop.address)
    monkeypatch.setenv("DISPLAY", one_desktop.display)
    one_desktop.mend()
    one_desktop.clear()
    return one_desktop


def _end(process: subprocess.Popen[bytes] | None) -> None:
    if process is None:
        return
    process.terminate()
    try:
        process.wait(LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _until(is_so: Callable[[], bool], otherwise: str) -> None:
    ends = time.monotonic() + LIMIT
    while not is_so():
        if time.monotonic() > ends:
            pytest.fail(otherwise)
        time.sleep(0.02)


def _line(reading: int, otherwise: str) -> str:
    """Read one line from a pipe, and wait no longer than the limit for it."""
    text = b""
    while not text.endswith(b"\n"):
        if not select.select([reading], [], [], LIMIT)[0]:
            pytest.fail(otherwise)
        part = os.read(reading, 64)
        if not part:
            pytest.fail(otherwise)
        text += part
    return text.decode().strip()
