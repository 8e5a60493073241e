"""What plugins may import. Nothing else of this package is public.

Names are loaded when they are used: importing `talkwire` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import auth as auth
    from .actions import Action as Action
    from .actions import DropTimer as DropTimer
    from .actions import Notice as Notice
    from .actions import Notify as Notify
    from .actions import Reply as Reply
    from .actions import SetTimer as SetTimer
    from .actions import Signal as Signal
    from .actions import Withdraw as Withdraw
    from .api.principals import Principal as Principal
    from .api.principals import Scope as Scope
    from .channel import Answered as Answered
    from .channel import Channel as Channel
    from .channel import Payload as Payload
    from .channel import Route as Route
    from .channel import Settings as Settings
    from .channel import each as each
    from .channel import outcome as outcome
    from .channel import phone as phone
    from .channel import retry_after as retry_after
    from .cli.installed import Installation as Installation
    from .cli.installed import installation as installation
    from .errors import AccountBroken as AccountBroken
    from .errors import Conflict as Conflict
    from .errors import HistoryGone as HistoryGone
    from .errors import KeyReused as KeyReused
    from .errors import MarkupRefused as MarkupRefused
    from .errors import NoAnswer as NoAnswer
    from .errors import NotFound as NotFound
    from .errors import NotSent as NotSent
    from .errors import Outrun as Outrun
    from .errors import Refuse as Refuse
    from .errors import Refused as Refused
    from .errors import Rejected as Rejected
    from .errors import SendError as SendError
    from .errors import SessionEnded as SessionEnded
    from .errors import StoreDown as StoreDown
    from .errors import TalkwireError as TalkwireError
    from .errors import TooLarge as TooLarge
    from .errors import TryLater as TryLater
    from .errors import Uncertain as Uncertain
    from .errors import Unreachable as Unreachable
    from .errors import Unreadable as Unreadable
    from .errors import Unsupported as Unsupported
    from .errors import Wait as Wait
    from .errors import WindowClosed as WindowClosed
    from .errors import WindowShut as WindowShut
    from .features import Features as Features
    from .features import MediaFeature as MediaFeature
    from .features import OptionFeature as OptionFeature
    from .formatting import PLAIN as PLAIN
    from .formatting import Dialect as Dialect
    from .formatting import plain_text as plain_text
    from .formatting import render as render
    from .formatting import segments as segments
    from .formatting import split as split
    from .formatting import to_json as to_json
    from .hooks import HOOK_API as HOOK_API
    from .hooks import Actions as Actions
    from .hooks import Drop as Drop
    from .hooks import Pages as Pages
    from .hooks import SessionStep as SessionStep
    from .hooks import hookimpl as hookimpl
    from .hub import Hub as Hub
    from .media.guard import guarded_session as guarded_session
    from .model import Accepted as Accepted
    from .model import Account as Account
    from .model import AccountNotice as AccountNotice
    from .model import AccountState as AccountState
    from .model import Acknowledge as Acknowledge
    from .model import Address as Address
    from .model import AddressChanged as AddressChanged
    from .model import Alias as Alias
    from .model import Answer as Answer
    from .model import AnswerCode as AnswerCode
    from .model import Attachment as Attachment
    from .model import AttachmentClass as AttachmentClass
    from .model import Batch as Batch
    from .model import Block as Block
    from .model import Buttons as Buttons
    from .model import Card as Card
    from .model import Change as Change
    from .model import ChangeKind as ChangeKind
    from .model import Choice as Choice
    from .model import Choices as Choices
    from .model import Contact as Contact
    from .model import ContactCard as ContactCard
    from .model import Conversation as Conversation
    from .model import Degradation as Degradation
    from .model import Delivery as Delivery
    from .model import Detail as Detail
    from .model import Direction as Direction
    from .model import Draft as Draft
    from .model import Enclosed as Enclosed
    from .model import Ended as Ended
    from .model import Envelope as Envelope
    from .model import Fact as Fact
    from .model import First as First
    from .model import FormLink as FormLink
    from .model import Forward as Forward
    from .model import Inbound as Inbound
    from .model import Item as Item
    from .model import Level as Level
    from .model import Location as Location
    from .model import Media as Media
    from .model import Message as Message
    from .model import Notification as Notification
    from .model import NotThere as NotThere
    from .model import OnDesktop as OnDesktop
    from .model import Option as Option
    from .model import Original as Original
    from .model import Other as Other
    from .model import Outgoing as Outgoing
    from .model import Part as Part
    from .model import Person as Person
    from .model import Policy as Policy
    from .model import Preferences as Preferences
    from .model import Problem as Problem
    from .model import Rate as Rate
    from .model import Reachable as Reachable
    from .model import Reaction as Reaction
    from .model import ReadUpTo as ReadUpTo
    from .model import Receipt as Receipt
    from .model import Recipient as Recipient
    from .model import RemoteMedia as RemoteMedia
    from .model import RenderContext as RenderContext
    from .model import Rendered as Rendered
    from .model import Report as Report
    from .model import SessionChange as SessionChange
    from .model import SessionState as SessionState
    from .model import SignalKind as SignalKind
    from .model import State as State
    from .model import StoredChange as StoredChange
    from .model import Style as Style
    from .model import Template as Template
    from .model import Text as Text
    from .model import Typing as Typing
    from .model import TypingSignal as TypingSignal
    from .model import Unit as Unit
    from .model import Unread as Unread
    from .model import Way as Way
    from .model import draft as draft
    from .notifier import Focus as Focus
    from .notifier import Handed as Handed
    from .notifier import Notifier as Notifier
    from .notifier import NotifierFeatures as NotifierFeatures
    from .notifier import Shown as Shown
    from .notifier import Suppressed as Suppressed
    from .notifier import Told as Told
    from .readmodels import Page as Page
    from .readmodels import Troubled as Troubled
    from .simulator import Simulator as Simulator
    from .simulator.provider import SimulatedProvider as SimulatedProvider
    from .store import Query as Query
    from .store import Tx as Tx

_WHERE = {
    "actions": "Action DropTimer Notice Notify Reply SetTimer Signal Withdraw",
    "api.principals": "Principal Scope",
    "channel": "Answered Channel Payload Route Settings each outcome phone retry_after",
    "cli.installed": "Installation installation",
    "errors": (
        "AccountBroken Conflict HistoryGone KeyReused MarkupRefused NoAnswer NotFound NotSent Outrun Refuse Refused"
        " Rejected SendError SessionEnded StoreDown TalkwireError TooLarge TryLater Uncertain Unreachable"
        " Unreadable Unsupported Wait WindowClosed WindowShut"
    ),
    "features": "Features MediaFeature OptionFeature",
    "formatting": "Dialect PLAIN plain_text render segments split to_json",
    "hooks": "Actions Drop HOOK_API Pages SessionStep hookimpl",
    "hub": "Hub",
    "media.guard": "guarded_session",
    "model": (
        "Accepted Account AccountNotice AccountState Acknowledge Address AddressChanged Alias Answer AnswerCode"
        " Attachment AttachmentClass Batch Block Buttons Card Change ChangeKind Choice Choices Contact"
        " ContactCard Conversation Degradation Delivery Detail Direction Draft Enclosed Ended Envelope Fact First FormLink Forward Inbound Item Level"
        " Location Media Message NotThere Notification OnDesktop Option Original Other Outgoing Part Person Policy Preferences Problem Rate Reachable Reaction"
        " ReadUpTo Receipt Recipient RemoteMedia RenderContext Rendered Report SessionChange SessionState SignalKind State"
        " StoredChange Style Template Text Typing TypingSignal Unit Unread Way draft"
    ),
    "notifier": "Focus Handed Notifier NotifierFeatures Shown Suppressed Told",
    "readmodels": "Page Troubled",
    "simulator": "Simulator",
    "simulator.provider": "SimulatedProvider",
    "store": "Query Tx",
}
_MODULE_OF = {name: module for module, names in _WHERE.items() for name in names.split()}

__all__ = ["auth", *_MODULE_OF]  # noqa: PLE0604  the names are those of the table above


def __getattr__(name: str) -> Any:
    if name == "auth":
        return import_module(".auth", __name__)
    if name not in _MODULE_OF:
        raise AttributeError(f"talkwire exports no {name}; plugins use only what its __init__ names")
    value = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
