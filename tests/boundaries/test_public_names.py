"""`talkwire/__init__.py` names all that plugins need, and nothing that is not there; nothing else is public."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import talkwire
from talkwire import hooks

ROOT = Path(__file__).resolve().parents[2]
INIT = Path(talkwire.__file__)
pytestmark = pytest.mark.skipif(not (ROOT / "examples").is_dir(), reason="looks at the checkout's own files")

# Each name is a promise to authors: who adds or takes one changes this list too, and says so in a note of `changes/`.
PROMISED = """
Accepted Account AccountBroken AccountNotice AccountState Acknowledge Action Actions Address AddressChanged Alias
Answer AnswerCode Answered Attachment AttachmentClass Batch Block Buttons Card Change ChangeKind Channel Choice Choices
Conflict Contact ContactCard Conversation Degradation Delivery Detail Dialect Direction Draft Drop DropTimer Enclosed Ended Envelope Fact
Features First Focus FormLink Forward HOOK_API Handed HistoryGone Hub Inbound Installation Item KeyReused Level Location MarkupRefused Media
MediaFeature Message NoAnswer NotFound NotSent NotThere Notice Notification Notifier NotifierFeatures Notify OnDesktop Option
OptionFeature Original Other Outgoing Outrun PLAIN Page Pages Part Payload Person Policy Preferences Principal Problem Query Rate Reachable Reaction ReadUpTo Receipt
Recipient Refuse Refused Rejected RemoteMedia RenderContext Rendered Reply Report Route Scope SendError SessionChange
SessionEnded SessionState SessionStep SetTimer Settings Shown Signal SignalKind SimulatedProvider Simulator State StoreDown StoredChange Style
Suppressed TalkwireError Template Text Told TooLarge Troubled TryLater Tx Typing TypingSignal Uncertain Unit
Unreachable Unread Unreadable Unsupported Wait Way WindowClosed WindowShut Withdraw auth draft each guarded_session hookimpl installation outcome
phone plain_text render retry_after segments split to_json
"""
# What stands in public signatures and is no name of ours, or an alias of plain values.
FOREIGN = {
    "Any",
    "Application",
    "BaseModel",
    "ClientSession",
    "Params",
    "Path",
    "Protocol",
    "Request",
    "Row",
    "Small",
    "StreamResponse",
    "Self",
}
TYPING = {
    "AsyncIterator",
    "Awaitable",
    "Callable",
    "ClassVar",
    "Iterable",
    "Iterator",
    "Literal",
    "Mapping",
    "None",
    "Sequence",
}


def test_the_list_is_the_one_that_was_promised():
    assert sorted(talkwire.__all__) == sorted(PROMISED.split())


def test_every_name_is_there():
    for name in talkwire.__all__:
        assert getattr(talkwire, name) is not None


def test_a_name_that_is_not_there_says_where_to_look():
    with pytest.raises(AttributeError, match="exports no Daemon; plugins use only what its __init__ names"):
        _ = talkwire.Daemon


def test_checkers_see_the_names_that_run():
    """Types come from the imports of the first half of the file, values from the table of the second."""
    nodes = [node for node in ast.walk(ast.parse(INIT.read_text())) if isinstance(node, ast.ImportFrom) and node.level]
    seen = {(f"{node.module or ''}", alias.name) for node in nodes for alias in node.names}
    assert seen == {("", "auth")} | {(module, name) for name, module in talkwire._MODULE_OF.items()}


def test_importing_it_costs_nothing():
    code = "import sys, talkwire; print([m for m in sys.modules if m.startswith('talkwire.')])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def words_of(function: object) -> set[str]:
    """Name the types in a signature."""
    annotations = getattr(function, "__annotations__", {})
    return {word for value in annotations.values() for word in re.findall(r"\b[A-Z][A-Za-z]+\b", str(value))}


def words_of_class(kind: type) -> set[str]:
    """Name the types in what is public of a class."""
    words = words_of(kind)
    for name, value in vars(kind).items():
        function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        if not name.startswith("_") and inspect.isfunction(function):
            words |= words_of(function)
    return words


def public_things() -> dict[str, set[str]]:
    """Map whatever authors meet to the types it speaks of."""
    specs = {name: words_of(value) for name, value in vars(hooks).items() if hasattr(value, "talkwire_spec")}
    values = {name: getattr(talkwire, name) for name in talkwire.__all__}
    return specs | {
        name: words_of_class(value) if isinstance(value, type) else words_of(value) for name, value in values.items()
    }


@pytest.mark.parametrize("name", sorted(public_things()))
def test_what_public_things_speak_of_is_public(name):
    missing = {word for word in public_things()[name] if len(word) > 1} - set(talkwire.__all__) - FOREIGN - TYPING
    assert missing == set(), f"{name} speaks of {missing}: export it, or speak of something else"


def test_a_type_that_is_not_public_would_be_noticed():
    class Leaky:
        def give(self) -> hooks.HookspecMarker: ...

    Leaky.give.__annotations__["return"] = "Daemon | None"
    assert words_of_class(Leaky) - set(talkwire.__all__) - TYPING == {"Daemon"}
